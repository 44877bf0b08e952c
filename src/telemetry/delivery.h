// telemetry/delivery.h
//
// What routes, compositions and services deliver, as one worker counts it from its records; cells of MetricsShard. The words: an
// answer is *counted* when it speaks for or against somebody (4xx and clients that left do neither), it is *answered* when the
// client had a whole answer that is no 5xx, *complete* when no call's result was missing in it, *in time* when it met the objective.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "pipeline/record.h"
#include "telemetry/tally.h"

namespace portloom::telemetry {

using Verdict = pipeline::Record::Verdict;

// Of the whole, as the client saw it.
Verdict verdict_of(const pipeline::Record& record);
// What that says of the service that the request itself went to: nothing when a bound of the gateway's own was reached.
Verdict verdict_of_service(const pipeline::Record& record, Verdict whole);

// All that was counted since each name is known, of all workers. Never less than it was, while the name stays.
struct Delivered {
  struct Answers {
    uint64_t counted = 0;
    uint64_t answered = 0;  // of a service: delivered
    uint64_t complete = 0;
    uint64_t in_time = 0;
  };
  struct Composition {
    Answers answers;
    std::map<std::string, uint64_t, std::less<>> made;  // by call
  };
  std::map<std::string, Answers, std::less<>> routes;
  std::map<std::string, Answers, std::less<>> services;
  std::map<std::string, Composition, std::less<>> compositions;
};

struct RouteDelivery {
  Counter counted;
  Counter answered;
  Counter complete;
  Counter in_time;
  // `latency`: the objective; 0: every answer is in time.
  void count(const pipeline::Record& record, Verdict whole, Duration latency);
  void add_to(Delivered::Answers& total) const;
};

struct ServiceDelivery {
  Counter counted;
  Counter delivered;
  void count(Verdict verdict) {
    if (verdict != Verdict::delivered && verdict != Verdict::failed) return;
    counted.add();
    if (verdict == Verdict::delivered) delivered.add();
  }
  void add_to(Delivered::Answers& total) const;
};

struct CompositionDelivery {
  Counter counted;
  Counter answered;
  Counter complete;
  Tally made;  // by call, how often: a call with `when` is not made each time
  void count(Verdict verdict, bool degraded);
  void add_to(Delivered::Composition& total) const;
};

}  // namespace portloom::telemetry
