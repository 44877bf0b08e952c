// Any bytes as a chunked body: whole and split reads give the same data, end at the same byte or both fail; what was decoded and
// is encoded again decodes to the same.
#include <string>

#include "base/check.h"
#include "http/chunked.h"
#include "http/writer.h"

using namespace portloom;
using namespace portloom::http;

namespace {

struct Outcome {
  std::string body;
  size_t consumed = 0;
  bool done = false;
  bool failed = false;
  Headers trailers;
};

Outcome decode(std::string_view input, size_t step) {
  ChunkDecoder decoder;
  Outcome outcome;
  for (size_t from = 0; from < input.size() && !decoder.done() && !decoder.failed(); from += step) {
    std::string piece(input.substr(from, step));  // of its own, so that a slice outside it is seen
    std::string_view rest = piece;
    while (!rest.empty() && !decoder.done() && !decoder.failed()) {
      ChunkDecoder::Step one = decoder.decode(rest);
      CHECK(one.consumed != 0 && one.consumed <= rest.size());
      CHECK(one.data.empty() || (one.data.data() >= rest.data() && one.data.data() + one.data.size() <= rest.data() + one.consumed));
      outcome.body.append(one.data);
      outcome.consumed += one.consumed;
      rest.remove_prefix(one.consumed);
    }
  }
  outcome.done = decoder.done();
  outcome.failed = decoder.failed();
  outcome.trailers = decoder.trailers();
  return outcome;
}

void check_encoded(const Outcome& outcome) {
  Writer out(16);
  if (!outcome.body.empty()) {
    out.advance(write_chunk_head(out.room(chunk_head_max), outcome.body.size()));
    out.text(outcome.body);
    out.text(chunk_tail);
  }
  out.text("0\r\n");
  write_trailers(out, outcome.trailers);
  Outcome again = decode(out.view(), out.size());
  CHECK(again.done && again.body == outcome.body && again.trailers.size() == outcome.trailers.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  Outcome whole = decode(input, input.size());
  Outcome split = decode(input, data[0] % 16 + 1u);
  CHECK(whole.done == split.done && whole.failed == split.failed);
  if (!whole.failed) CHECK(whole.body == split.body && whole.consumed == split.consumed);
  if (whole.done) check_encoded(whole);
  return 0;
}
