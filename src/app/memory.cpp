// app/memory.cpp
//
// A process is killed for what its cgroup holds: anonymous memory and socket buffers, not for files that can be read again.
#include "app/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/text.h"
#include "data/json.h"
#include "telemetry/page.h"

namespace portloom::app {
namespace {

constexpr uint64_t no_bound = uint64_t{1} << 60;  // version 1 says "none" with the largest multiple of a page

std::string text_of(const std::string& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  std::string whole = text.str();
  while (!whole.empty() && whole.back() == '\n') whole.pop_back();
  return whole;
}

std::optional<uint64_t> number_in(const std::string& file) { return parse_number(text_of(file)); }

// The value of a line "key value".
uint64_t value_of(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  std::string name;
  uint64_t value = 0;
  while (lines >> name >> value)
    if (name == key) return value;
  return 0;
}

struct Names {
  const char* mount;
  const char* bound;
  const char* used;
  const char* files[2];  // of memory.stat: what the kernel can drop
};
constexpr Names version_1{
    "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};
constexpr Names version_2{"sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file", "active_file"}};

// From our cgroup up to the root: each may have a bound. What counts is what stands under the tightest one.
void read_cgroup(const std::string& root, const Names& names, std::string path, MemoryFacts& facts) {
  while (true) {
    std::string folder = root + names.mount + path + "/";
    std::optional<uint64_t> bound = number_in(folder + names.bound);
    if (bound && *bound < no_bound && *bound < facts.cgroup_max.value_or(no_bound)) {
      facts.cgroup_max = bound;
      std::string stat = text_of(folder + "memory.stat");
      uint64_t droppable = value_of(stat, names.files[0]) + value_of(stat, names.files[1]);
      uint64_t used = number_in(folder + names.used).value_or(0);
      facts.cgroup_used = used - std::min(used, droppable);
    }
    if (path.empty() || path == "/") return;
    path.resize(path.rfind('/'));
  }
}

std::string mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

MemoryFacts memory_facts(const std::string& root) {
  MemoryFacts facts;
  std::istringstream groups(text_of(root + "proc/self/cgroup"));
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':');
    size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers == ",,") read_cgroup(root, version_2, line.substr(second + 1), facts);
    if (controllers.find(",memory,") != std::string::npos) read_cgroup(root, version_1, line.substr(second + 1), facts);
  }
  std::istringstream pages(text_of(root + "proc/self/statm"));
  uint64_t total = 0, resident = 0, shared = 0;
  pages >> total >> resident >> shared;
  facts.process_used = (resident - std::min(resident, shared)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return facts;
}

uint64_t machine_memory() { return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

void MemoryWatch::use(std::optional<uint64_t> written, const MemoryFacts& facts, uint64_t machine_bytes) {
  of_cgroup_ = !written && facts.cgroup_max && *facts.cgroup_max < machine_bytes;
  uint64_t whole = of_cgroup_ ? *facts.cgroup_max : machine_bytes;
  bound_ = written ? *written : static_cast<uint64_t>(static_cast<double>(whole) * default_share);
}

server::Memory MemoryWatch::look(const MemoryFacts& facts) {
  using enum server::Memory;
  used_ = of_cgroup_ ? std::max(facts.cgroup_used, facts.process_used) : facts.process_used;
  double share = static_cast<double>(used_) / static_cast<double>(bound_);
  if (share >= spent_at || (level_ == spent && share >= not_spent_below))
    level_ = spent;
  else if (share >= scarce_at || (level_ != plenty && share >= plenty_below))
    level_ = scarce;
  else
    level_ = plenty;
  return level_;
}

Duration MemoryWatch::pause() const { return used_ / 7 >= bound_ / 10 ? 20ms : 100ms; }

std::string MemoryWatch::text() const { return mebibytes(used_) + " of " + mebibytes(bound_); }

void MemoryWatch::write_status(std::string& json) const {
  static constexpr std::string_view levels[] = {"plenty", "scarce", "spent"};
  data::JsonWriter writer(json);
  writer.begin_object().member("level", levels[static_cast<size_t>(level_)]).member("used", used_).member("limit", bound_).end_object();
}

void MemoryWatch::write_metrics(std::string& text) const {
  telemetry::Page page(text);
  page.family("portloom_memory_used_bytes", "gauge", "Memory that counts against limits.memory.");
  page.sample({}, used_);
  page.family("portloom_memory_limit_bytes", "gauge", "limits.memory, or what follows from the cgroup.");
  page.sample({}, bound_);
  page.family("portloom_memory_level", "gauge", "0: plenty; 1: new requests are answered 503; 2: new connections are closed too.");
  page.sample({}, static_cast<uint64_t>(level_));
}

}  // namespace portloom::app
