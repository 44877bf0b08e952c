// discovery/follower.cpp
//
// Ask, take over, ask again; after a failure a little later, and later each time.
#include "discovery/follower.h"

#include <algorithm>
#include <unordered_set>

#include "base/text.h"
#include "config/place.h"
#include "data/json_members.h"
#include "data/slicer.h"

namespace portloom::discovery {

Follower::Follower(std::unique_ptr<http::Fetcher> fetcher, Settings settings, Instant now)
    : fetcher_(std::move(fetcher)), contact_("registry", settings.file, now) {
  std::optional<std::string> kept = contact_.kept();
  if (!kept) return;
  std::optional<Changes> changes = read(*kept);
  if (!changes) contact_.warn(settings.file + " holds no endpoints and is not used");
  if (!changes) return;
  for (auto& [name, instances] : changes->services) services_[name].left = std::move(instances);
}

Follower::~Follower() { stop(); }

void Follower::stop() {
  scope_.cancel();
  contact_.finish([this] { return text(); });
}

Task<void> Follower::work(Follower* self) {
  while (true) {
    http::Fetcher::Question question;
    question.target = "/v1/changes?version=" + std::to_string(self->version_) + "&wait=" + format_duration(poll_wait);
    Result<http::Fetcher::Answer> answer = co_await self->fetcher_->ask(std::move(question), Agenda::current().now() + answer_max);
    Instant now = Agenda::current().now();
    std::optional<Changes> changes;
    std::string fault;
    if (!answer)
      fault = answer.error().detail.empty() ? std::string(name_of(answer.error().code)) : answer.error().detail;
    else if (answer->status != 200)
      fault = "the registry answers " + std::to_string(answer->status);
    else if (!(changes = read(answer->body)))
      fault = "the registry's answer is not one";
    Duration wait{};
    if (changes) {
      self->contact_.heard(now);
      self->take(std::move(*changes));
    } else {
      wait = self->contact_.failed(std::move(fault));
    }
    self->contact_.save(now, [self] { return self->text(); });
    if (wait > Duration{}) co_await sleep_for(wait);
  }
}

std::optional<Follower::Changes> Follower::read(std::string_view text) {
  std::expected<data::JsonSpan, data::JsonFault> span = data::slice(text, {.bytes = size_t{1} << 30});
  if (!span || data::kind_of_json(span->in(text)) != data::JsonKind::object) return std::nullopt;
  Changes changes;
  bool good = true;
  bool has_version = false;
  bool has_services = false;
  auto take_service = [&](std::string_view name, std::string_view member) {
    std::string_view list = data::json_value_of(name, member);
    if (data::kind_of_json(list) != data::JsonKind::array || !config::is_name(name)) {
      good = false;
      return;
    }
    std::vector<Instance>& instances = changes.services[std::string(name)];
    data::each_json_item(list, [&](std::string_view item) {
      if (data::kind_of_json(item) != data::JsonKind::object) return;
      std::expected<Instance, std::string> instance = read_instance(item);
      if (instance) instances.push_back(std::move(*instance));  // one that this version does not understand is passed over
    });
  };
  data::each_json_member(span->in(text), [&](std::string_view name, std::string_view member) {
    std::string_view value = data::json_value_of(name, member);
    if (name == "version") {
      std::optional<uint64_t> number = parse_number(value);
      has_version = number.has_value();
      changes.version = number.value_or(0);
    }
    if (name == "more") changes.more = value == "true";
    if (name == "settling") changes.settling = value == "true";
    if (name == "reset") changes.reset = value == "true";
    if (name != "services" || data::kind_of_json(value) != data::JsonKind::object) return;
    has_services = true;
    data::each_json_member(value, take_service);
  });
  if (!good || !has_version || !has_services) return std::nullopt;
  return changes;
}

// What was told is from before now, until it is told again.
void Follower::begin_anew() {
  catching_up_ = true;
  for (auto& [name, service] : services_) {
    std::unordered_set<std::string> ids;
    for (const Instance& one : service.told) ids.insert(one.id);
    std::erase_if(service.left, [&ids](const Instance& one) { return ids.contains(one.id); });
    std::move(service.told.begin(), service.told.end(), std::back_inserter(service.left));
    service.told.clear();
  }
}

void Follower::take(Changes changes) {
  if (changes.reset && version_ != 0) begin_anew();
  version_ = changes.version;
  std::vector<std::string> touched;
  for (auto& [name, instances] : changes.services) {
    services_[name].told = std::move(instances);
    touched.push_back(name);
  }
  if (!changes.more && !changes.settling && catching_up_) {
    catching_up_ = false;
    for (auto& [name, service] : services_) {
      if (service.left.empty()) continue;
      service.left.clear();
      if (!changes.services.contains(name)) touched.push_back(name);
    }
  }
  if (!changes.more) complete_ = true;
  if (!touched.empty()) contact_.touch();
  for (const std::string& name : touched) {
    changed(name);
    auto service = services_.find(name);
    if (service->second.told.empty() && service->second.left.empty()) services_.erase(service);
  }
}

std::vector<pipeline::FoundEndpoint> Follower::endpoints(std::string_view name) const {
  std::vector<pipeline::FoundEndpoint> found;
  auto service = services_.find(std::string(name));
  if (service == services_.end()) return found;
  std::unordered_set<std::string> seen;
  auto add = [&](const Instance& one) {
    if (!one.draining && seen.insert(one.address.text()).second) found.push_back({one.address, one.weight, one.zone, one.version});
  };
  std::unordered_set<std::string_view> ids;
  for (const Instance& one : service->second.told) {
    ids.insert(one.id);
    add(one);
  }
  for (const Instance& one : service->second.left)
    if (!ids.contains(one.id)) add(one);
  return found;
}

std::string Follower::text() const {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().member("version", version_).key("services").begin_object();
  for (const auto& [name, service] : services_) {
    json.key(name).begin_array();
    std::unordered_set<std::string_view> ids;
    for (const auto* list : {&service.told, &service.left})
      for (const Instance& one : *list)
        if (ids.insert(one.id).second) write_instance(json, one);
    json.end_array();
  }
  json.end_object().end_object();
  return text;
}

void Follower::write_status(std::string& text) const {
  data::JsonWriter json(text);
  json.begin_object().member("url", std::string(fetcher_->origin().secure ? "https://" : "http://") + fetcher_->origin().authority());
  contact_.write_status(json);
  json.member("version", version_).member("services", services_.size()).end_object();
}

}  // namespace portloom::discovery
