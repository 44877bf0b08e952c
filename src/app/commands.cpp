// app/commands.cpp
//
// `run --listen --to` as a document, and `key new`.
#include "app/commands.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>

#include "config/document.h"
#include "data/quantity.h"

namespace portloom::app {
namespace {

std::unexpected<Error> invalid(std::string detail) { return failure(Code::invalid, Side::client, std::move(detail)); }

std::string hex(const unsigned char* bytes, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text;
}

}  // namespace

Result<std::string> forwarding_configuration(const std::string& listen, const std::string& to) {
  if (listen.empty() || to.empty()) return invalid("--listen and --to go together: --listen :8080 --to http://127.0.0.1:3000");
  if (!to.starts_with("http://")) return invalid("--to takes an http:// URL, for instance http://127.0.0.1:3000");
  std::string authority = to.substr(7);
  if (authority.ends_with('/')) authority.pop_back();
  if (authority.find('/') != std::string::npos) return invalid("--to takes no path: paths go on as they come");
  if (authority.find(':') == std::string::npos || authority.ends_with(']')) authority += ":80";
  if (!data::parse_address(authority)) return invalid("--to: " + authority + " is not host:port");
  if (!data::parse_address(listen)) return invalid("--listen: " + listen + " is not host:port or :port");
  return "version: 1\n"
         "listeners:\n"
         "  edge: {address: \"" +
         listen +
         "\"}\n"
         "services:\n"
         "  origin: {endpoints: [\"" +
         authority +
         "\"]}\n"
         "routes:\n"
         "  - {match: {path_prefix: /}, to: origin}\n";
}

int key_new(const std::string& consumer, std::ostream& out, std::ostream& err) {
  if (!config::is_name(consumer)) {
    err << "portloom: a consumer's name has letters, digits, _ - and .\n";
    return 2;
  }
  std::array<unsigned char, 24> secret{};
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  if (RAND_bytes(secret.data(), static_cast<int>(secret.size())) != 1) return 70;
  std::string key = "pl_" + hex(secret.data(), secret.size());
  if (EVP_Digest(key.data(), key.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) return 70;
  out << "The key, shown this once:\n  " << key << "\n\nAdd to the configuration:\n"
      << "consumers:\n  " << consumer << ": {keys: [\"sha256:" << hex(digest.data(), digest.size()) << "\"]}\n";
  return 0;
}

}  // namespace portloom::app
