// config/composition.h
//
// Several services as one answer: what is asked, in which order that follows from what refers to what, and what stands in for a call
// that fails. A call without a fallback is required.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "config/destination.h"
#include "config/place.h"
#include "data/anything.h"
#include "data/expression.h"

namespace portloom::config {

bool is_call_name(std::string_view text);    // letters, digits, _ and -
bool is_root(std::string_view text);         // "query": what a part of the request begins with, so no call and no parameter
bool is_call_method(std::string_view text);  // a method whose answer has a body

// Whom a call asks, and for what.
struct CallTarget : Rewrite {
  std::string service;
  std::string method = "GET";
  data::Anything body;

  void visit_target(this auto& self, auto& field) {
    using namespace data::rules;
    field("service", self.service, refers_to("service"), "A name under `services`.");
    field("method", self.method, valid(is_call_method, "a method whose answer has a body, like GET"), "The method.");
    field("path", self.path, computes, "The path.");
    field("query", self.query, computes, "The query; a parameter without a value is left out.");
    field("host", self.host, computes, "The host that the service sees. Without it: the client's.");
    field("headers", self.headers, computes, at_most(headers_max), valid(data::is_header_name, "a header name"),
          "Header fields that have this one value; one without a value is left out.");
    field("body", self.body, computes, "The body, as JSON: a text that is one expression keeps the value's type and bytes.");
  }
  void check_target(data::Checker& checker) const;
};

// One alternative for a call that failed: exactly one of `value`, `service`, `stale` and `omit`.
struct Fallback : CallTarget {
  data::Anything value;
  std::optional<Duration> stale;
  bool omit = false;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("value", self.value, computes, "This value.");
    field("stale", self.stale, at_least(Duration(1ms)), "The call's last good answer to the same question, when it is no older than this.");
    field("omit", self.omit, "Nothing: the answer has no such member.");
    self.visit_target(field);
  }
  void check(data::Checker& checker) const;
};

struct Call : CallTarget {
  std::string composition;
  std::string when;
  std::optional<Duration> timeout;
  Size limit{1024 * 1024};
  std::vector<std::string> pick;
  std::vector<std::string> omit;
  std::vector<Fallback> fallback;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    self.visit_target(field);
    field("composition", self.composition, refers_to("composition"), "In place of `service`: a name under `compositions`.");
    field("when", self.when, expression, "The call is made only when this is there and not false, null or empty.");
    field("timeout", self.timeout, at_least(Duration(1ms)),
          "From its start to the end of its answer, retries included. Without it: `defaults.call.timeout`.");
    field("limit", self.limit, at_least(Size{1}), at_most(Size{uint64_t{1} << 30}), "The largest answer that is taken.");
    field("pick", self.pick, "Of an answer that is an object: only these members.");
    field("omit", self.omit, "Of an answer that is an object: all members but these.");
    field("fallback", self.fallback, "What stands in when it fails, tried in order. Without it the call is required.");
    field.later("rpc", "foreach");
  }
  void check(data::Checker& checker) const;
};

// How the gateway calls its own members of the answer.
struct AnswerNames {
  std::string degraded = "degraded";
  std::string failed_services = "failedServices";
  bool failures = false;
  bool server_timing = false;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("degraded", self.degraded, at_least(1), "The member that is true when a call has failed.");
    field("failed_services", self.failed_services, at_least(1), "The member that lists the names of the calls that failed.");
    field("failures", self.failures, "A third member, `failures`: of each its service, reason, status, time and what stood in.");
    field("server_timing", self.server_timing, "A Server-Timing field with the time of each call.");
  }
  void check(data::Checker& checker) const;
  bool operator==(const AnswerNames&) const = default;
  // Is it a member of ours?
  bool has(std::string_view name) const { return name == degraded || name == failed_services || (failures && name == "failures"); }
};

struct Composition {
  static constexpr size_t calls_max = 64;
  static constexpr size_t depth_max = 4;           // of compositions in compositions
  static constexpr size_t calls_in_all_max = 256;  // with those of the compositions that it asks
  Named<Call> calls;
  std::optional<Duration> timeout;
  AnswerNames answer;
  data::Anything body;
  Position at;

  void visit_composition(this auto& self, auto& field) {
    using namespace data::rules;
    field("calls", self.calls, at_least(1), at_most(calls_max), valid(is_call_name, "a name of letters, digits, _ and -"),
          "Run at once, but for those that refer to another's result: they wait for it.");
    field("timeout", self.timeout, at_least(Duration(1ms)), "For all of it: what has not answered by then counts as timed out.");
    field("answer", self.answer, "The gateway's own members of the answer.");
    field("body", self.body, computes, "The answer as it will look. Without it: each result under its call's name, in the order written.");
    field.later("views");
  }
  void visit(this auto& self, auto& field) { self.visit_composition(field); }
  void check(data::Checker& checker) const;
};

// The destination `{composition: NAME}`, or `{composition: {calls: …}}`.
struct CompositionDestination : Composition {
  std::string name;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("name", self.name, short_form, refers_to("composition"),
          "A name under `compositions`; or the composition itself, with the keys below.");
    self.visit_composition(field);
  }
  void check(data::Checker& checker) const;
};

// What refers to what, worked out of the texts.
struct CompositionOrder {
  struct Reference {
    size_t call;       // whose result is meant, by its place
    std::string text;  // where it is written
    std::string path;  // of that text in the document
    size_t at;         // in the text
    bool alone;        // no alternative stands beside it
    data::Operand operand;
  };
  std::vector<std::vector<Reference>> references;               // by call; the last: of `body`
  std::vector<size_t> stage;                                    // by call: 0 runs at once; `cyclic` in a circle
  std::vector<bool> wanted;                                     // by call: something in the answer needs it
  std::vector<std::vector<data::JsonSelection::Step>> of_body;  // what anybody wants of the request's body
  static constexpr size_t cyclic = ~size_t{0};
  size_t stages() const;
};
// `path` is the composition's in the document.
CompositionOrder order_of(const Composition& composition, const std::string& path);
// "a needs b, b needs a": the circle that begins with this call. Empty when there is none, or an earlier call of it tells of it.
std::string circle_at(const Composition& composition, const CompositionOrder& order, size_t call);

}  // namespace portloom::config
