// pipeline/ports.h
//
// The small interfaces through which folders of rank 5 meet without knowing each other; app/ joins them.
#pragma once

#include <string>
#include <string_view>

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
  virtual void write_status(std::string& json) const = 0;   // one JSON value
  virtual void write_metrics(std::string& page) const = 0;  // Prometheus text
};

}  // namespace portloom::pipeline
