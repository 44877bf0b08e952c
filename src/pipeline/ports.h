// pipeline/ports.h
//
// The small interfaces through which folders of rank 5 meet without knowing each other; app/ joins them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/address.h"
#include "pipeline/record.h"

namespace portloom::pipeline {

// Who is told of every finished exchange, on the worker that served it: the access log, the metrics, the traces.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void write(const Record& record) = 0;
};

// Why a connection was closed before it was served.
enum class Refused : uint8_t { connections, connections_per_address, memory, proxy_protocol };
constexpr size_t refused_count = 4;

// Counts that are not about one exchange; one object per worker, read by the metrics page from any thread. Listeners by name.
class Gauges {
 public:
  virtual ~Gauges() = default;
  virtual void connections(std::string_view listener, int change) = 0;  // open connections of a listener
  virtual void accept_paused(std::string_view listener) = 0;            // no descriptor was left
  virtual void handshake_failed(std::string_view listener) = 0;         // a client's TLS handshake came to nothing
  virtual void refused(std::string_view listener, Refused why) = 0;     // a connection was closed before it was served
};

// A part of /status and /metrics: asked on the admin thread.
class StatusSource {
 public:
  virtual ~StatusSource() = default;
  virtual std::string_view name() const = 0;
  virtual void write_status(std::string& json) const = 0;  // one JSON value
  virtual void write_text(std::string& /*text*/) const {}  // the same for people, lines with a blank one behind them; none: they do without
  virtual void write_metrics(std::string& page) const = 0;  // Prometheus text
};

// An instance that a source knows of and that takes requests.
struct FoundEndpoint {
  io::Address address;
  uint32_t weight = 1;
  std::string zone;     // empty: unknown
  std::string version;  // the same
};

// Where the endpoints of services come from that the configuration does not list. Control thread.
class EndpointSource {
 public:
  virtual ~EndpointSource() = default;
  // No address twice; in the same order while nothing changes. None: nobody is there, or nobody knows.
  virtual std::vector<FoundEndpoint> endpoints(std::string_view service) const = 0;
  // When what it says was confirmed last; of one in this process that is now.
  virtual Instant confirmed() const = 0;
  // What the last question met with; empty: it is well.
  virtual std::string fault() const = 0;
  // Who is told, by service, that something changed there. One; empty: nobody.
  void tell(std::function<void(std::string_view service)> changed) { changed_ = std::move(changed); }

 protected:
  void changed(std::string_view service) const {
    if (changed_) changed_(service);
  }

 private:
  std::function<void(std::string_view)> changed_;
};

}  // namespace portloom::pipeline
