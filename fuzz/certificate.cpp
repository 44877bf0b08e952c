// Any bytes as what stands in the files of a listener's `tls`, and as what a client says in its server_name extension: read, with
// names that can stand in a log, or refused with a reason.
#include <string_view>

#include "base/check.h"
#include "io/certificates.h"
#include "io/tls_handshake.h"

using namespace portloom;
using namespace portloom::io;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string name = server_name_of(text);
  for (char c : name) CHECK(c > ' ' && c < 0x7f && !(c >= 'A' && c <= 'Z'));
  (void)parse_key(text);
  (void)parse_authorities(text);
  Result<Certificate> parsed = parse_certificate(text);
  if (!parsed) {
    CHECK(!parsed.error().detail.empty());
    return 0;
  }
  CHECK(!parsed->chain.empty() && parsed->chain.size() <= chain_max);
  (void)check_ocsp(text, *parsed, WallTime{});
  (void)fingerprint_of(*parsed->chain.front());
  for (const std::string& host : parsed->hosts)
    for (char c : host) CHECK(static_cast<unsigned char>(c) > 0x20 && c != 0x7f);
  return 0;
}
