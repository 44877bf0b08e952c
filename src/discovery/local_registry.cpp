// discovery/local_registry.cpp
//
// One coroutine gives the state its turns; a snapshot follows a change after a second, after more where it is large.
#include "discovery/local_registry.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/text.h"
#include "data/json_members.h"
#include "data/json_text.h"
#include "data/slicer.h"

namespace portloom::discovery {
namespace {

constexpr Duration turn_every = 500ms;
constexpr Duration save_after = 1s;
constexpr Duration save_pause_per_instance = 10us;
constexpr size_t texts_max = 64 << 20;  // bytes of kept JSON; then all of it is made anew

uint64_t first_version(WallTime wall) { return static_cast<uint64_t>(std::max<int64_t>(wall.time_since_epoch() / 1us, 1)); }

void metric(std::string& page, std::string_view name, std::string_view help, std::string_view type, uint64_t value) {
  page += "# HELP ";
  page.append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ").append(type).append("\n").append(name) += ' ';
  append_number(page, value);
  page += '\n';
}

}  // namespace

LocalRegistry::LocalRegistry(Settings settings, Instant now, WallTime wall)
    : settings_(std::move(settings)), state_(settings_.limits, first_version(wall), random_seed()) {
  state_.on_change = [this](const Registry::Service& service) { told(service); };
  settled_at_ = now + settling_for;
  if (settings_.file.empty()) return;
  Result<std::optional<std::string>> kept = KeptFile::read(settings_.file);
  if (!kept)
    warning_ = kept.error().detail;
  else if (*kept && !restore(**kept, now))
    warning_ = settings_.file + " holds no snapshot of a registry and is not used";
  else if (*kept)
    settled_at_ = now;
  state_.turn(now);
  unsaved_ = false;
  file_ = std::make_unique<KeptFile>(settings_.file);
}

LocalRegistry::~LocalRegistry() { stop(); }

void LocalRegistry::start() { scope_.spawn(work, this); }

void LocalRegistry::stop() {
  scope_.cancel();
  if (file_ != nullptr && unsaved_) file_->write(snapshot());
  unsaved_ = false;
}

Task<void> LocalRegistry::work(LocalRegistry* self) {
  while (true) {
    self->stirred_.reset();
    Instant now = Agenda::current().now();
    self->state_.turn(now);
    self->save(now);
    Instant due = std::min(self->state_.due(), now + turn_every);
    co_await self->stirred_.wait_until(std::max(due, now));
  }
}

void LocalRegistry::told(const Registry::Service& service) {
  unsaved_ = true;
  changed(service.name);
  for (const std::string& key : {service.name, std::string()}) {
    auto [first, last] = watches_.equal_range(key);
    for (auto at = first; at != last; ++at) at->second->changed.set();
  }
}

LocalRegistry::Watch::Watch(LocalRegistry& registry, std::string service) : registry_(registry), service_(std::move(service)) {
  registry_.watches_.emplace(service_, this);
}

LocalRegistry::Watch::~Watch() {
  auto [first, last] = registry_.watches_.equal_range(service_);
  auto self = std::find_if(first, last, [this](const auto& one) { return one.second == this; });
  if (self != last) registry_.watches_.erase(self);
}

std::unique_ptr<LocalRegistry::Watch> LocalRegistry::watch(std::string_view service) {
  if (watches_.size() >= settings_.watchers_max) return nullptr;
  return std::make_unique<Watch>(*this, std::string(service));
}

const std::string& LocalRegistry::text_of(const Registry::Service& service) {
  if (texts_bytes_ > texts_max) {
    texts_.clear();
    texts_bytes_ = 0;
  }
  Text& text = texts_[service.name];
  if (text.edits == service.edits && !text.json.empty()) return text.json;
  texts_bytes_ -= text.json.size();
  text.json.clear();
  text.edits = service.edits;
  data::append_json_string(text.json, service.name);
  text.json += ':';
  data::JsonWriter json(text.json);
  json.begin_array();
  for (const auto& [id, entry] : service.entries) write_instance(json, entry.instance);
  json.end_array();
  texts_bytes_ += text.json.size();
  return text.json;
}

std::vector<pipeline::FoundEndpoint> LocalRegistry::endpoints(std::string_view name) const {
  std::vector<pipeline::FoundEndpoint> found;
  const Registry::Service* service = state_.find(name);
  if (service == nullptr) return found;
  std::unordered_set<std::string> seen;
  for (const auto& [id, entry] : service->entries) {
    const Instance& one = entry.instance;
    if (!one.draining && seen.insert(one.address.text()).second) found.push_back({one.address, one.weight, one.zone, one.version});
  }
  return found;
}

// {"version":N,"services":{"orders":[{"lease":"...","ttl":"15s","instance":{...}}]}}
std::string LocalRegistry::snapshot() const {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().member("version", state_.version()).key("services").begin_object();
  state_.each_since(0, [&json](const Registry::Service& service) {
    json.key(service.name).begin_array();
    for (const auto& [id, entry] : service.entries) {
      json.begin_object().member("lease", entry.token).member("ttl", format_duration(entry.ttl)).key("instance");
      write_instance(json, entry.instance);
      json.end_object();
    }
    json.end_array();
    return true;
  });
  json.end_object().end_object();
  return text;
}

bool LocalRegistry::restore(std::string_view text, Instant now) {
  std::expected<data::JsonSpan, data::JsonFault> span = data::slice(text, {.bytes = size_t{1} << 30});
  if (!span || data::kind_of_json(span->in(text)) != data::JsonKind::object) return false;
  bool good = false;
  data::each_json_member(span->in(text), [&](std::string_view part, std::string_view all) {
    std::string_view services = data::json_value_of(part, all);
    if (part != "services" || data::kind_of_json(services) != data::JsonKind::object) return;
    good = true;
    data::each_json_member(services, [&](std::string_view service, std::string_view whole) {
      std::string_view entries = data::json_value_of(service, whole);
      if (data::kind_of_json(entries) != data::JsonKind::array) return;
      data::each_json_item(entries, [&](std::string_view entry) {
        if (data::kind_of_json(entry) != data::JsonKind::object) return;
        std::string lease;
        Duration ttl = ttl_usual;
        std::expected<Instance, std::string> instance = std::unexpected("none");
        data::each_json_member(entry, [&](std::string_view name, std::string_view member) {
          std::string_view value = data::json_value_of(name, member);
          std::string said;
          bool is_text =
              data::kind_of_json(value) == data::JsonKind::string && data::decode_json_string(value.substr(1, value.size() - 2), said);
          if (name == "lease" && is_text) lease = said;
          if (name == "ttl" && is_text) ttl = std::clamp(parse_duration(said).value_or(ttl_usual), ttl_least, ttl_most);
          if (name == "instance" && data::kind_of_json(value) == data::JsonKind::object) instance = read_instance(value);
        });
        if (instance && !lease.empty()) state_.restore(service, std::move(*instance), std::move(lease), ttl, now);
      });
    });
  });
  return good;
}

void LocalRegistry::save(Instant now) {
  if (file_ == nullptr || !unsaved_ || now < save_at_) return;
  unsaved_ = false;
  save_at_ = now + save_after + save_pause_per_instance * static_cast<int64_t>(state_.instances());
  file_->write(snapshot());
}

void LocalRegistry::write_status(std::string& text) const {
  data::JsonWriter json(text);
  json.begin_object().member("version", state_.version()).member("services", state_.names()).member("instances", state_.instances());
  json.member("watchers", watches_.size()).member("settling", settling(Agenda::current().now()));
  if (!settings_.file.empty()) json.member("file", settings_.file);
  std::string fault = file_ == nullptr ? std::string() : file_->fault();
  if (!fault.empty()) json.member("file_error", fault);
  json.end_object();
}

void LocalRegistry::write_metrics(std::string& page) const {
  const Registry::Counts& counts = state_.counts();
  metric(page, "portloom_registry_services", "Services with an instance.", "gauge", state_.names());
  metric(page, "portloom_registry_instances", "Registered instances.", "gauge", state_.instances());
  metric(page, "portloom_registry_watchers", "Who waits for changes.", "gauge", watches_.size());
  metric(page, "portloom_registry_heartbeats_total", "Leases that were renewed.", "counter", counts.beats);
  page += "# HELP portloom_registry_changes_total What became of registrations.\n# TYPE portloom_registry_changes_total counter\n";
  auto change = [&page](std::string_view what, uint64_t count) {
    page.append("portloom_registry_changes_total{change=\"").append(what).append("\"} ");
    append_number(page, count);
    page += '\n';
  };
  change("registered", counts.registered);
  change("deregistered", counts.left);
  change("expired", counts.expired);
  change("refused", counts.refused);
}

}  // namespace portloom::discovery
