// discovery/etcd_source.cpp
//
// List, then watch; a watch that breaks is taken up again where it was, at the next member. Where that revision is known no more, or
// belongs to another cluster, everything is listed again; what was known is used until then.
#include "discovery/etcd_source.h"

#include <algorithm>
#include <unordered_set>

#include "async/race.h"
#include "data/json_members.h"
#include "data/json_text.h"
#include "data/slicer.h"

namespace portloom::discovery {
namespace {

constexpr int lists_in_a_row = 3;  // when what is being listed is compacted away
constexpr Duration breath = 20ms;  // between two attempts, be there a reason or not

std::string prefix_of(std::string_view path) { return std::string(path) + "/"; }

// For a line of text: a key is any bytes.
std::string shown(std::string_view path, std::string_view key) {
  std::string text;
  data::append_json_string(text, prefix_of(path) + std::string(key.substr(0, 128)));
  return text;
}

}  // namespace

EtcdSource::EtcdSource(Settings settings, http::Names& names, const std::shared_ptr<io::TlsClientContext>& tls, Instant now)
    : client_(std::move(settings.client), names, tls), contact_("etcd", settings.file, now), say_(std::move(settings.say)) {
  std::optional<std::string> kept = contact_.kept();
  if (kept && !read(*kept)) contact_.warn(settings.file + " holds no endpoints of etcd and is not used");
}

EtcdSource::~EtcdSource() { stop(); }

void EtcdSource::start() {
  scope_.spawn(work, this);
  scope_.spawn(publish, this);
}

void EtcdSource::stop() {
  scope_.cancel();
  contact_.finish([this] { return text(); });
}

void EtcdSource::follow(const std::vector<std::string>& paths) {
  bool other = services_.size() != paths.size();
  std::map<std::string, Service, std::less<>> next;
  for (const std::string& path : paths) {
    auto known = services_.find(path);
    other |= known == services_.end();
    next[path] = known == services_.end() ? Service{} : std::move(known->second);
  }
  services_ = std::move(next);
  if (other) paths_changed_.set();
}

bool EtcdSource::complete() const {
  return std::ranges::all_of(services_, [](const auto& entry) { return entry.second.listed; });
}

size_t EtcdSource::refused() const {
  size_t count = 0;
  for (const auto& [path, service] : services_) count += service.refused.size();
  return count;
}

const std::string* EtcdSource::denied() const {
  for (const auto& [path, service] : services_)
    if (!service.denied.empty()) return &service.denied;
  return nullptr;
}

Task<void> EtcdSource::work(EtcdSource* self) {
  while (true) {
    Fault why = co_await self->attempt();
    Duration wait = breath;
    if (why.kind == Fault::Kind::compacted) self->list_all_anew();
    if (why.kind == Fault::Kind::token) self->client_.forget_token();
    if (!why.text.empty()) {
      if (why.kind == Fault::Kind::away) self->client_.next_member();
      wait = self->contact_.failed(std::move(why.text));
    }
    self->remember(Agenda::current().now());
    co_await sleep_for(wait);
  }
}

Task<EtcdSource::Fault> EtcdSource::attempt() {
  paths_changed_.reset();
  Fault why = co_await list();
  if (!why.text.empty()) co_return std::move(why);
  if (services_.empty()) co_await paths_changed_.wait();
  if (paths_changed_.is_set()) co_return Fault{};
  std::tuple<std::optional<Fault>, std::optional<Fault>, std::optional<Fault>> first =
      co_await any(watch(), confirm(client_.member()), other_paths());
  if (std::get<0>(first)) co_return std::move(*std::get<0>(first));
  if (std::get<1>(first)) co_return std::move(*std::get<1>(first));
  co_return Fault{};
}

Task<EtcdSource::Fault> EtcdSource::other_paths() {
  co_await paths_changed_.wait();
  co_return Fault{};
}

void EtcdSource::list_all_anew() {
  for (auto& [path, service] : services_) service.revision = 0;
}

// Those that must be. One that we may not read hinders no other.
Task<EtcdSource::Fault> EtcdSource::list() {
  std::vector<std::string> paths;
  for (const auto& [path, service] : services_)
    if (service.revision == 0) paths.push_back(path);
  size_t denials = 0;
  for (const std::string& path : paths) {
    Fault why;
    for (int tried = 0; tried < lists_in_a_row; ++tried) {
      why = co_await list_one(path);
      if (why.kind != Fault::Kind::compacted || cluster_ == 0) break;
    }
    if (paths_changed_.is_set()) co_return Fault{};
    if (why.kind == Fault::Kind::refused && !why.text.empty()) {
      ++denials;
      deny(path, why.text);
      if (denials < services_.size()) continue;
    }
    if (!why.text.empty()) co_return std::move(why);
  }
  co_return Fault{};
}

// Page by page, all of one revision; in force when the last one is here.
Task<EtcdSource::Fault> EtcdSource::list_one(std::string path) {
  Service fresh;
  etcd::Range range{.key = prefix_of(path), .end = etcd::end_of(prefix_of(path)), .limit = page_keys};
  size_t prefix = range.key.size();
  for (bool more = true; more;) {
    EtcdClient::Outcome<std::string> answer = co_await client_.ask("/v3/kv/range", etcd::write_range(range));
    if (!answer && answer.error().kind == Fault::Kind::too_large && range.limit > 1) {
      range.limit = std::max<uint64_t>(range.limit / 8, 1);
      continue;
    }
    if (!answer) co_return std::move(answer.error());
    std::optional<etcd::Pairs> page = etcd::read_range(*answer);
    if (!page || (page->more && page->pairs.empty()))
      co_return Fault{Fault::Kind::away, client_.member() + ": the answer to a range is none"};
    if (uint64_t before = std::exchange(cluster_, page->header.cluster); before != 0 && before != cluster_) {
      cluster_ = 0;
      co_return Fault{Fault::Kind::compacted, client_.member() + " belongs to another cluster than before"};
    }
    if (range.revision == 0) range.revision = fresh.revision = page->header.revision;
    for (const etcd::Pair& pair : page->pairs)
      if (pair.key.size() > prefix) put(path, fresh, std::string_view(pair.key).substr(prefix), pair.value);
    more = page->more;
    if (more) range.key = page->pairs.back().key + '\0';
  }
  auto service = services_.find(path);
  if (service == services_.end()) co_return Fault{};
  fresh.listed = true;
  fresh.told = service->second.told;
  bool same = service->second.instances == fresh.instances;
  service->second = std::move(fresh);
  contact_.heard(Agenda::current().now(), false);
  if (!same) touch(path);
  co_return Fault{};
}

void EtcdSource::deny(const std::string& path, std::string why) {
  auto service = services_.find(path);
  if (service == services_.end()) return;
  service->second.listed = true;
  service->second.revision = 0;
  if (service->second.denied != why && say_) say_("portloom: discovery.etcd: " + path + ": " + why);
  service->second.denied = std::move(why);
}

void EtcdSource::touch(const std::string& path) {
  contact_.touch();
  dirty_.insert(path);
  dirtied_.set();
}

Task<void> EtcdSource::publish(EtcdSource* self) {
  while (true) {
    self->dirtied_.reset();
    Instant now = Agenda::current().now();
    Instant next = never;
    std::vector<std::string> due;
    for (const std::string& path : self->dirty_) {
      auto service = self->services_.find(path);
      Instant at = now;
      if (service != self->services_.end())
        at = service->second.told + pause_per_instance * static_cast<int64_t>(service->second.instances.size());
      if (at <= now)
        due.push_back(path);
      else
        next = std::min(next, at);
    }
    for (const std::string& path : due) {
      self->dirty_.erase(path);
      auto service = self->services_.find(path);
      if (service == self->services_.end()) continue;
      service->second.told = now;
      self->changed(path);
    }
    if (!due.empty()) self->remember(now);
    [[maybe_unused]] bool sooner = co_await self->dirtied_.wait_until(next);
  }
}

Task<EtcdSource::Fault> EtcdSource::watch() {
  std::string body;
  watched_.clear();
  for (const auto& [path, service] : services_) {
    if (service.revision == 0) continue;  // we may not read it
    watched_.push_back(path);
    std::string prefix = prefix_of(path);
    body += etcd::write_watch({.key = prefix, .end = etcd::end_of(prefix), .revision = service.revision + 1, .id = watched_.size()});
  }
  Fault why;
  std::string line;  // what came of it
  auto take = [&](std::string_view piece) {
    while (!piece.empty()) {
      size_t end = piece.find('\n');
      line += piece.substr(0, end);
      piece.remove_prefix(end == std::string_view::npos ? piece.size() : end + 1);
      if (line.size() > line_max) {
        why = {Fault::Kind::compacted, client_.member() + " tells more at once than " + std::to_string(line_max >> 20) + " MiB"};
        return false;
      }
      if (end == std::string_view::npos) break;
      bool good = line.empty() || hear(line, why);
      line.clear();
      if (!good) return false;
    }
    return true;
  };
  Fault over = co_await client_.listen("/v3/watch", std::move(body), take);
  co_return why.text.empty() ? std::move(over) : std::move(why);
}

// Somebody answers, and has a leader. A watch at a member that is not the one in use any more may be silent because it is away.
Task<EtcdSource::Fault> EtcdSource::confirm(std::string member) {
  Duration until_list = denied() != nullptr ? denied_again : list_every;
  auto chance = random_.below(static_cast<uint64_t>(until_list.count() / 5));
  Instant list_at = Agenda::current().now() + until_list + Duration(static_cast<int64_t>(chance));
  etcd::Range range{.key = prefix_of(watched_.front()), .limit = 1, .keys_only = true};
  std::string asked = etcd::write_range(range);
  while (Agenda::current().now() < list_at) {
    co_await sleep_for(confirm_every);
    EtcdClient::Outcome<std::string> answer = co_await client_.ask("/v3/kv/range", asked);
    if (!answer) co_return std::move(answer.error());
    if (!etcd::read_range(*answer)) co_return Fault{Fault::Kind::away, client_.member() + ": the answer to a range is none"};
    Instant now = Agenda::current().now();
    contact_.heard(now);
    remember(now);
    if (client_.member() != member) co_return Fault{};
  }
  list_all_anew();
  co_return Fault{};
}

bool EtcdSource::hear(std::string_view line, Fault& why) {
  std::optional<etcd::News> news = etcd::read_news(line);
  if (!news) {
    why = {Fault::Kind::compacted, client_.member() + ": what a watch tells is none of etcd's"};
    return false;
  }
  auto service = news->id > 0 && news->id <= watched_.size() ? services_.find(watched_[news->id - 1]) : services_.end();
  if (news->failed || (news->canceled && news->compacted == 0)) {
    why = {EtcdClient::kind_of(0, news->why), client_.member() + " has ended the watch" + (news->why.empty() ? "" : ": " + news->why)};
    bool of_one = !news->failed && why.kind == Fault::Kind::refused && service != services_.end();
    if (of_one) deny(service->first, std::exchange(why, {}).text);
    return of_one;
  }
  if (service == services_.end()) return true;  // followed no more, or never
  bool elsewhere = news->header.cluster != cluster_;
  if (elsewhere || (news->created && news->header.revision < service->second.revision)) {  // restored from a copy, or late
    why = {Fault::Kind::compacted,
           client_.member() + (elsewhere ? " belongs to another cluster" : " is at an earlier revision") + " than before"};
    cluster_ = 0;
    return false;
  }
  if (news->compacted != 0) {
    service->second.revision = 0;
    return false;  // no fault: it is listed again
  }
  if (news->created && news->id == 1) contact_.heard(Agenda::current().now(), false);
  take(service->first, service->second, *news);
  return true;
}

void EtcdSource::take(const std::string& path, Service& service, const etcd::News& news) {
  if (news.events.empty() && !news.created) service.revision = std::max(service.revision, news.header.revision);  // all so far was told
  std::string prefix = prefix_of(path);
  bool other = false;
  for (const etcd::News::Event& event : news.events) {
    service.revision = std::max(service.revision, event.pair.revision);
    if (!event.pair.key.starts_with(prefix) || event.pair.key.size() == prefix.size()) continue;
    std::string_view key = std::string_view(event.pair.key).substr(prefix.size());
    other |= event.deleted ? remove(service, key) : put(path, service, key, event.pair.value);
  }
  if (other) touch(path);
}

bool EtcdSource::remove(Service& service, std::string_view key) {
  auto refused = service.refused.find(key.substr(0, key_max));
  if (refused != service.refused.end()) service.refused.erase(refused);
  auto known = service.instances.find(key);
  if (known == service.instances.end()) return false;
  service.instances.erase(known);
  return true;
}

bool EtcdSource::put(std::string_view path, Service& service, std::string_view key, std::string_view value) {
  auto known = service.instances.find(key);
  std::string why;
  if (key.size() > key_max) {
    why = "its key is longer than " + std::to_string(key_max) + " bytes";
  } else if (value.size() > value_max) {
    why = "it is longer than " + std::to_string(value_max >> 10) + " KiB";
  } else if (known == service.instances.end() && service.instances.size() >= instances_of_a_service) {
    why = "there are " + std::to_string(instances_of_a_service) + " already";
  } else {
    std::expected<Instance, std::string> read = read_value(value);
    if (read) {
      if (known != service.instances.end() && known->second == *read) return false;
      remove(service, key);
      service.instances.emplace(key, std::move(*read));
      return true;
    }
    why = std::move(read.error());
  }
  bool was = remove(service, key);
  refuse(path, service, key, why);
  return was;
}

// A key that was told of before is not told of again, a list after the other.
void EtcdSource::refuse(std::string_view path, Service& service, std::string_view key, const std::string& why) {
  key = key.substr(0, key_max);
  auto known = services_.find(path);
  bool told = known != services_.end() && known->second.refused.contains(key);
  if (service.refused.size() < instances_of_a_service) service.refused.emplace(key);
  if (told || !say_) return;
  Instant now = Agenda::current().now();
  if (now < tell_at_) {
    ++untold_;
    return;
  }
  tell_at_ = now + tell_every;
  std::string others = untold_ == 0 ? std::string() : "; so were " + std::to_string(untold_) + " others";
  untold_ = 0;
  say_("portloom: discovery.etcd: " + shown(path, key) + " is no instance and is passed over: " + why + others);
}

std::vector<pipeline::FoundEndpoint> EtcdSource::endpoints(std::string_view path) const {
  std::vector<pipeline::FoundEndpoint> found;
  auto service = services_.find(path);
  if (service == services_.end()) return found;
  std::unordered_set<std::string> seen;
  for (const auto& [key, one] : service->second.instances)
    if (!one.draining && seen.insert(one.address.text()).second) found.push_back({one.address, one.weight, one.zone, one.version});
  return found;
}

void EtcdSource::remember(Instant now) {
  contact_.save(now, [this] { return text(); });
}

std::string EtcdSource::text() const {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().key("etcd").begin_object();
  for (const auto& [path, service] : services_) {
    json.key(path).begin_object();
    for (const auto& [key, one] : service.instances) {
      json.key(key);
      write_instance(json, one);
    }
    json.end_object();
  }
  json.end_object().end_object();
  return text;
}

bool EtcdSource::read(std::string_view text) {
  std::expected<data::JsonSpan, data::JsonFault> span = data::slice(text, {.bytes = size_t{1} << 30});
  if (!span || data::kind_of_json(span->in(text)) != data::JsonKind::object) return false;
  bool good = false;
  auto name_of = [](std::string_view inside) {
    std::string name;
    return data::decode_json_string(inside, name) ? name : std::string();
  };
  data::each_json_member(span->in(text), [&](std::string_view name, std::string_view member) {
    std::string_view paths = data::json_value_of(name, member);
    if (name != "etcd" || data::kind_of_json(paths) != data::JsonKind::object) return;
    good = true;
    data::each_json_member(paths, [&](std::string_view path, std::string_view keys) {
      std::string_view instances = data::json_value_of(path, keys);
      if (data::kind_of_json(instances) != data::JsonKind::object) return;
      Service& service = services_[name_of(path)];
      data::each_json_member(instances, [&](std::string_view key, std::string_view one) {
        std::expected<Instance, std::string> instance = read_value(data::json_value_of(key, one));
        if (instance) service.instances.insert_or_assign(name_of(key), std::move(*instance));
      });
    });
  });
  return good;
}

void EtcdSource::write_status(std::string& text) const {
  size_t instances = 0;
  for (const auto& [path, service] : services_) instances += service.instances.size();
  data::JsonWriter json(text);
  json.begin_object().member("member", client_.member());
  contact_.write_status(json);
  json.member("services", services_.size()).member("instances", instances).member("refused", refused());
  if (const std::string* why = denied()) json.member("denied", *why);
  json.end_object();
}

void EtcdSource::write_metrics(std::string& page) const {
  page += "# HELP portloom_discovery_refused Values in etcd that are no instances.\n# TYPE portloom_discovery_refused gauge\n";
  page += "portloom_discovery_refused{source=\"etcd\"} " + std::to_string(refused()) + "\n";
}

}  // namespace portloom::discovery
