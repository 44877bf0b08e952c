// app/inspection.h
//
// The verbs that look at a configuration and start nothing: explain, plan, routes, diff. And the same explanation for the admin API.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/explain.h"
#include "app/wiring.h"

namespace CLI {
class App;
}

namespace portloom::app {

class Inspection {
 public:
  // Adds the verbs to the command line; lives until it was parsed and run() was asked.
  explicit Inspection(CLI::App& app);
  // The exit status, when one of the verbs was given.
  std::optional<int> run();

 private:
  int explain_command();
  int plan_command();
  int routes_command();
  int diff_command();

  CLI::App* explain_ = nullptr;
  CLI::App* plan_ = nullptr;
  CLI::App* routes_ = nullptr;
  CLI::App* diff_ = nullptr;
  std::string file_;
  std::string other_;
  std::vector<std::string> fields_;  // "Name: value"
  std::string format_ = "text";
  std::string route_;
  std::string plan_format_ = "svg";
  Question question_;
};

// What `plan` prints of the route, or of the composition, that has this name: svg, text or json. Code::invalid: there is none.
Result<std::string> plan_of(const config::Loaded& loaded, const std::string& name, const std::string& format);

// With what the limits have left, where names lead and what `look` sees there just now. `query` is that of GET /explain: method, url,
// listener, from, header
// ("Name: value", several), format. Code::invalid: what is wrong with it.
Result<std::string> explain_query(const Blueprint& blueprint, const policy::States& states, std::string_view query,
                                  Running::Look look = {});

}  // namespace portloom::app
