// app/discovery.cpp
//
// A way is made aside, then put in force; the one before it serves until the next has heard from its source.
#include "app/discovery.h"

#include <set>

#include "app/gateway.h"
#include "data/print.h"
#include "discovery/registry_service.h"

namespace portloom::app {
namespace {

Result<std::shared_ptr<io::TlsClientContext>> context_of(const std::shared_ptr<const io::TlsClientMaterial>& material) {
  if (material == nullptr) return std::shared_ptr<io::TlsClientContext>();
  return io::TlsClientContext::make(material);
}

// Its port cannot be opened twice; the rest is handed on.
std::string facts_of(const config::RegistryPlace& place, const Materials& materials) {
  if (place.here()) return "here " + place.bind().text();
  return data::format_value(data::shape_of<config::RegistryPlace>(), &place) + '\n' + std::to_string(materials.registry_digest);
}

std::string facts_of(const config::EtcdPlace& place, const Materials& materials) {
  return data::format_value(data::shape_of<config::EtcdPlace>(), &place) + '\n' + std::to_string(materials.etcd_digest);
}

}  // namespace

discovery::Source* Discovery::Way::source() const {
  if (etcd != nullptr) return etcd.get();
  if (follower != nullptr) return follower.get();
  return registry.get();
}

bool Discovery::Lane::differs(bool wanted, const std::string& facts) {
  prepared.reset();
  keep = in_force != nullptr ? in_force->facts == facts : !wanted;
  return wanted && !keep;
}

Result<void> Discovery::prepare(const config::Document& next, const Materials& materials) {
  token_ = materials.registry_token;
  password_ = materials.etcd_password;
  std::set<std::string> paths;
  for (const auto& [name, service] : next.services)
    if (!service.etcd.empty()) paths.insert(service.etcd);
  paths_.assign(paths.begin(), paths.end());
  Result<void> prepared = prepare_etcd(next, materials);
  if (prepared) prepared = prepare_registry(next, materials);
  return prepared;
}

void Discovery::forget_prepared() {
  registry_.prepared.reset();
  etcd_.prepared.reset();
}

Result<void> Discovery::prepare_registry(const config::Document& next, const Materials& materials) {
  const std::optional<config::RegistryPlace>& place = next.discovery.registry;
  std::string facts = place ? facts_of(*place, materials) : std::string();
  bool differs = registry_.differs(place.has_value(), facts);
  if (registry_.keep && place && place->here() && place->file != registry_.in_force->file)
    say("portloom: discovery.registry.file takes effect with a restart of the process");
  if (!differs) return {};
  auto way = std::make_unique<Way>();
  way->facts = std::move(facts);
  way->file = place->file;
  Instant now = Agenda::current().now();
  if (place->here()) {
    discovery::LocalRegistry::Settings settings{.file = place->file, .token = token_};
    way->registry = std::make_unique<discovery::LocalRegistry>(std::move(settings), now, wall_now());
    std::string text = place->bind().text();
    std::optional<io::Address> address = io::Address::parse(text);
    if (!address) return failure(Code::invalid, Side::gateway, "discovery.registry: " + text + " is no address to listen on");
    Result<std::unique_ptr<ServiceDoor>> door =
        ServiceDoor::open(*address, std::make_unique<discovery::RegistryService>(*way->registry), "registry", connections_max);
    if (!door) return std::unexpected(std::move(door.error()));
    way->door = std::move(*door);
  } else {
    way->names = std::make_shared<HostNames>();
    Result<std::shared_ptr<io::TlsClientContext>> tls = context_of(materials.registry_tls);
    if (!tls) return std::unexpected(std::move(tls.error()));
    auto fetcher = std::make_unique<http::Fetcher>(*http::Origin::parse(place->url), *way->names, std::move(*tls));
    way->follower = std::make_unique<discovery::Follower>(std::move(fetcher), discovery::Follower::Settings{place->file}, now);
  }
  registry_.prepared = std::move(way);
  return {};
}

Result<void> Discovery::prepare_etcd(const config::Document& next, const Materials& materials) {
  const std::optional<config::EtcdPlace>& place = next.discovery.etcd;
  std::string facts = place ? facts_of(*place, materials) : std::string();
  if (!etcd_.differs(place.has_value(), facts)) return {};
  Result<std::shared_ptr<io::TlsClientContext>> tls = context_of(materials.etcd_tls);
  if (!tls) return std::unexpected(std::move(tls.error()));
  auto way = std::make_unique<Way>();
  way->facts = std::move(facts);
  way->file = place->file;
  way->names = std::make_shared<HostNames>();
  discovery::EtcdSource::Settings settings{.client = {place->endpoints, place->username, password_}, .file = place->file, .say = say};
  way->etcd = std::make_unique<discovery::EtcdSource>(std::move(settings), *way->names, *tls, Agenda::current().now());
  etcd_.prepared = std::move(way);
  return {};
}

void Discovery::take(std::shared_ptr<upstream::Resolver> resolver) {
  take(etcd_, resolver);
  take(registry_, resolver);
}

void Discovery::take(Lane& lane, const std::shared_ptr<upstream::Resolver>& resolver) {
  if (!lane.keep) {
    lane.scope.cancel();
    if (lane.before == nullptr) lane.before = std::move(lane.in_force);  // else the one in force has not come to serve
    lane.in_force = std::move(lane.prepared);
    if (lane.in_force == nullptr) {
      directory_.use(lane.kind, nullptr);
      lane.before.reset();
      return;
    }
    const std::string& warning = lane.in_force->source()->warning();
    if (!warning.empty()) say("portloom: discovery." + std::string(lane.kind) + ": " + warning);
  }
  Way* way = lane.in_force.get();
  if (way == nullptr) return;
  if (way->names != nullptr) way->names->use(resolver);
  if (way->registry != nullptr) way->registry->use(token_);
  if (way->etcd != nullptr) way->etcd->use(password_);
  if (way->etcd != nullptr) way->etcd->follow(paths_);
  if (lane.keep) return;
  way->source()->start();
  lane.scope.spawn(hand_over, this, &lane);
  if (lane.before == nullptr) directory_.use(lane.kind, way->source());  // nobody else knows anything
}

Task<void> Discovery::hand_over(Discovery* self, Lane* lane) {
  Instant until = Agenda::current().now() + first_answer_wait;
  while (!lane->complete() && Agenda::current().now() < until) co_await sleep_for(10ms);
  if (!lane->complete())
    say("portloom: discovery." + std::string(lane->kind) + ": " + lane->in_force->source()->fault() + "; asked again until it answers");
  self->directory_.use(lane->kind, lane->in_force->source());
  lane->before.reset();
}

void Discovery::stop() {
  for (Lane* lane : {&registry_, &etcd_}) {
    lane->scope.cancel();
    directory_.use(lane->kind, nullptr);
    lane->before.reset();
    lane->prepared.reset();
    lane->in_force.reset();
  }
}

void Discovery::add_status(std::vector<const pipeline::StatusSource*>& sources) const {
  for (const Lane* lane : {&registry_, &etcd_})
    if (lane->in_force != nullptr) sources.push_back(lane->in_force->source());
}

void Discovery::write_metrics(std::string& page) const {
  std::vector<const discovery::Contact*> contacts;
  for (const Lane* lane : {&registry_, &etcd_}) {
    if (lane->in_force == nullptr) continue;
    lane->in_force->source()->write_metrics(page);
    if (lane->in_force->follower != nullptr) contacts.push_back(&lane->in_force->follower->contact());
    if (lane->in_force->etcd != nullptr) contacts.push_back(&lane->in_force->etcd->contact());
  }
  if (!contacts.empty()) discovery::Contact::write_metrics(page, contacts);
}

}  // namespace portloom::app
