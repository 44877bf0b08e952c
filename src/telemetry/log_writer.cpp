// telemetry/log_writer.cpp
//
// The log's thread: wait, take what others asked for, empty the rings. Only it writes; `descriptor_` is its own. Requests
// reach it through the flags and `next_descriptor_`, always followed by a wake.
#include "telemetry/log_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "data/json.h"
#include "telemetry/page.h"

namespace portloom::telemetry {
namespace {

constexpr int nowhere = -1;
constexpr int period_milliseconds = static_cast<int>(LogWriter::period / 1ms);

// A reader that is stuck must not hold up the end of the process. O_NONBLOCK on our descriptor would be everybody's who shares
// it, so a pipe or a terminal is opened anew; where that is refused, and for what is neither, the descriptor serves as it is.
int open_standard(int descriptor) {
  struct stat kind{};
  if (::fstat(descriptor, &kind) != 0 || !(S_ISFIFO(kind.st_mode) || S_ISCHR(kind.st_mode))) return descriptor;
  std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  int own = ::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  return own < 0 ? descriptor : own;
}

bool is_file(const std::string& to) { return to != "stdout" && to != "stderr" && to != "none"; }

Result<int> open_destination(const std::string& to) {
  if (to == "none") return nowhere;
  if (to == "stdout") return open_standard(STDOUT_FILENO);
  if (to == "stderr") return open_standard(STDERR_FILENO);
  // O_NONBLOCK is for named pipes: one that nobody reads is an error and no wait, and a slow reader costs lines.
  int descriptor = ::open(to.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
  if (descriptor < 0 && errno == ENXIO) return failure(Code::invalid, Side::gateway, "access log " + to + ": nobody reads the pipe");
  if (descriptor < 0) return failure(Code::invalid, Side::gateway, "access log " + to + ": " + std::strerror(errno));
  return descriptor;
}

void close_destination(int descriptor) {
  if (descriptor > STDERR_FILENO) ::close(descriptor);
}

// A service manager's journal is a socket: it is written to without waiting, whatever flags it came with.
ssize_t write_some(int descriptor, std::string_view text) {
  ssize_t sent = ::send(descriptor, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno == ENOTSOCK) return ::write(descriptor, text.data(), text.size());
  return sent;
}

uint64_t lines_in(std::string_view text) {
  auto ends = static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
  return ends + (!text.empty() && text.back() != '\n');
}

}  // namespace

Result<std::unique_ptr<LogWriter>> LogWriter::open(const std::string& to, size_t workers, size_t ring_bytes) {
  Result<int> descriptor = open_destination(to);
  if (!descriptor) return std::unexpected(descriptor.error());
  return std::unique_ptr<LogWriter>(new LogWriter(to, *descriptor, workers, ring_bytes));
}

LogWriter::LogWriter(std::string to, int descriptor, size_t workers, size_t ring_bytes)
    : wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), descriptor_(descriptor), to_(std::move(to)) {
  for (size_t i = 0; i < workers; ++i) {
    rings_.push_back(std::make_unique<LogRing>(ring_bytes));
    rings_.back()->wake_through(wake_);
  }
  // Signals are for the threads that wait for them: this one is born with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread(&LogWriter::run, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LogWriter::~LogWriter() {
  stop();
  close_destination(descriptor_);
  if (next_descriptor_ != no_change) close_destination(next_descriptor_);
  if (wake_ >= 0) ::close(wake_);
}

void LogWriter::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  wake();
  thread_.join();
}

void LogWriter::reopen() {
  reopen_wanted_ = true;
  wake();
}

Result<void> LogWriter::redirect(const std::string& to) {
  Result<int> descriptor = open_destination(to);
  if (!descriptor) return std::unexpected(descriptor.error());
  {
    std::lock_guard lock(mutex_);
    if (next_descriptor_ != no_change) close_destination(next_descriptor_);
    next_descriptor_ = *descriptor;
    to_ = to;
  }
  reopen();  // ends a wait for a reader that is stuck, too
  return {};
}

void LogWriter::wake() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t ignored = ::write(wake_, &one, sizeof one);
}

void LogWriter::run() {
  while (!stopping_) {
    wait();
    take_requests();
    drain_rings();
  }
  // The workers have stopped: what the rings hold is all there will be.
  flush_end_ = SteadyClock::now() + flush_max;
  drain_rings();
}

void LogWriter::wait() {
  pollfd waited{wake_, POLLIN, 0};
  if (::poll(&waited, 1, period_milliseconds) <= 0) return;
  uint64_t count;
  [[maybe_unused]] ssize_t ignored = ::read(wake_, &count, sizeof count);
}

void LogWriter::take_requests() {
  bool reopen_now = reopen_wanted_.exchange(false);
  std::lock_guard lock(mutex_);
  if (next_descriptor_ == no_change && reopen_now && is_file(to_)) {
    Result<int> fresh = open_destination(to_);
    if (fresh)
      next_descriptor_ = *fresh;
    else
      std::fprintf(stderr, "portloom: warning: %s; the file in use stays\n", fresh.error().detail.c_str());
  }
  if (next_descriptor_ == no_change) return;
  close_destination(descriptor_);
  descriptor_ = std::exchange(next_descriptor_, no_change);
  line_open_ = false;
}

void LogWriter::drain_rings() {
  for (auto& ring : rings_) {
    // A line may wrap around: both parts are written before another ring's turn, so no line is torn by another.
    for (std::string_view part : ring->readable()) {
      if (part.empty()) continue;
      write_lines(part);
      ring->release(part.size());
    }
  }
}

void LogWriter::write_lines(std::string_view lines) {
  if (descriptor_ == nowhere) return;
  while (!lines.empty()) {
    if (line_open_ && write_some(descriptor_, "\n") == 1) line_open_ = false;  // what was cut stays one broken line
    ssize_t written = write_some(descriptor_, lines);
    if (written > 0) {
      torn_ = lines[static_cast<size_t>(written) - 1] != '\n';
      lines.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    int error = written < 0 ? errno : EIO;
    if (error == EINTR) continue;
    if (error == EAGAIN && wait_writable()) continue;
    return lose(lines, error);
  }
}

// A pipe whose reader is slow. Meanwhile the rings fill, and what they cannot take is dropped there. False: the end does not
// wait longer, or the log goes elsewhere from now on.
bool LogWriter::wait_writable() {
  while (SteadyClock::now() < flush_end_ && !reopen_wanted_) {
    pollfd waited{descriptor_, POLLOUT, 0};
    if (::poll(&waited, 1, period_milliseconds) > 0) return true;
    if (stopping_ && flush_end_ == never) flush_end_ = SteadyClock::now() + flush_max;
  }
  return false;
}

void LogWriter::lose(std::string_view lines, int error) {
  lost_.add(lines_in(lines));
  line_open_ = torn_;
  Instant now = SteadyClock::now();
  if (complained_ != Instant{} && now - complained_ < 1min) return;
  complained_ = now;
  std::fprintf(stderr, "portloom: error: the access log cannot be written: %s; lines are lost\n", std::strerror(error));
}

uint64_t LogWriter::dropped() const {
  uint64_t count = lost_.value();
  for (const auto& ring : rings_) count += ring->dropped();
  return count;
}

void LogWriter::write_status(std::string& json) const {
  data::JsonWriter writer(json);
  writer.begin_object();
  {
    std::lock_guard lock(mutex_);
    writer.member("to", to_);
  }
  writer.member("dropped", dropped()).end_object();
}

void LogWriter::write_metrics(std::string& text) const {
  Page page(text);
  page.family("portloom_log_dropped_total", "counter", "Lines of the access log that were lost: a full ring or a failed write.");
  page.sample({}, dropped());
}

}  // namespace portloom::telemetry
