// discovery/registry.cpp
//
// A beat moves the end of a lease and nothing else; the queue of ends is put right when the old end comes.
#include "discovery/registry.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "config/place.h"

namespace portloom::discovery {

std::string make_token() {
  std::array<unsigned char, 16> bytes{};
  CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  std::string text;
  for (unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

bool same_secret(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < one.size(); ++i) difference |= static_cast<unsigned>(one[i] ^ other[i]);
  return difference == 0;
}

std::unexpected<Registry::Refused> Registry::refuse(Refusal why, std::string detail) {
  ++counts_.refused;
  return std::unexpected(Refused{why, std::move(detail)});
}

void Registry::touch(Service& service) {
  ++service.edits;
  if (std::exchange(service.dirty, true)) return;
  dirty_.push_back(&service);
}

Registry::Outcome<Registry::Service*> Registry::room_for(std::string_view name) {
  if (live_.size() >= limits_.instances)
    return refuse(Refusal::full, "the registry is full: " + std::to_string(live_.size()) + " instances");
  auto known = services_.find(name);
  if (known != services_.end()) {
    if (known->second.entries.size() < limits_.instances_of_a_name) return &known->second;
    return refuse(Refusal::full, std::string(name) + " has " + std::to_string(known->second.entries.size()) + " instances already");
  }
  if (services_.size() >= limits_.names) forget_oldest();
  if (services_.size() >= limits_.names)
    return refuse(Refusal::full, "the registry is full: " + std::to_string(services_.size()) + " services");
  Service& fresh = services_[std::string(name)];
  fresh.name = name;
  return &fresh;
}

// A service without instances; watchers who have not heard of its end begin anew.
void Registry::forget_oldest() {
  auto oldest = std::find_if(gone_.begin(), gone_.end(), [](const auto& one) { return !one.second->dirty; });
  if (oldest == gone_.end()) return;
  auto [version, service] = *oldest;
  floor_ = std::max(floor_, version);
  by_version_.erase(version);
  gone_.erase(oldest);
  services_.erase(services_.find(service->name));
}

Registry::Outcome<Registry::Lease> Registry::enter(std::string_view name, Instance instance, Duration ttl, std::string_view token,
                                                   Instant now) {
  expire(now);
  if (!config::is_name(name)) return refuse(Refusal::invalid, "a service's name has letters, digits, _ - and ., 128 at most");
  if (!config::is_name(instance.id)) return refuse(Refusal::invalid, "an id has letters, digits, _ - and ., 128 at most");
  if (auto known = services_.find(name); known != services_.end()) {
    Service& service = known->second;
    if (auto there = service.entries.find(instance.id); there != service.entries.end()) {
      Entry& entry = there->second;
      if (entry.instance.address != instance.address && !same_secret(entry.token, token))
        return refuse(Refusal::taken, "the id " + instance.id + " belongs to the instance at " + entry.instance.address.text());
      if (entry.instance != instance) touch(service);
      entry.instance = std::move(instance);
      entry.token = make_token();
      entry.ttl = ttl;
      entry.ends = now + ttl;
      if (entry.ends < entry.looked_at) look_at(entry);
      ++counts_.registered;
      return Lease{entry.token, ttl, false};
    }
  }
  Outcome<Service*> service = room_for(name);
  if (!service) return std::unexpected(std::move(service.error()));
  Entry entry{.instance = std::move(instance), .token = make_token(), .ttl = ttl, .ends = now + ttl, .serial = ++serial_};
  Lease lease{entry.token, ttl, true};
  live_.emplace(entry.serial, Place{*service, entry.instance.id});
  look_at(entry);
  std::string id = entry.instance.id;
  (*service)->entries.emplace(std::move(id), std::move(entry));
  touch(**service);
  ++counts_.registered;
  return lease;
}

void Registry::restore(std::string_view name, Instance instance, std::string token, Duration ttl, Instant now) {
  if (!config::is_name(name) || !config::is_name(instance.id)) return;
  Outcome<Service*> service = room_for(name);
  if (!service || (*service)->entries.contains(instance.id)) return;
  Duration grace = ttl + Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(ttl.count()))));
  std::string id = instance.id;
  Entry entry{.instance = std::move(instance), .token = std::move(token), .ttl = ttl, .ends = now + grace, .serial = ++serial_};
  live_.emplace(entry.serial, Place{*service, id});
  look_at(entry);
  (*service)->entries.emplace(std::move(id), std::move(entry));
  touch(**service);
}

Registry::Outcome<Registry::Entry*> Registry::owned(std::string_view name, std::string_view id, std::string_view token, Instant now) {
  expire(now);
  auto service = services_.find(name);
  if (service != services_.end()) {
    auto entry = service->second.entries.find(id);
    if (entry != service->second.entries.end()) {
      if (same_secret(entry->second.token, token)) return &entry->second;
      return refuse(Refusal::not_yours, "this is not the lease of " + std::string(id));
    }
  }
  return refuse(Refusal::unknown, std::string(name) + " has no instance " + std::string(id) + ": register it (again)");
}

Registry::Outcome<Duration> Registry::beat(std::string_view name, std::string_view id, std::string_view token, Instant now) {
  Outcome<Entry*> entry = owned(name, id, token, now);
  if (!entry) return std::unexpected(std::move(entry.error()));
  (*entry)->ends = now + (*entry)->ttl;
  ++counts_.beats;
  return (*entry)->ttl;
}

Registry::Outcome<void> Registry::drain(std::string_view name, std::string_view id, std::string_view token, Instant now) {
  Outcome<Entry*> entry = owned(name, id, token, now);
  if (!entry) return std::unexpected(std::move(entry.error()));
  if (std::exchange((*entry)->instance.draining, true)) return {};
  touch(services_.find(name)->second);
  return {};
}

Registry::Outcome<void> Registry::leave(std::string_view name, std::string_view id, std::string_view token, Instant now) {
  Outcome<Entry*> entry = owned(name, id, token, now);
  if (!entry) return std::unexpected(std::move(entry.error()));
  Service& service = services_.find(name)->second;
  remove(service, service.entries.find(id));
  ++counts_.left;
  return {};
}

void Registry::remove(Service& service, std::map<std::string, Entry, std::less<>>::iterator entry) {
  live_.erase(entry->second.serial);
  service.entries.erase(entry);
  touch(service);
}

void Registry::look_at(Entry& entry) {
  entry.looked_at = entry.ends;
  ends_.push({entry.ends, entry.serial});
}

void Registry::expire(Instant now) {
  if (looked_ != Instant{} && now - looked_ > stopped_after) pardoned_ = now;
  looked_ = now;
  while (!ends_.empty() && ends_.top().at <= now) {
    Due due = ends_.top();
    ends_.pop();
    auto place = live_.find(due.serial);
    if (place == live_.end()) continue;
    Service& service = *place->second.service;
    auto found = service.entries.find(place->second.id);
    Entry& entry = found->second;
    if (entry.looked_at != due.at) continue;  // it is looked at sooner
    if (entry.ends <= pardoned_) entry.ends = pardoned_ + entry.ttl;
    if (entry.ends > now) {
      look_at(entry);
      continue;
    }
    remove(service, found);
    ++counts_.expired;
  }
}

void Registry::turn(Instant now) {
  expire(now);
  std::vector<Service*> waiting;
  for (Service* service : std::exchange(dirty_, {})) {
    if (may_tell(*service) > now && service->version != 0)
      waiting.push_back(service);
    else
      tell(*service, now);
  }
  dirty_.insert(dirty_.end(), waiting.begin(), waiting.end());
}

void Registry::tell(Service& service, Instant now) {
  by_version_.erase(service.version);
  gone_.erase(service.version);
  service.version = ++version_;
  service.told = now;
  service.dirty = false;
  by_version_.emplace(service.version, &service);
  if (service.entries.empty()) gone_.emplace(service.version, &service);
  if (on_change) on_change(service);
}

Instant Registry::due() const {
  Instant due = ends_.empty() ? never : ends_.top().at;
  for (const Service* service : dirty_) due = std::min(due, service->version == 0 ? Instant{} : may_tell(*service));
  return due;
}

const Registry::Service* Registry::find(std::string_view name) const {
  auto known = services_.find(name);
  return known == services_.end() ? nullptr : &known->second;
}

void Registry::each_since(uint64_t version, const std::function<bool(const Service&)>& visit) const {
  for (auto at = by_version_.upper_bound(version); at != by_version_.end(); ++at)
    if (!visit(*at->second)) return;
}

}  // namespace portloom::discovery
