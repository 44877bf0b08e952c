// telemetry/sinks.h
//
// Fanout: one worker's record goes to each of several sinks, in the order they were added. Belongs to a worker.
#pragma once

#include <vector>

#include "pipeline/ports.h"

namespace portloom::telemetry {

class Fanout final : public pipeline::RecordSink {
 public:
  // `sink` outlives the Fanout. Not while a record is being written.
  void add(pipeline::RecordSink& sink) { sinks_.push_back(&sink); }
  void write(const pipeline::Record& record) override {
    for (pipeline::RecordSink* sink : sinks_) sink->write(record);
  }

 private:
  std::vector<pipeline::RecordSink*> sinks_;
};

}  // namespace portloom::telemetry
