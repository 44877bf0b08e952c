// Tests of app/memory: what the kernel's files say, and the levels that follow.
#include "app/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace portloom::app {
namespace {

namespace fs = std::filesystem;
using server::Memory;

class Kernel : public ::testing::Test {
 protected:
  Kernel() {
    std::string pattern = (fs::temp_directory_path() / "portloom-memory-XXXXXX").string();
    root = std::string(::mkdtemp(pattern.data())) + "/";
    write("proc/self/statm", "5000 3000 1000 10 0 500 0\n");
  }
  ~Kernel() override { fs::remove_all(root); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(root + name).parent_path());
    std::ofstream(root + name) << text;
  }
  std::string root;
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
};

TEST_F(Kernel, WithoutABoundOnlyTheProcessCounts) {
  write("proc/self/cgroup", "0::/user.slice\n");
  write("sys/fs/cgroup/user.slice/memory.max", "max\n");
  MemoryFacts facts = memory_facts(root);
  EXPECT_EQ(facts.cgroup_max, std::nullopt);
  EXPECT_EQ(facts.process_used, 2000 * page);
}

TEST_F(Kernel, TheTightestBoundOfVersion2Counts) {
  write("proc/self/cgroup", "0::/pod/container\n");
  write("sys/fs/cgroup/pod/container/memory.max", "max\n");
  write("sys/fs/cgroup/pod/memory.max", "1000000\n");
  write("sys/fs/cgroup/pod/memory.current", "900000\n");
  write("sys/fs/cgroup/pod/memory.stat", "anon 500000\nfile 300000\ninactive_file 200000\nactive_file 100000\nsock 5\n");
  MemoryFacts facts = memory_facts(root);
  EXPECT_EQ(facts.cgroup_max, 1000000u);
  EXPECT_EQ(facts.cgroup_used, 600000u);
}

TEST_F(Kernel, Version1AndItsNamespaces) {
  // The path is the host's; inside the container only the mount's root is there.
  write("proc/self/cgroup", "9:pids:/docker/abc\n4:cpu,memory:/docker/abc\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500000\n");
  write("sys/fs/cgroup/memory/memory.stat", "cache 1\ntotal_inactive_file 300000\ntotal_active_file 200000\n");
  MemoryFacts facts = memory_facts(root);
  EXPECT_EQ(facts.cgroup_max, 2000000u);
  EXPECT_EQ(facts.cgroup_used, 1000000u);
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(memory_facts(root).cgroup_max, std::nullopt);
}

TEST_F(Kernel, NothingReadableIsNoBound) {
  fs::remove_all(root + "proc");
  EXPECT_EQ(memory_facts(root).cgroup_max, std::nullopt);
  EXPECT_EQ(memory_facts(root).process_used, 0u);
}

TEST(MemoryWatch, TheBoundIsWrittenOrEightyPercent) {
  MemoryWatch watch;
  watch.use(5000, {.cgroup_max = 1000}, 10000);
  EXPECT_EQ(watch.bound(), 5000u);
  watch.use({}, {.cgroup_max = 1000}, 10000);
  EXPECT_EQ(watch.bound(), 800u);
  watch.use({}, {}, 10000);
  EXPECT_EQ(watch.bound(), 8000u);
  watch.use({}, {.cgroup_max = 20000}, 10000);
  EXPECT_EQ(watch.bound(), 8000u);
}

TEST(MemoryWatch, LevelsRiseAtOnceAndFallLater) {
  MemoryWatch watch;
  watch.use(1000, {}, 0);
  const std::pair<uint64_t, Memory> steps[] = {{899, Memory::plenty}, {900, Memory::scarce}, {899, Memory::scarce}, {850, Memory::scarce},
                                               {849, Memory::plenty}, {899, Memory::plenty}, {970, Memory::spent},  {950, Memory::spent},
                                               {939, Memory::scarce}, {980, Memory::spent},  {100, Memory::plenty}};
  for (const auto& [used, level] : steps) EXPECT_EQ(static_cast<int>(watch.look({.process_used = used})), static_cast<int>(level)) << used;
}

TEST(MemoryWatch, TheCgroupsUseCountsOnlyAgainstItsOwnBound) {
  MemoryWatch watch;
  watch.use({}, {.cgroup_max = 1000}, 10000);
  EXPECT_EQ(watch.look({.cgroup_max = 1000, .cgroup_used = 790, .process_used = 10}), Memory::spent);
  watch.use(1000, {.cgroup_max = 1000}, 10000);
  EXPECT_EQ(watch.look({.cgroup_max = 1000, .cgroup_used = 990, .process_used = 10}), Memory::plenty);
}

}  // namespace
}  // namespace portloom::app
