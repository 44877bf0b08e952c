// upstream/directory.cpp
//
// One coroutine looks four times a second for names whose time is over; each question is one of its own.
#include "upstream/directory.h"

#include <algorithm>
#include <set>

#include "data/json.h"
#include "upstream/hash_table.h"

namespace portloom::upstream {

namespace {

constexpr Duration watch_every = 250ms;

bool is_name(const config::Address& address) {
  if (address.is_unix()) return false;
  return address.host == "localhost" || !io::Address::parse(address.text());  // which may be ::1 as well
}

}  // namespace

void Directory::use(Lookup& lookup, Settings settings) {
  settings_ = settings;
  if (lookup_ == &lookup) return;
  bool running = running_;
  stop();
  lookup_ = &lookup;
  if (running) start();
}

std::string Directory::fault_of(const std::string& name) const {
  auto known = names_.find(name);
  return known == names_.end() ? std::string() : known->second.error;
}

std::vector<std::string> Directory::unknown_names(const config::Service& service) const {
  std::vector<std::string> unknown;
  for (const auto& [address, weight] : service.endpoints)
    if (is_name(address) && !names_.contains(address.host)) unknown.push_back(address.host);
  return unknown;
}

void Directory::learn(const std::string& name, Result<Answer> answer, Instant now) {
  Name& known = names_[name];
  known.asking = false;
  if (answer) {
    known.addresses = std::move(answer->addresses);
    known.answered = now;
    known.ttl = std::clamp(answer->ttl, ttl_least, ttl_most);
    known.failures = known.denials = 0;
    known.error.clear();
    // Not all gateways ask in the same moment.
    known.due = now + known.ttl - Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(known.ttl.count() / 10))));
    return;
  }
  known.error = std::move(answer.error().detail);
  known.failures = std::min(known.failures + 1, 16U);
  known.denials = answer.error().code == Code::no_endpoint ? known.denials + 1 : 0;
  if (known.denials >= denials_needed || now - known.answered > settings_.keep_stale) known.addresses.clear();
  Duration wait = std::min(again_most, again_first * (1 << (known.failures - 1)));
  if (known.denials > 0 && known.denials < denials_needed) wait = again_first;
  known.due = now + wait - Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(wait.count() / 4))));
}

Instances Directory::instances(const Service& service) const {
  Instances all;
  if (!service.registry.empty() && source_ != nullptr) {
    for (pipeline::FoundEndpoint& found : source_->endpoints(service.registry)) {
      std::string host = found.address.host();
      all.push_back({std::move(found.address), found.weight, std::move(host)});
    }
    return all;
  }
  auto add = [&all](io::Address address, uint32_t weight, const std::string& host) {
    bool there = std::any_of(all.begin(), all.end(), [&address](const Instance& one) { return one.address == address; });
    if (!there) all.push_back({std::move(address), weight, host});
  };
  for (const auto& [address, weight] : service.written) {
    if (!is_name(address)) {
      add(*io::Address::parse(address.text()), weight, address.host);
      continue;
    }
    auto known = names_.find(address.host);
    if (known == names_.end()) continue;
    for (const io::Address& found : known->second.addresses) add(found.with_port(address.port), weight, address.host);
  }
  return all;
}

void Directory::publish(Service& service) {
  if (!service.registry.empty() && source_ == nullptr && service.published->version() > 0) return;  // nobody says what changed
  Instances now = instances(service);
  if (service.published->version() > 0 && now == service.current) return;
  now.table = HashTable::make(service.balance, now);
  service.current = now;
  service.published->set(std::make_shared<const Instances>(std::move(now)));
}

std::shared_ptr<Endpoints> Directory::endpoints(const std::string& name, const std::vector<config::ServiceEndpoint>& written,
                                                config::Balance balance) {
  auto [first, last] = services_.equal_range(name);
  auto known = std::find_if(first, last, [&](const auto& entry) {
    return entry.second.registry.empty() && entry.second.written == written && entry.second.balance == balance;
  });
  if (known == last) known = services_.emplace(name, Service{written, {}, std::make_shared<Endpoints>(), {}, balance});
  publish(known->second);
  return known->second.published;
}

std::shared_ptr<Endpoints> Directory::registered(const std::string& name, const std::string& registry, config::Balance balance) {
  auto [first, last] = services_.equal_range(name);
  auto known =
      std::find_if(first, last, [&](const auto& entry) { return entry.second.registry == registry && entry.second.balance == balance; });
  if (known == last) {
    known = services_.emplace(name, Service{{}, registry, std::make_shared<Endpoints>(), {}, balance});
    by_registered_name_.emplace(registry, &known->second);
  }
  publish(known->second);
  return known->second.published;
}

void Directory::use(pipeline::EndpointSource* source) {
  if (source_ == source) return;
  if (source_ != nullptr) source_->tell({});
  source_ = source;
  if (source_ == nullptr) return;  // what was known last stays published
  source_->tell([this](std::string_view registry) { publish_registered(registry); });
  for (auto& [registry, service] : by_registered_name_) publish(*service);
}

void Directory::publish_registered(std::string_view registry) {
  auto [first, last] = by_registered_name_.equal_range(std::string(registry));
  for (auto at = first; at != last; ++at) publish(*at->second);
}

void Directory::index_registered() {
  by_registered_name_.clear();
  for (auto& [name, service] : services_)
    if (!service.registry.empty()) by_registered_name_.emplace(service.registry, &service);
}

void Directory::put_in_force(const EndpointsByService& chosen, const HealthByService& health) {
  for (auto& [name, service] : services_) {
    auto one = chosen.find(name);
    service.in_force = one != chosen.end() && one->second == service.published;
    auto how = health.find(name);
    service.health = service.in_force && how != health.end() ? how->second : nullptr;
  }
  std::erase_if(services_, [](const auto& entry) { return entry.second.published.use_count() == 1; });
  index_registered();
  std::set<std::string, std::less<>> needed;
  for (const auto& [name, service] : services_)
    for (const auto& [address, weight] : service.written) needed.insert(address.host);
  std::erase_if(names_, [&needed](const auto& entry) { return !needed.contains(entry.first); });
}

void Directory::start() {
  running_ = true;
  scope_.spawn(watch, this);
}

void Directory::stop() {
  running_ = false;
  scope_.cancel();
  for (auto& [host, name] : names_) name.asking = false;
}

Task<void> Directory::watch(Directory* self) {
  while (true) {
    Instant now = Agenda::current().now();
    for (auto& [host, name] : self->names_) {
      if (name.asking || name.due > now) continue;
      name.asking = true;
      self->scope_.spawn(refresh, self, host);
    }
    co_await sleep_for(watch_every);
  }
}

Task<void> Directory::refresh(Directory* self, std::string name) {
  Result<Answer> answer = co_await self->lookup_->lookup(name);
  if (!self->names_.contains(name)) co_return;  // no service needs it any more
  self->learn(name, std::move(answer), Agenda::current().now());
  for (auto& [ignored, service] : self->services_) {
    auto uses = [&name](const config::ServiceEndpoint& one) { return one.address.host == name; };
    if (std::any_of(service.written.begin(), service.written.end(), uses)) self->publish(service);
  }
}

namespace {

void write_health(data::JsonWriter& json, const Health& health, const Instance& instance, Instant now) {
  Health::Verdict verdict = health.verdict(key_of(instance));
  json.member("health", name_of(verdict.state));
  if (verdict.state == Health::State::fit) return;
  json.member("reason", std::string_view(verdict.why));
  if (verdict.state == Health::State::ejected)
    json.member("back_in_s", static_cast<uint64_t>(std::max<Duration>(verdict.until - now, Duration{}) / 1s));
}

}  // namespace

void Directory::write_status(std::string& text) const {
  Instant now = Agenda::current().now();
  data::JsonWriter json(text);
  json.begin_object();
  for (const auto& [name, service] : services_) {
    if (!service.in_force) continue;
    json.key(name).begin_array();
    for (const Instance& instance : service.current) {
      json.begin_object().member("address", instance.address.text()).member("weight", instance.weight);
      auto known = names_.find(instance.host);
      if (!service.registry.empty()) {
        json.member("registry", service.registry);
        json.member("state", source_ != nullptr && source_->fault().empty() ? "current" : "stale");
        if (source_ != nullptr) json.member("age_s", static_cast<uint64_t>((now - source_->confirmed()) / 1s));
      } else if (known != names_.end()) {
        json.member("host", instance.host);
        json.member("state", known->second.failures == 0 ? "current" : "stale");
        json.member("age_s", static_cast<uint64_t>((now - known->second.answered) / 1s));
        if (!known->second.error.empty()) json.member("error", known->second.error);
      } else {
        json.member("state", "static");
      }
      if (service.health) write_health(json, *service.health, instance, now);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
}

void Directory::write_metrics(std::string& page) const {
  page += "# HELP portloom_endpoints Endpoints of a service, by state.\n# TYPE portloom_endpoints gauge\n";
  for (const auto& [name, service] : services_) {
    if (!service.in_force) continue;
    size_t fresh = 0;
    size_t stale = 0;
    for (const Instance& instance : service.current) {
      bool away = !service.registry.empty() && (source_ == nullptr || !source_->fault().empty());
      auto known = names_.find(instance.host);
      away |= known != names_.end() && known->second.failures > 0;
      (away ? stale : fresh) += 1;
    }
    page += "portloom_endpoints{service=\"" + name + "\",state=\"current\"} " + std::to_string(fresh) + "\n";
    page += "portloom_endpoints{service=\"" + name + "\",state=\"stale\"} " + std::to_string(stale) + "\n";
    if (service.health == nullptr) continue;
    std::map<std::string_view, size_t> states = {{"fit", 0}, {"ejected", 0}, {"unhealthy", 0}};
    for (const Instance& instance : service.current) ++states[name_of(service.health->verdict(key_of(instance)).state)];
    for (const auto& [state, count] : states)
      page.append("portloom_endpoints{service=\"" + name + "\",state=\"").append(state).append("\"} " + std::to_string(count) + "\n");
  }
}

}  // namespace portloom::upstream
