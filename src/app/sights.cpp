// app/sights.cpp
//
// Workers balance each for itself: where they see the same, it is said once.
#include "app/sights.h"

#include <algorithm>
#include <utility>

namespace portloom::app {
namespace {

using upstream::Sight;

// Three digits say enough: 1.23ms, not 1.234567ms.
std::string about(Duration duration) {
  int64_t nanoseconds = duration.count();
  int64_t unit = 1;
  while (nanoseconds / unit >= 1000) unit *= 10;
  nanoseconds -= nanoseconds % unit;
  struct Unit {
    int64_t size;
    const char* name;
  };
  for (Unit each : {Unit{1'000'000'000, "s"}, Unit{1'000'000, "ms"}, Unit{1'000, "us"}}) {
    if (nanoseconds < each.size) continue;
    std::string text = std::to_string(nanoseconds / each.size);
    std::string rest = std::to_string(each.size + nanoseconds % each.size).substr(1);
    rest.erase(rest.find_last_not_of('0') + 1);
    return text + (rest.empty() ? "" : "." + rest) + each.name;
  }
  return std::to_string(nanoseconds) + "ns";
}

}  // namespace

std::string favoured_text(const Sights& sights) {
  std::vector<std::pair<std::string, size_t>> favourites;  // and on how many workers; in the order in which they are met
  size_t workers = 0;
  size_t without = 0;  // may ask nobody
  for (const std::vector<Sight>& worker : sights) {
    if (worker.empty()) continue;
    ++workers;
    if (std::ranges::none_of(worker, &Sight::asked)) ++without;
    auto favourite = std::ranges::find_if(worker, &Sight::favoured);
    if (favourite == worker.end()) continue;
    auto known = std::ranges::find(favourites, favourite->endpoint, &std::pair<std::string, size_t>::first);
    if (known != favourites.end())
      ++known->second;
    else
      favourites.emplace_back(favourite->endpoint, 1);
  }
  if (workers == 0) return {};
  if (without == workers) return "none may be asked: 503 no_endpoint";
  if (favourites.empty()) return "left to chance: several are alike";
  std::string text;  // says nothing of workers where all agree
  for (const auto& [endpoint, count] : favourites) {
    text += (text.empty() ? "" : ", ") + endpoint;
    if (count < workers) text += " on " + std::to_string(count) + " of " + std::to_string(workers) + " workers";
  }
  return text;
}

std::string load_text(const Sights& sights, const std::string& key) {
  size_t seen = 0, unreachable = 0, coming = 0;
  uint64_t active = 0;
  Duration least = Duration::max(), most{0};
  for (const std::vector<Sight>& worker : sights)
    for (const Sight& sight : worker) {
      if (sight.key != key) continue;
      ++seen;
      active += sight.active;
      unreachable += sight.unreachable ? 1 : 0;
      coming += sight.coming ? 1 : 0;
      if (sight.latency == Duration{0}) continue;
      least = std::min(least, sight.latency);
      most = std::max(most, sight.latency);
    }
  if (seen == 0) return {};
  std::string text = ", " + std::to_string(active) + " under way";
  if (most > Duration{0}) text += ", answers in " + about(least) + (about(least) == about(most) ? "" : " to " + about(most));
  if (most == Duration{0}) text += ", has answered nothing yet";
  if (unreachable > 0) text += ", could not be reached";
  if (coming > 0) text += ", comes slowly";
  return text;
}

void write_sights(data::JsonWriter& json, const Sights& sights) {
  json.begin_array();
  for (size_t worker = 0; worker < sights.size(); ++worker)
    for (const Sight& sight : sights[worker]) {
      json.begin_object().member("worker", worker).member("endpoint", std::string_view(sight.endpoint));
      json.member("in_flight", sight.active).member("latency_ms", static_cast<double>(sight.latency.count()) / 1e6);
      json.member("measured_ms_ago", static_cast<double>(sight.measured_ago.count()) / 1e6).member("unreachable", sight.unreachable);
      json.member("asked", sight.asked).member("coming", sight.coming).member("favoured", sight.favoured).end_object();
    }
  json.end_array();
}

}  // namespace portloom::app
