// compose/composition.h
//
// Composition: a Service that makes one answer of several calls. Made with its plan on one worker; outlives every request that runs
// through it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compose/form.h"
#include "compose/stale.h"
#include "config/composition.h"
#include "data/slicer.h"
#include "pipeline/rewrite.h"
#include "pipeline/service.h"

namespace portloom::compose {

// Whom a call asks.
struct Target {
  pipeline::Service* service = nullptr;
  std::string method;
  std::unique_ptr<pipeline::Rewrite> rewrite;  // null: the request goes on as it is, to another composition
  std::optional<Form> body;
};

struct Fallback {
  std::optional<Form> value;
  std::optional<Target> target;
  std::optional<Duration> stale;
  bool omit = false;
};

struct Call {
  std::string name;
  std::string key;      // "name": with its quotes and the colon
  std::string service;  // or composition: what `failures` calls it
  Target target;
  std::optional<data::Expression> when;
  Duration timeout{};
  size_t bytes_max = 0;
  std::vector<std::string> pick;
  std::vector<std::string> omit;
  std::vector<Fallback> fallback;
  std::vector<size_t> needs;                                       // calls that it waits for
  std::vector<config::CompositionOrder::Reference> must_be_there;  // without an alternative
  data::JsonSelection selection;                                   // what others want of its result
  bool referred_to = false;                                        // somebody wants a part of it, or all
  bool wanted = true;
  std::shared_ptr<StaleStore> kept;  // null: nothing is kept
};

class Composition final : public pipeline::Service {
 public:
  static constexpr size_t body_bytes_max = 1024 * 1024;  // of a client's body that is read
  using FindService = std::function<pipeline::Service*(std::string_view name)>;
  // The answers kept for the call at `place` of the document: the same for every worker, as long as it is written as before.
  using FindKept = std::function<std::shared_ptr<StaleStore>(const std::string& place, const StaleStore::Config& asked)>;
  // `written` was checked; it and the services outlive this. `path` is its place in the document, `name` what logs call it.
  Composition(const config::Composition& written, const std::string& path, std::string name, Duration call_timeout,
              const FindService& service, const FindService& composition, const FindKept& kept);
  Task<pipeline::Response> call(pipeline::Request& request) override;

  const std::vector<Call>& calls() const { return calls_; }
  std::vector<Call>& calls() { return calls_; }
  const config::Composition& written() const { return written_; }
  const std::string& name() const { return name_; }
  const std::optional<Form>& body() const { return body_; }
  // Of the client's body. Empty: nobody wants any of it, and it is not read.
  const std::optional<data::JsonSelection>& of_body() const { return of_body_; }

 private:
  const config::Composition& written_;
  std::string name_;
  std::vector<Call> calls_;
  std::optional<Form> body_;
  std::vector<std::vector<data::JsonSelection::Step>> body_paths_;  // those of compositions that it asks too
  std::optional<data::JsonSelection> of_body_;
};

}  // namespace portloom::compose
