// discovery/source.h
//
// Source: where instances come from, as app/ starts and ends it. Contact: what every source has that is asked over the network: when it
// was heard, what it fails with, when to ask again, and a file that keeps what it said. Both live on the control thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/random.h"
#include "data/json.h"
#include "discovery/kept_file.h"
#include "pipeline/ports.h"

namespace portloom::discovery {

class Source : public pipeline::EndpointSource, public pipeline::StatusSource {
 public:
  // Within a loop.
  virtual void start() = 0;
  // What was wrong with its file, for whoever runs the process; empty: nothing.
  virtual const std::string& warning() const = 0;
  // All that it knows was told since start(), or it is here and has nothing to wait for.
  virtual bool complete() const = 0;
};

class Contact {
 public:
  static constexpr Duration again_first = 100ms;
  static constexpr Duration again_most = 5s;
  static constexpr Duration save_after = 1s;  // from one writing of the file to the next

  // `source`: its label in metrics. `file` empty: what it says is kept nowhere.
  Contact(std::string source, std::string file, Instant now);
  // What the file holds; empty: nothing that can be used. To be asked once; from then on the file can be written.
  std::optional<std::string> kept();
  void warn(std::string what) { warning_ = std::move(what); }
  const std::string& warning() const { return warning_; }

  // It has answered. `steady`: and nothing speaks against asking at once when it fails next.
  void heard(Instant now, bool steady = true);
  // It has not; how long to wait, later each time, by chance up to half as long.
  Duration failed(std::string why);
  Instant confirmed() const { return confirmed_; }
  const std::string& fault() const { return fault_; }

  // What it says has changed; written soon, and at the latest by finish().
  void touch() { unsaved_ = true; }
  void save(Instant now, const std::function<std::string()>& text);
  void finish(const std::function<std::string()>& text);

  // Members of an object that is open: state, age_s, and what there is of error, file, file_error.
  void write_status(data::JsonWriter& json) const;
  // Of all of them, one metric after the other.
  static void write_metrics(std::string& page, std::span<const Contact* const> contacts);

 private:
  std::string source_;
  std::string path_;
  std::string warning_;
  std::unique_ptr<KeptFile> file_;
  bool unsaved_ = false;
  Instant save_at_{};
  Instant confirmed_{};
  std::string fault_ = "not asked yet";
  uint32_t failures_ = 0;
  uint64_t answers_ = 0;
  uint64_t errors_ = 0;
  Random random_{random_seed()};
};

}  // namespace portloom::discovery
