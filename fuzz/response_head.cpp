// fuzz/response_head.cpp
//
// Any bytes as a response head: whole and split reads agree; what is accepted and written out reads back with the same framing.
#include <string>

#include "base/check.h"
#include "http/framing.h"
#include "http/hop_by_hop.h"
#include "http/parser.h"
#include "http/writer.h"

using namespace portloom;
using namespace portloom::http;

namespace {

void check_written(ResponseHead head, const Framing& framing, Method asked) {
  strip_hop_by_hop(head.headers, framing.upgrade);
  Writer out(16);
  write_response_head(out, head, framing);
  CHECK(out.size() <= head_bytes(head));
  ResponseHead read;
  size_t consumed = 0;
  HeadParser parser({.headers = 1 << 20, .uri = 1 << 20, .header_count = 1000});
  CHECK(parser.parse_response(out.view(), read, consumed) == HeadParser::State::complete);
  CHECK(consumed == out.size() && read.status == head.status);
  Result<Framing> again = response_framing(read, asked);
  CHECK(again && again->kind == framing.kind && again->length == framing.length && again->declares_length == framing.declares_length);
  CHECK(again->keep_alive == framing.keep_alive || head.informational());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  size_t step = data[0] % 16 + 1u;
  Method asked = (data[0] & 0x80) != 0 ? Method::HEAD : (data[0] & 0x40) != 0 ? Method::CONNECT : Method::GET;
  std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  Limits limits{.headers = 2000, .uri = 300, .header_count = 20};
  HeadParser whole(limits);
  ResponseHead head;
  size_t consumed = 0;
  HeadParser::State state = whole.parse_response(input, head, consumed);

  HeadParser split(limits);
  ResponseHead other;
  size_t other_consumed = 0;
  HeadParser::State other_state = HeadParser::State::incomplete;
  for (size_t count = 0; other_state == HeadParser::State::incomplete && count < input.size();) {
    count = std::min(count + step, input.size());
    std::string moved(input.substr(0, count));
    other_state = split.parse_response(moved, other, other_consumed);
  }
  CHECK(state == other_state);
  CHECK(consumed == other_consumed);
  if (state != HeadParser::State::complete) return 0;
  CHECK(head.status == other.status && head.reason.view() == other.reason.view() && head.headers.size() == other.headers.size());
  for (size_t i = 0; i < head.headers.size(); ++i) CHECK(head.headers.line(i) == other.headers.line(i));
  if (Result<Framing> framing = response_framing(head, asked)) check_written(head, *framing, asked);
  return 0;
}
