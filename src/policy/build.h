// policy/build.h
//
// From configuration to live policies. app/ fills the Catalogue with add_policies, then asks for one object per worker and
// place where a policy is written. Control thread only: a policy is made there and moves to its worker with the plan (it
// owns nothing from the pool). `document` and `states` outlive the policies.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "config/catalogue.h"
#include "config/document.h"
#include "data/part.h"
#include "pipeline/service.h"

namespace portloom::policy {

// What policies share process-wide (counters), kept over reloads: a state is found again by its kind and place as long as
// the configuration there is equal. One object per process. Control thread only, so it needs no lock; the states
// themselves are used by all workers and see to that. Each worker has another, for what is its own.
class States {
 public:
  // State is made from a Config and has a member `config` to compare with.
  template <class State, class Config>
  std::shared_ptr<State> keep(std::string_view kind, std::string_view place, const Config& config) {
    std::shared_ptr<void>& kept = kept_[std::string(kind) + ' ' + std::string(place)];
    auto state = std::static_pointer_cast<State>(kept);
    if (state == nullptr || !(state->config == config)) {
      state = std::make_shared<State>(config);
      kept = state;
    }
    return state;
  }
  // The one that is kept there; null: none.
  template <class State>
  std::shared_ptr<State> find(std::string_view kind, std::string_view place) const {
    auto kept = kept_.find(std::string(kind) + ' ' + std::string(place));
    return kept == kept_.end() ? nullptr : std::static_pointer_cast<State>(kept->second);
  }
  // Drops what no policy uses any more. Call it when the plans before the current ones are gone.
  void forget_unused() {
    std::erase_if(kept_, [](const auto& entry) { return entry.second.use_count() == 1; });
  }
  size_t size() const { return kept_.size(); }

 private:
  std::map<std::string, std::shared_ptr<void>> kept_;
};

struct Building {
  std::string place;   // where it is written, for instance Part::path: one set of counters per place; empty: Part::path
  std::string config;  // "FILE:LINE", for what is said about it
  const config::Document& document;
  States& states;
  States* worker = nullptr;  // the same for what each worker has for itself; null: it is not kept
};

// Every kind of all.def, and a look at the order in which they are written.
void add_policies(config::Catalogue& catalogue);

// A new object for one worker; null when `part` is no kind of all.def (a `chain` is expanded before).
std::unique_ptr<pipeline::Policy> make_policy(const data::Part& part, const Building& building);

// The limit of a service that finds out how many requests it can bear; `place` is the service.
std::unique_ptr<pipeline::Policy> adaptive_concurrency(const config::Concurrency& config, const Building& building);

// What a route gets that does not write it itself, outermost, before `written` (its policies, resolved): a timeout of 15 s.
std::vector<std::unique_ptr<pipeline::Policy>> default_route_policies(const std::vector<data::Part>& written);
// What a service gets that does not write it itself, before `written` (its policies, expanded): one retry, {attempts: 2,
// causes: [refused, reset]}. `worker` and `place` as in Building.
std::vector<std::unique_ptr<pipeline::Policy>> default_service_policies(const std::vector<data::Part>& written, States* worker = nullptr,
                                                                        std::string_view place = {});

}  // namespace portloom::policy
