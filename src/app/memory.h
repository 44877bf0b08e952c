// app/memory.h
//
// MemoryWatch: how much memory is in use against limits.memory, and what follows from it. Read on the control thread, several
// times a second; whoever is near the bound is relieved before the kernel has to choose a victim.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pipeline/ports.h"
#include "server/admission.h"

namespace portloom::app {

// What the kernel says, read under `root` (tests have one of their own).
struct MemoryFacts {
  std::optional<uint64_t> cgroup_max;  // the smallest bound of our cgroups (version 1 or 2); none: unbounded
  uint64_t cgroup_used = 0;            // against it, less files that the kernel can drop; 0: unknown
  uint64_t process_used = 0;           // our own, less what is mapped from files
};
MemoryFacts memory_facts(const std::string& root = "/");

class MemoryWatch final : public pipeline::StatusSource {
 public:
  // Of the bound: from here on it is scarce, and spent; and below these it is not any more.
  static constexpr double scarce_at = 0.90, spent_at = 0.97, plenty_below = 0.85, not_spent_below = 0.94;
  static constexpr double default_share = 0.80;  // of the cgroup's bound, else of the machine's memory

  // `written`: limits.memory.
  void use(std::optional<uint64_t> written, const MemoryFacts& facts, uint64_t machine_bytes);
  // Looks at what is in use; the level that follows.
  server::Memory look(const MemoryFacts& facts);
  // When to look again: sooner the nearer the bound is.
  Duration pause() const;
  uint64_t bound() const { return bound_; }
  uint64_t used() const { return used_; }
  server::Memory level() const { return level_; }
  // "480 MiB of 512 MiB".
  std::string text() const;

  std::string_view name() const override { return "memory"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string& page) const override;

 private:
  uint64_t bound_ = UINT64_MAX;
  uint64_t used_ = 0;
  bool of_cgroup_ = false;  // the bound follows from the cgroup's, so all that it counts counts
  server::Memory level_ = server::Memory::plenty;
};

uint64_t machine_memory();

}  // namespace portloom::app
