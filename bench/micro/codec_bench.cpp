// The codec: what reading, framing and writing one head costs, for the request and the response of an ordinary exchange, and
// what the chunk decoder costs per kilobyte.
#include <benchmark/benchmark.h>

#include "http/chunked.h"
#include "http/framing.h"
#include "http/parser.h"
#include "http/trace_context.h"
#include "http/writer.h"

namespace portloom::http {
namespace {

constexpr std::string_view request_text =
    "GET /v1/orders/4711?expand=items HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    "Accept: application/json\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n"
    "X-Request-Id: 8d3f0c6a5b1e4f72\r\n\r\n";
constexpr std::string_view response_text =
    "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n"
    "Content-Length: 1024\r\nCache-Control: no-store\r\n\r\n";

void request(benchmark::State& state) {
  for (auto _ : state) {
    HeadParser parser;
    RequestHead head;
    size_t consumed = 0;
    if (parser.parse_request(request_text, head, consumed) != HeadParser::State::complete) return state.SkipWithError("not read");
    Framing framing = *request_framing(head);
    Writer out;
    write_request_head(out, head, framing);
    benchmark::DoNotOptimize(out.finish());
  }
}
BENCHMARK(request);

void response(benchmark::State& state) {
  for (auto _ : state) {
    HeadParser parser;
    ResponseHead head;
    size_t consumed = 0;
    if (parser.parse_response(response_text, head, consumed) != HeadParser::State::complete) return state.SkipWithError("not read");
    Framing framing = *response_framing(head, Method::GET);
    Writer out;
    write_response_head(out, head, framing);
    benchmark::DoNotOptimize(out.finish());
  }
}
BENCHMARK(response);

void chunks(benchmark::State& state) {
  std::string body;
  for (int i = 0; i < 64; ++i) body += "400\r\n" + std::string(1024, 'x') + "\r\n";
  body += last_chunk;
  for (auto _ : state) {
    ChunkDecoder decoder;
    std::string_view input = body;
    while (!decoder.done()) {
      ChunkDecoder::Step step = decoder.decode(input);
      benchmark::DoNotOptimize(step.data);
      input.remove_prefix(step.consumed);
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}
BENCHMARK(chunks);

// What each request pays for its trace: one that begins (and is taken off again, for the next turn), and one that goes on.
void trace_begun(benchmark::State& state) {
  Random random{1};
  Headers headers;
  headers.add(Name::host, "shop.example");
  for (auto _ : state) {
    benchmark::DoNotOptimize(continue_trace(headers, random, true));
    headers.remove(Name::traceparent);
  }
}
BENCHMARK(trace_begun);

void trace_goes_on(benchmark::State& state) {
  Random random{1};
  Headers headers;
  headers.add(Name::traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  for (auto _ : state) benchmark::DoNotOptimize(continue_trace(headers, random, true));
}
BENCHMARK(trace_goes_on);

}  // namespace
}  // namespace portloom::http
