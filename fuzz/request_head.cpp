// Any bytes as a request head: whole and split reads agree; what is accepted has one framing, and written out it reads back
// as the same request.
#include <string>

#include "base/check.h"
#include "http/forwarding.h"
#include "http/framing.h"
#include "http/hop_by_hop.h"
#include "http/parser.h"
#include "http/path.h"
#include "http/writer.h"

using namespace portloom;
using namespace portloom::http;

namespace {

void check_same(const RequestHead& a, const RequestHead& b) {
  CHECK(a.method_text() == b.method_text() && a.target() == b.target() && a.minor == b.minor && a.headers.size() == b.headers.size());
  for (size_t i = 0; i < a.headers.size(); ++i) CHECK(a.headers.line(i) == b.headers.line(i) && a.headers.at(i).id == b.headers.at(i).id);
}

// What goes upstream means what came.
void check_written(RequestHead head, const Framing& framing) {
  strip_hop_by_hop(head.headers, framing.upgrade);
  Writer out(16);
  write_request_head(out, head, framing);
  CHECK(out.size() <= head_bytes(head));
  RequestHead read;
  size_t consumed = 0;
  HeadParser parser({.headers = 1 << 20, .uri = 1 << 20, .header_count = 1000});
  CHECK(parser.parse_request(out.view(), read, consumed) == HeadParser::State::complete);
  CHECK(consumed == out.size());
  CHECK(read.method_text() == head.method_text() && read.path_and_query() == head.path_and_query());
  Result<Framing> again = request_body_framing(read);
  CHECK(again && again->kind == framing.kind && again->length == framing.length && again->upgrade == framing.upgrade);
  if (!head.authority().empty()) CHECK(read.headers.find(Name::host) == head.authority());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  size_t step = data[0] % 16 + 1u;
  std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  Limits limits{.headers = 2000, .uri = 300, .header_count = 20};
  HeadParser whole(limits);
  RequestHead head;
  size_t consumed = 0;
  HeadParser::State state = whole.parse_request(input, head, consumed);

  HeadParser split(limits);
  RequestHead other;
  size_t other_consumed = 0;
  HeadParser::State other_state = HeadParser::State::incomplete;
  for (size_t count = 0; other_state == HeadParser::State::incomplete && count < input.size();) {
    count = std::min(count + step, input.size());
    std::string moved(input.substr(0, count));
    other_state = split.parse_request(moved, other, other_consumed);
  }
  CHECK(state == other_state);
  CHECK(consumed == other_consumed);
  if (state != HeadParser::State::complete) return 0;
  check_same(head, other);
  if (head.path().starts_with('/')) (void)normalize(head.path_and_query());
  RequestHead copy(head);
  check_same(copy, head);
  if (Result<Framing> framing = request_framing(head)) check_written(std::move(copy), *framing);
  Address peer = Address::v4(0x0a000001);
  (void)believed_client(head.headers, peer, CidrSet({Cidr{peer, 100}}));
  write_forwarding(head.headers, {.peer = peer, .scheme = "http", .host = head.host(), .trusted = step > 8, .forwarded = true});
  write_via(head.headers, "gate", 1, head.minor);
  CHECK(via_contains(head.headers, "gate"));
  (void)count_down_max_forwards(head);
  return 0;
}
