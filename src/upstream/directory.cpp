// upstream/directory.cpp
//
// One coroutine looks four times a second for names whose time is over; each question is one of its own.
#include "upstream/directory.h"

#include <algorithm>
#include <numeric>
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

std::vector<std::string> Directory::faults_of(const config::Service& service) const {
  std::vector<std::string> faults;
  auto add = [&faults](const auto& known, const std::string& name) {
    auto one = known.find(name);
    if (one != known.end() && !one->second.error.empty()) faults.push_back(one->second.error);
  };
  for (const auto& [address, weight] : service.written()) add(names_, address.host);
  add(srvs_, service.srv());
  auto srv = srvs_.find(service.srv());
  if (srv == srvs_.end()) return faults;
  for (const SrvTarget& target : srv->second.targets) add(names_, target.host);
  return faults;
}

std::vector<std::string> Directory::unknown_names(const config::Service& service) const {
  std::vector<std::string> unknown;
  for (const auto& [address, weight] : service.written())
    if (is_name(address) && !names_.contains(address.host)) unknown.push_back(address.host);
  auto srv = srvs_.find(service.srv());
  if (srv == srvs_.end()) return unknown;
  for (const SrvTarget& target : srv->second.targets)
    if (auto known = names_.find(target.host); known == names_.end() || known->second.pending()) unknown.push_back(target.host);
  return unknown;
}

std::vector<std::string> Directory::unknown_srvs(const config::Named<config::Service>& services) const {
  std::set<std::string> unknown;
  for (const auto& [name, service] : services)
    if (!service.srv().empty() && !srvs_.contains(service.srv())) unknown.insert(service.srv());
  return {unknown.begin(), unknown.end()};
}

void Directory::confirm(Standing& standing, Duration ttl, Instant now) {
  standing.asking = false;
  standing.answered = now;
  standing.ttl = std::clamp(ttl, ttl_least, ttl_most);
  standing.failures = standing.denials = 0;
  standing.error.clear();
  // Not all gateways ask in the same moment.
  auto early = static_cast<int64_t>(random_.below(static_cast<uint64_t>(standing.ttl.count() / 10)));
  standing.due = now + standing.ttl - Duration(early);
}

bool Directory::miss(Standing& standing, Error error, Instant now) {
  standing.asking = false;
  standing.error = std::move(error.detail);
  standing.failures = std::min(standing.failures + 1, 16U);
  standing.denials = error.code == Code::no_endpoint ? standing.denials + 1 : 0;
  Duration wait = std::min(again_most, again_first * (1 << (standing.failures - 1)));
  if (standing.denials > 0 && standing.denials < denials_needed) wait = again_first;
  standing.due = now + wait - Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(wait.count() / 4))));
  return standing.denials >= denials_needed || now - standing.answered > settings_.keep_stale;
}

void Directory::learn(const std::string& name, Result<Answer> answer, Instant now) {
  Name& known = names_[name];
  if (answer) {
    known.addresses = std::move(answer->addresses);
    confirm(known, answer->ttl, now);
  } else if (miss(known, std::move(answer.error()), now)) {
    known.addresses.clear();
  }
}

// Hosts that are new are asked for next.
void Directory::learn_targets(const std::string& name, Result<SrvTargets> answer, Instant now) {
  Srv& known = srvs_[name];
  if (answer) {
    known.targets = std::move(answer->list);
    confirm(known, answer->ttl, now);
  } else if (miss(known, std::move(answer.error()), now)) {
    known.targets.clear();
  }
  for (const SrvTarget& target : known.targets) names_.try_emplace(target.host);
}

// Those of the lowest priority that has any address: the next one stands in where there is none.
void Directory::add_targets(const std::string& srv, Instances& all) const {
  auto known = srvs_.find(srv);
  if (known == srvs_.end()) return;
  const std::vector<SrvTarget>& targets = known->second.targets;
  for (auto first = targets.begin(); first != targets.end() && all.empty();) {
    auto last = std::find_if(first, targets.end(), [&first](const SrvTarget& one) { return one.priority != first->priority; });
    uint16_t most = 0;
    for (auto one = first; one != last; ++one) most = std::max(most, one->weight);
    uint32_t common = 0;
    for (; first != last; ++first) {
      auto name = names_.find(first->host);
      if (name == names_.end()) continue;
      uint32_t weight = weight_of(*first, most, name->second.addresses.size());
      for (const io::Address& address : name->second.addresses) {
        io::Address at = address.with_port(first->port);
        bool there = std::any_of(all.begin(), all.end(), [&at](const Instance& one) { return one.address == at; });
        if (there) continue;
        all.push_back({std::move(at), weight, first->host});
        common = std::gcd(common, weight);
      }
    }
    for (Instance& one : all) one.weight /= common;
  }
}

bool Directory::pending(const std::string& srv) const {
  auto known = srvs_.find(srv);
  if (known == srvs_.end()) return false;
  return std::ranges::any_of(known->second.targets, [this](const SrvTarget& target) {
    auto name = names_.find(target.host);
    return name != names_.end() && name->second.pending();
  });
}

bool Directory::uses(const Service& service, const std::string& host) const {
  if (std::ranges::any_of(service.written, [&host](const config::ServiceEndpoint& one) { return one.address.host == host; })) return true;
  auto srv = srvs_.find(service.srv);
  return srv != srvs_.end() && std::ranges::any_of(srv->second.targets, [&host](const SrvTarget& one) { return one.host == host; });
}

Instances Directory::instances(const Service& service) const {
  Instances all;
  if (const pipeline::EndpointSource* source = source_of(service); source != nullptr) {
    for (pipeline::FoundEndpoint& found : source->endpoints(service.found)) {
      std::string host = found.address.host();
      all.push_back({std::move(found.address), found.weight, std::move(host)});
    }
    return all;
  }
  if (!service.srv.empty()) {
    add_targets(service.srv, all);
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
  if (!service.source.empty() && source_of(service) == nullptr && service.published->version() > 0) return;  // nobody says what changed
  bool waits = service.published->version() > 0 && !service.current.empty() && pending(service.srv);
  if (waits) return;  // hosts that are new are about to be found: until then those before them serve
  Instances now = instances(service);
  if (service.published->version() > 0 && now == service.current) return;
  now.table = HashTable::make(service.balance, now);
  service.current = now;
  service.published->set(std::make_shared<const Instances>(std::move(now)));
}

std::shared_ptr<Endpoints> Directory::endpoints(const std::string& name, const std::vector<config::ServiceEndpoint>& written,
                                                config::Balance balance, const std::string& srv) {
  auto [first, last] = services_.equal_range(name);
  auto known = std::find_if(first, last, [&](const auto& entry) {
    return entry.second.source.empty() && entry.second.written == written && entry.second.srv == srv && entry.second.balance == balance;
  });
  if (known == last) known = services_.emplace(name, Service{written, srv, {}, {}, std::make_shared<Endpoints>(), {}, balance});
  publish(known->second);
  return known->second.published;
}

namespace {
std::string key_of(std::string_view source, std::string_view name) { return std::string(source) + ' ' + std::string(name); }
}  // namespace

std::shared_ptr<Endpoints> Directory::found(const std::string& service, std::string_view source, std::string_view name,
                                            config::Balance balance) {
  auto [first, last] = services_.equal_range(service);
  auto known = std::find_if(first, last, [&](const auto& entry) {
    return entry.second.source == source && entry.second.found == name && entry.second.balance == balance;
  });
  if (known == last) {
    known = services_.emplace(service, Service{{}, {}, std::string(source), std::string(name), std::make_shared<Endpoints>(), {}, balance});
    by_found_.emplace(key_of(source, name), &known->second);
  }
  publish(known->second);
  return known->second.published;
}

const pipeline::EndpointSource* Directory::source_of(const Service& service) const {
  if (service.source.empty()) return nullptr;
  auto known = sources_.find(service.source);
  return known == sources_.end() ? nullptr : known->second;
}

void Directory::use(std::string_view source, pipeline::EndpointSource* who) {
  auto known = sources_.find(source);
  if (known != sources_.end() && known->second == who) return;
  if (known != sources_.end()) {
    known->second->tell({});
    sources_.erase(known);
  }
  if (who == nullptr) return;  // what was known last stays published
  sources_.emplace(source, who);
  who->tell([this, source = std::string(source)](std::string_view name) { publish_found(source, name); });
  for (auto& [key, service] : by_found_)
    if (service->source == source) publish(*service);
}

void Directory::publish_found(std::string_view source, std::string_view name) {
  auto [first, last] = by_found_.equal_range(key_of(source, name));
  for (auto at = first; at != last; ++at) publish(*at->second);
}

void Directory::index_found() {
  by_found_.clear();
  for (auto& [name, service] : services_)
    if (!service.source.empty()) by_found_.emplace(key_of(service.source, service.found), &service);
}

void Directory::put_in_force(const EndpointsByService& chosen, const HealthByService& health) {
  for (auto& [name, service] : services_) {
    auto one = chosen.find(name);
    service.in_force = one != chosen.end() && one->second == service.published;
    auto how = health.find(name);
    service.health = service.in_force && how != health.end() ? how->second : nullptr;
  }
  std::erase_if(services_, [](const auto& entry) { return entry.second.published.use_count() == 1; });
  index_found();
  std::set<std::string, std::less<>> needed;
  std::set<std::string, std::less<>> srvs;
  for (const auto& [name, service] : services_) {
    for (const auto& [address, weight] : service.written) needed.insert(address.host);
    if (!service.srv.empty()) srvs.insert(service.srv);
  }
  std::erase_if(srvs_, [&srvs](const auto& entry) { return !srvs.contains(entry.first); });
  for (const auto& [name, srv] : srvs_)
    for (const SrvTarget& target : srv.targets) needed.insert(target.host);
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
  for (auto& [host, srv] : srvs_) srv.asking = false;
}

Task<void> Directory::watch(Directory* self) {
  while (true) {
    Instant now = Agenda::current().now();
    for (auto& [host, name] : self->names_) {
      if (name.asking || name.due > now) continue;
      name.asking = true;
      self->scope_.spawn(refresh, self, host);
    }
    for (auto& [host, srv] : self->srvs_) {
      if (srv.asking || srv.due > now) continue;
      srv.asking = true;
      self->scope_.spawn(refresh_srv, self, host);
    }
    co_await sleep_for(watch_every);
  }
}

Task<void> Directory::refresh(Directory* self, std::string name) {
  Result<Answer> answer = co_await self->lookup_->lookup(name);
  if (!self->names_.contains(name)) co_return;  // no service needs it any more
  self->learn(name, std::move(answer), Agenda::current().now());
  for (auto& [ignored, service] : self->services_)
    if (self->uses(service, name)) self->publish(service);
}

Task<void> Directory::refresh_srv(Directory* self, std::string name) {
  Result<SrvTargets> answer = co_await self->lookup_->targets(name);
  if (!self->srvs_.contains(name)) co_return;  // no service needs it any more
  self->learn_targets(name, std::move(answer), Agenda::current().now());
  for (auto& [ignored, service] : self->services_)
    if (service.srv == name) self->publish(service);
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
      if (!service.source.empty()) {
        const pipeline::EndpointSource* source = source_of(service);
        json.member(service.source, service.found);
        json.member("state", source != nullptr && source->fault().empty() ? "current" : "stale");
        if (source != nullptr) json.member("age_s", static_cast<uint64_t>((now - source->confirmed()) / 1s));
      } else if (known != names_.end()) {
        json.member("host", instance.host);
        json.member("state", known->second.failures == 0 ? "current" : "stale");
        json.member("age_s", static_cast<uint64_t>((now - known->second.answered) / 1s));
        if (!known->second.error.empty()) json.member("error", known->second.error);
        auto srv = srvs_.find(service.srv);
        if (srv != srvs_.end()) json.member("srv", service.srv);
        if (srv != srvs_.end() && !srv->second.error.empty()) json.member("srv_error", srv->second.error);
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
    const pipeline::EndpointSource* source = source_of(service);
    for (const Instance& instance : service.current) {
      bool away = !service.source.empty() && (source == nullptr || !source->fault().empty());
      auto known = names_.find(instance.host);
      away |= known != names_.end() && known->second.failures > 0;
      auto srv = srvs_.find(service.srv);
      away |= srv != srvs_.end() && srv->second.failures > 0;
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
