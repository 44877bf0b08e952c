// discovery/kept_file.cpp
//
// The first line: "portloom-kept 1 ", the bytes behind it, and their checksum (FNV-1a: against damage, not against forgers).
#include "discovery/kept_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

namespace portloom::discovery {
namespace {

constexpr std::string_view magic = "portloom-kept 1 ";
constexpr size_t file_max = size_t{1} << 30;

uint64_t checksum(std::string_view text) {
  uint64_t sum = 0xcbf29ce484222325;
  for (char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return sum;
}

std::string head_of(std::string_view text) {
  return std::string(magic) + std::to_string(text.size()) + ' ' + std::to_string(checksum(text)) + '\n';
}

std::string reason(const std::string& what) { return what + ": " + std::strerror(errno); }

// Empty when it was written whole.
std::string write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return reason("cannot write");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return ::fsync(descriptor) == 0 ? std::string() : reason("cannot sync");
}

std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<std::optional<std::string>> KeptFile::read(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT) return std::optional<std::string>();
    return failure(Code::unavailable, Side::gateway, reason("cannot read " + path));
  }
  struct stat about{};
  std::string text;
  bool good = ::fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) && static_cast<size_t>(about.st_size) <= file_max;
  if (good) text.resize(static_cast<size_t>(about.st_size));
  size_t have = 0;
  while (good && have < text.size()) {
    ssize_t count = ::read(descriptor, text.data() + have, text.size() - have);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    have += static_cast<size_t>(count);
  }
  ::close(descriptor);
  if (!good) return failure(Code::unavailable, Side::gateway, path + " is no file that can be read");
  text.resize(have);
  size_t line = text.find('\n');
  if (line != std::string::npos && text.substr(0, line + 1) == head_of(std::string_view(text).substr(line + 1))) {
    text.erase(0, line + 1);
    return std::optional<std::string>(std::move(text));
  }
  std::string aside = path + ".damaged";
  bool moved = ::rename(path.c_str(), aside.c_str()) == 0;
  return failure(Code::invalid, Side::gateway, path + " is damaged and not used" + (moved ? "; it is now " + aside : std::string()));
}

KeptFile::KeptFile(std::string path) : path_(std::move(path)), thread_(&KeptFile::run, this) {}

KeptFile::~KeptFile() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  due_.notify_one();
  thread_.join();
}

void KeptFile::write(std::string text) {
  {
    std::lock_guard lock(mutex_);
    next_ = std::move(text);
  }
  due_.notify_one();
}

std::string KeptFile::fault() const {
  std::lock_guard lock(mutex_);
  return fault_;
}

void KeptFile::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    due_.wait(lock, [this] { return next_.has_value() || over_; });
    if (!next_) return;
    std::string text = std::move(*next_);
    next_.reset();
    lock.unlock();
    std::string fault = write_now(text);
    lock.lock();
    fault_ = std::move(fault);
  }
}

std::string KeptFile::write_now(const std::string& text) const {
  std::string fresh = path_ + ".new";
  int descriptor = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return reason("cannot write " + fresh);
  std::string fault = write_all(descriptor, head_of(text) + text);
  ::close(descriptor);
  if (fault.empty() && ::rename(fresh.c_str(), path_.c_str()) != 0) fault = reason("cannot rename");
  if (!fault.empty()) return fresh + ": " + fault;
  int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // the rename is durable with its folder
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
}

}  // namespace portloom::discovery
