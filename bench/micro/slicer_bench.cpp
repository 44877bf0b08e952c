// bench/micro/slicer_bench.cpp
//
// The slicer: what one pass over a JSON text of 1 MB costs, by what it is made of, and what asking for values adds.
#include <benchmark/benchmark.h>

#include <random>
#include <string>

#include "data/slicer.h"

namespace portloom::data {
namespace {

constexpr size_t text_bytes = 1'000'000;

// As services answer: records with short texts, numbers, dates, a nested list. `pretty` indents them.
std::string records(bool pretty) {
  std::mt19937 random(1);
  std::string line = pretty ? "\n      " : "";
  std::string gap = pretty ? ": " : ":";
  std::string text = "{\"items\"" + gap + "[";
  for (unsigned i = 0; text.size() < text_bytes - 700; ++i) {
    text += i == 0 ? "" : ",";
    text += line + "{" + line + "\"id\"" + gap + std::to_string(random()) + "," + line + "\"name\"" + gap +
            "\"Walking boots, brown, size " + std::to_string(random() % 20 + 30) + "\"," + line + "\"description\"" + gap +
            "\"Full-grain leather and a sole that holds on wet rock; resoled once, it will outlast its owner's knees. "
            "\\u00a9 the shop\"," +
            line + "\"price\"" + gap + "{\"amount\"" + gap + std::to_string(random() % 300) + ".95,\"currency\"" + gap + "\"EUR\"}," +
            line + "\"in_stock\"" + gap + (random() % 2 == 0 ? "true" : "false") + "," + line + "\"tags\"" + gap +
            "[\"outdoor\",\"leather\",\"autumn\"]," + line + "\"image\"" + gap + "\"https://shop.example/images/" +
            std::to_string(random()) + ".jpg\"," + line + "\"updated_at\"" + gap + "\"2026-03-01T12:00:00Z\"}";
  }
  return text + line + "],\"next\"" + gap + "\"end\"}";
}

std::string numbers() {
  std::mt19937 random(1);
  std::string text = "[";
  while (text.size() < text_bytes)
    text += "[-" + std::to_string(random() % 180) + "." + std::to_string(random()) + std::to_string(random() % 100000) + "],";
  return text + "0]";
}

std::string texts(std::string_view sentence) {
  std::string text = "[\"";
  while (text.size() < text_bytes) text.append(sentence);
  return text + "\"]";
}

std::string document(int64_t kind) {
  switch (kind) {
    case 0: return records(false);
    case 1: return records(true);
    case 2: return numbers();
    case 3: return texts("A long text without anything that must be looked at twice, as in an article. ");
    default: return texts("\xe9\x95\xb7\xe3\x81\x84\xe6\x96\x87\xe7\xab\xa0\xe3\x81\xae\xe4\xb8\xad\xe8\xba\xab, \xc3\xa9t\xc3\xa9 ");
  }
}

constexpr const char* names[] = {"records", "records indented", "numbers", "one long text", "text beyond ASCII"};

void whole(benchmark::State& state) {
  std::string text = document(state.range(0));
  for (auto _ : state) {
    auto span = slice(text, {.bytes = 2 * text_bytes});
    if (!span) return state.SkipWithError("not JSON");
    benchmark::DoNotOptimize(span);
  }
  state.SetBytesProcessed(static_cast<int64_t>(static_cast<size_t>(state.iterations()) * text.size()));
  state.SetLabel(names[state.range(0)]);
}
BENCHMARK(whole)->DenseRange(0, 4);

// Three values of the last record: all of the text is on the way to them.
void asked(benchmark::State& state) {
  std::string text = document(state.range(0));
  JsonSelection wanted;
  for (std::string member : {"id", "name", "price"})
    wanted.add(std::vector<JsonSelection::Step>{{.name = "items"}, {.name = {}, .index = 1000, .is_index = true}, {.name = member}});
  std::vector<JsonSpan> found(wanted.size());
  for (auto _ : state) {
    auto span = slice(text, {.bytes = 2 * text_bytes}, wanted, found);
    if (!span || !found.back().there()) return state.SkipWithError("not found");
    benchmark::DoNotOptimize(found.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(static_cast<size_t>(state.iterations()) * text.size()));
  state.SetLabel(names[state.range(0)]);
}
BENCHMARK(asked)->DenseRange(0, 1);

}  // namespace
}  // namespace portloom::data
