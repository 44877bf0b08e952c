// discovery/kept_file.h
//
// KeptFile: a text that outlives the process. Written on a thread of its own, so that a slow disk delays nobody: into a new file,
// synced, then renamed over the old one. A checksum tells a damaged file; it is set aside and never believed.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/error.h"

namespace portloom::discovery {

class KeptFile {
 public:
  // Empty: there is no such file. Code::invalid: it is damaged, and stands as PATH.damaged now; Code::unavailable: it cannot be read.
  static Result<std::optional<std::string>> read(const std::string& path);

  explicit KeptFile(std::string path);
  KeptFile(const KeptFile&) = delete;
  // Waits until the last text is written.
  ~KeptFile();
  // Soon; a text that was not written yet is left out for a newer one. Readable for its owner alone: it holds leases.
  void write(std::string text);
  // Why the last write failed; empty: it did not.
  std::string fault() const;

 private:
  void run();
  std::string write_now(const std::string& text) const;

  std::string path_;
  mutable std::mutex mutex_;
  std::condition_variable due_;
  std::optional<std::string> next_;
  std::string fault_;
  bool over_ = false;
  std::thread thread_;  // last
};

}  // namespace portloom::discovery
