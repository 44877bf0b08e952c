// telemetry/process.cpp
//
// What the kernel says about this process, under the names that every Prometheus client library uses.
#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "telemetry/page.h"

namespace portloom::telemetry {
namespace {

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

uint64_t resident_bytes() {
  unsigned long total = 0, resident = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%lu %lu", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t open_descriptors() {
  uint64_t count = 0;
  if (DIR* directory = opendir("/proc/self/fd")) {
    while (const dirent* entry = readdir(directory)) count += entry->d_name[0] != '.';
    closedir(directory);
    --count;  // the directory's own
  }
  return count;
}

// When the process began, in seconds since the epoch: now, less the time since boot that has passed since then.
double start_seconds() {
  unsigned long long ticks = 0;
  if (FILE* file = std::fopen("/proc/self/stat", "re")) {
    // The program's name (field 2) may hold spaces: it ends with the last parenthesis.
    char text[1024];
    size_t size = std::fread(text, 1, sizeof text - 1, file);
    std::fclose(file);
    std::string_view stat(text, size);
    size_t name_end = std::min(stat.rfind(')'), stat.size());
    text[size] = 0;
    if (name_end == size ||
        std::sscanf(text + name_end, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1)
      return 0;
  }
  timespec boot{}, wall{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  clock_gettime(CLOCK_REALTIME, &wall);
  auto seconds = [](const timespec& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9; };
  return seconds(wall) - seconds(boot) + static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

void render_process(Page& page) {
  static const double started = start_seconds();  // computed once: a start time does not move
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  page.family("process_cpu_seconds_total", "counter", "Processor time used, user and system.");
  page.sample({}, seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  page.family("process_resident_memory_bytes", "gauge", "Resident memory.");
  page.sample({}, resident_bytes());
  page.family("process_open_fds", "gauge", "Open file descriptors.");
  page.sample({}, open_descriptors());
  page.family("process_max_fds", "gauge", "How many file descriptors may be open.");
  page.sample({}, static_cast<uint64_t>(limit.rlim_cur));
  page.family("process_start_time_seconds", "gauge", "When the process began, in seconds since the epoch.");
  page.sample({}, started);
}

}  // namespace portloom::telemetry
