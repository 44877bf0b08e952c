// app/discovery.cpp
//
// A way is made aside, then put in force; the one before it serves until the next has heard from its registry.
#include "app/discovery.h"

#include "app/gateway.h"
#include "data/print.h"
#include "discovery/registry_service.h"

namespace portloom::app {

pipeline::EndpointSource* Discovery::Way::source() const {
  if (follower != nullptr) return follower.get();
  return registry.get();
}

std::string Discovery::facts_of(const config::RegistryPlace& place, const Materials& materials) {
  if (place.here()) return "here " + place.bind().text();  // its port cannot be opened twice; the rest is handed on
  return data::format_value(data::shape_of<config::RegistryPlace>(), &place) + '\n' + std::to_string(materials.registry_digest);
}

Result<void> Discovery::prepare(const config::Document& next, const Materials& materials) {
  prepared_.reset();
  token_ = materials.registry_token;
  const std::optional<config::RegistryPlace>& place = next.discovery.registry;
  std::string facts = place ? facts_of(*place, materials) : std::string();
  keep_ = in_force_ != nullptr ? in_force_->facts == facts : !place;
  if (keep_ && place && place->here() && place->file != in_force_->file)
    say("portloom: discovery.registry.file takes effect with a restart of the process");
  if (keep_ || !place) return {};
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
    std::shared_ptr<io::TlsClientContext> tls;
    if (materials.registry_tls != nullptr) {
      Result<std::shared_ptr<io::TlsClientContext>> made = io::TlsClientContext::make(materials.registry_tls);
      if (!made) return std::unexpected(std::move(made.error()));
      tls = std::move(*made);
    }
    auto fetcher = std::make_unique<http::Fetcher>(*http::Origin::parse(place->url), *way->names, std::move(tls));
    way->follower = std::make_unique<discovery::Follower>(std::move(fetcher), discovery::Follower::Settings{place->file}, now);
  }
  prepared_ = std::move(way);
  return {};
}

void Discovery::take(std::shared_ptr<upstream::Resolver> resolver) {
  if (!keep_) {
    scope_.cancel();
    if (before_ == nullptr) before_ = std::move(in_force_);  // else the one in force has not come to serve
    in_force_ = std::move(prepared_);
    if (in_force_ == nullptr) {
      directory_.use(nullptr);
      before_.reset();
      return;
    }
    const std::string& warning = in_force_->registry ? in_force_->registry->warning() : in_force_->follower->warning();
    if (!warning.empty()) say("portloom: discovery.registry: " + warning);
  }
  if (in_force_ == nullptr) return;
  if (in_force_->names != nullptr) in_force_->names->use(std::move(resolver));
  if (in_force_->registry != nullptr) in_force_->registry->use(token_);
  if (keep_) return;
  if (in_force_->registry != nullptr)
    in_force_->registry->start();
  else
    in_force_->follower->start();
  scope_.spawn(hand_over, this);
  if (before_ != nullptr) return;
  directory_.use(in_force_->source());  // nobody else knows anything
}

Task<void> Discovery::hand_over(Discovery* self) {
  Instant until = Agenda::current().now() + first_answer_wait;
  while (!self->complete() && Agenda::current().now() < until) co_await sleep_for(10ms);
  if (!self->complete()) say("portloom: discovery.registry: " + self->in_force_->source()->fault() + "; asked again until it answers");
  self->directory_.use(self->in_force_->source());
  self->before_.reset();
}

void Discovery::stop() {
  scope_.cancel();
  directory_.use(nullptr);
  before_.reset();
  prepared_.reset();
  in_force_.reset();
}

bool Discovery::complete() const { return in_force_ == nullptr || in_force_->follower == nullptr || in_force_->follower->complete(); }

const pipeline::StatusSource* Discovery::status() const {
  if (in_force_ == nullptr) return nullptr;
  if (in_force_->follower != nullptr) return in_force_->follower.get();
  return in_force_->registry.get();
}

}  // namespace portloom::app
