// telemetry/log_rules.cpp
//
// No header field's value is ever in the log (but the request's id), so of `redact` only the query parameters have work to do.
#include "telemetry/log_rules.h"

#include <cmath>

#include "http/form.h"

namespace portloom::telemetry {

LogRules::LogRules(const config::AccessLog& configured) {
  auto millionths = [](config::Percent share) { return static_cast<uint64_t>(std::llround(share.fraction * static_cast<double>(all))); };
  ok_ = millionths(configured.sample.ok);
  failed_ = millionths(configured.sample.failed);
  constexpr std::string_view query = "query.";
  for (const std::string& name : configured.redact)
    if (name.starts_with(query)) parameters_.push_back(name.substr(query.size()));
}

bool LogRules::is_hidden(std::string_view name) const {
  for (const std::string& parameter : parameters_)
    if (http::form_equals(name, parameter)) return true;  // however it is escaped
  return false;
}

std::string_view LogRules::redact_query(std::string_view path, size_t query, std::string& room) const {
  size_t copied = 0;  // of the path; 0 while nothing had to be replaced
  http::for_each_parameter(path.substr(query), [&](std::string_view name, std::string_view value) {
    if (value.empty() || !is_hidden(name)) return true;
    if (copied == 0) room.clear();
    auto begin = static_cast<size_t>(value.data() - path.data());
    room.append(path.substr(copied, begin - copied)).append(hidden);
    copied = begin + value.size();
    return true;
  });
  if (copied == 0) return path;
  return room.append(path.substr(copied));
}

}  // namespace portloom::telemetry
