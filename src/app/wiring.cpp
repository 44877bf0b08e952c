// app/wiring.cpp
//
// Services first, then routes, then listeners: each refers only to what stands before it.
#include "app/wiring.h"

#include <netdb.h>

#include <algorithm>

#include "app/routes.h"
#include "base/random.h"
#include "data/print.h"
#include "upstream/cluster.h"

namespace portloom::app {
namespace {

constexpr Duration names_wait = 3s;  // for names that are new, when a configuration is loaded

std::unexpected<Error> invalid(std::string detail) { return failure(Code::invalid, Side::gateway, std::move(detail)); }

Result<std::vector<io::Address>> resolve(const data::Address& address) {
  if (address.is_unix()) return std::vector{*io::Address::parse("unix:" + address.unix_path)};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  std::string port = std::to_string(address.port);
  int error = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return invalid("cannot resolve " + address.host + ": " + gai_strerror(error));
  std::vector<io::Address> addresses;
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    io::Address next = io::Address::from(one->ai_addr, one->ai_addrlen);
    if (std::find(addresses.begin(), addresses.end(), next) == addresses.end()) addresses.push_back(std::move(next));
  }
  ::freeaddrinfo(found);
  return addresses;
}

Result<io::Address> bind_address(const data::Address& address) {
  std::string text = address.text();
  if (!address.is_unix() && address.host.empty()) text = ":" + std::to_string(address.port);
  std::optional<io::Address> parsed = io::Address::parse(text);
  if (parsed) return *parsed;
  Result<std::vector<io::Address>> resolved = resolve(address);
  if (!resolved) return std::unexpected(std::move(resolved.error()));
  return resolved->front();
}

// Null where the service's endpoints are spoken to in plain text.
std::shared_ptr<io::TlsClientContext> tls_of(const Blueprint& blueprint, const std::string& service) {
  auto material = blueprint.materials.services.find(service);
  if (material == blueprint.materials.services.end()) return nullptr;
  Result<std::shared_ptr<io::TlsClientContext>> made = io::TlsClientContext::make(material->second);
  CHECK(made.has_value());  // it was made once when the material was loaded
  return *made;
}

// Asks for all unknown names together. One that cannot be found hinders no other, and is asked for again.
void find_endpoints(const config::Loaded& loaded, upstream::Directory& directory, upstream::Resolver& resolver, Blueprint& blueprint) {
  Instant end = SteadyClock::now() + names_wait;
  std::vector<std::string> names = directory.unknown_srvs(loaded.document->services);
  std::vector<Result<upstream::SrvTargets>> targets = resolver.targets_now(names, names_wait);
  for (size_t i = 0; i < names.size(); ++i) directory.learn_targets(names[i], std::move(targets[i]), SteadyClock::now());
  names.clear();
  for (const auto& [name, service] : loaded.document->services)
    for (std::string& unknown : directory.unknown_names(service))
      if (std::find(names.begin(), names.end(), unknown) == names.end()) names.push_back(std::move(unknown));
  std::vector<Result<upstream::Answer>> answers = resolver.lookup_now(names, std::max<Duration>(end - SteadyClock::now(), 0s));
  for (size_t i = 0; i < names.size(); ++i) directory.learn(names[i], std::move(answers[i]), SteadyClock::now());
  for (const auto& [name, service] : loaded.document->services) {
    for (const std::string& fault : directory.faults_of(service))
      blueprint.warnings.push_back(loaded.place(service.at) + ": service " + name + ": " + fault);
    config::Service::Found found = service.found();
    config::Balance balance = service.balance.algorithm;
    blueprint.endpoints[name] = found.source.empty() ? directory.endpoints(name, service.written(), balance, service.srv())
                                                     : directory.found(name, found.source, found.name, balance);
  }
}

// Whatever a cluster depends on: how it is written, what its files hold, and those limits that bound its messages. Where its names lead
// it is told by the directory, which keeps what it publishes for a writing as long as a cluster uses it.
std::string facts_of(const Blueprint& blueprint, const std::string& name, const config::Service& service) {
  std::string facts = data::format_value(data::shape_of<config::Service>(), &service);
  auto files = blueprint.materials.digests.find(name);
  if (files != blueprint.materials.digests.end()) facts += '\n' + std::to_string(files->second);
  const config::Limits& limits = blueprint.loaded.document->limits;
  return facts + '\n' + std::to_string(limits.headers.bytes) + ' ' + std::to_string(limits.uri.bytes);
}

http::Limits heads_of(const config::Document& document) {
  return {.headers = document.limits.headers.bytes, .uri = document.limits.uri.bytes};
}

std::optional<io::ProxyVersion> proxy_header_of(const config::Service& service) {
  if (!service.proxy_protocol) return std::nullopt;
  return *service.proxy_protocol == config::ProxyHeader::v1 ? io::ProxyVersion::v1 : io::ProxyVersion::v2;
}

void add_checks(Blueprint& blueprint) {
  const config::Document& document = *blueprint.loaded.document;
  for (const auto& [name, service] : document.services) {
    if (!service.health) continue;
    upstream::CheckSettings settings{.rules = *service.health, .protocol = service.protocol, .heads = heads_of(document)};
    settings.tls = tls_of(blueprint, name);
    settings.proxy_header = proxy_header_of(service);
    blueprint.checks[name] = {facts_of(blueprint, name, service), std::move(settings), blueprint.endpoints.find(name)->second,
                              blueprint.health.find(name)->second};
  }
}

// Fills one Plan.
class Builder {
 public:
  Builder(const Blueprint& blueprint, policy::States& states, policy::States& own, Clusters& clusters, pipeline::Plan& plan)
      : blueprint_(blueprint), document_(*blueprint.loaded.document), states_(states), worker_(own), clusters_(clusters), plan_(plan) {}

  void build() {
    for (const auto& [name, service] : document_.services) add_service(name, service);
    for (const auto& [name, composition] : document_.compositions) add_composition(name, composition);
    plan_.routes.reserve(document_.resolved.size());
    for (const config::ResolvedRoute& route : document_.resolved) add_route(route);
    router_ = own(std::make_unique<pipeline::Router>());
    for (uint16_t i = 0; i < document_.listeners.size(); ++i) add_listener(i);
  }

 private:
  template <class T>
  T* own(std::unique_ptr<T> service) {
    T* raw = service.get();
    plan_.owned_services.push_back(std::move(service));
    return raw;
  }
  pipeline::Policy* own_policy(std::unique_ptr<pipeline::Policy> policy) {
    plan_.owned_policies.push_back(std::move(policy));
    return plan_.owned_policies.back().get();
  }
  pipeline::Policy* make(const data::Part& part) {
    policy::Building building{
        .place = part.path, .config = blueprint_.loaded.place(part.at), .document = document_, .states = states_, .worker = &worker_};
    std::unique_ptr<pipeline::Policy> policy = policy::make_policy(part, building);
    CHECK(policy != nullptr);
    return own_policy(std::move(policy));
  }
  std::vector<pipeline::Policy*> make_all(const std::vector<data::Part>& parts, std::vector<std::unique_ptr<pipeline::Policy>> defaults) {
    std::vector<pipeline::Policy*> policies;
    for (std::unique_ptr<pipeline::Policy>& policy : defaults) policies.push_back(own_policy(std::move(policy)));
    for (const data::Part& part : parts) policies.push_back(make(part));
    return policies;
  }

  void add_service(const std::string& name, const config::Service& service) {
    upstream::ClusterSettings settings;
    settings.name = name;
    settings.protocol = service.protocol;
    settings.balance = service.balance.algorithm;
    settings.affinity = upstream::Affinity(service.balance);
    if (service.sticky) settings.affinity.stick(*service.sticky, name, blueprint_.materials.sticky.find(name)->second);
    settings.connect_timeout = service.connect_timeout;
    settings.first_byte_timeout = service.first_byte_timeout.value_or(Duration::max());
    settings.idle_timeout = service.idle_timeout;
    settings.pool_idle = service.pool.idle;
    settings.connections_max = service.pool.connections;
    settings.slow_start = service.slow_start;
    settings.heads = heads_of(document_);
    settings.tls = tls_of(blueprint_, name);
    if (auto health = blueprint_.health.find(name); health != blueprint_.health.end()) settings.health = health->second;
    settings.proxy_header = proxy_header_of(service);
    const std::shared_ptr<upstream::Endpoints>& endpoints = blueprint_.endpoints.find(name)->second;
    std::shared_ptr<upstream::Cluster> cluster = clusters_.keep(name, facts_of(blueprint_, name, service), [&] {
      return std::make_shared<upstream::Cluster>(std::move(settings), endpoints, random_seed());
    });
    plan_.kept.push_back(cluster);
    std::vector<data::Part> written = document_.expand(service.policies);
    std::vector<pipeline::Policy*> policies = make_all(written, policy::default_service_policies(written, &worker_, "services." + name));
    if (service.concurrency) policies.push_back(own_policy(make_limit(name, *service.concurrency)));
    if (service.breaker) policies.push_back(own_policy(make_breaker(name)));
    plan_.services[name] = own(std::make_unique<pipeline::Chain>(std::move(policies), *cluster));
  }

  // Behind retries: each attempt asks for a place of its own, and one that the breaker refuses takes none for long.
  std::unique_ptr<pipeline::Policy> make_limit(const std::string& name, const config::Concurrency& concurrency) {
    data::Position at = blueprint_.loaded.origins->nearest("services." + name + ".concurrency");
    policy::Building building{
        .place = "services." + name, .config = blueprint_.loaded.place(at), .document = document_, .states = states_, .worker = &worker_};
    return policy::adaptive_concurrency(concurrency, building);
  }

  // Innermost: it sees each attempt, and nothing that other policies refuse.
  std::unique_ptr<pipeline::Policy> make_breaker(const std::string& name) {
    auto seat = worker_.keep<upstream::Circuit::Seat>("breaker", name, blueprint_.circuits.find(name)->second);
    data::Position at = blueprint_.loaded.origins->nearest("services." + name + ".breaker");
    return std::make_unique<upstream::Breaker>(std::move(seat), name, blueprint_.loaded.place(at));
  }

  // Those that it asks first: they hold each other in no circle.
  void add_composition(const std::string& name, const config::Composition& composition) {
    if (plan_.compositions.contains(name)) return;
    for (const auto& [call_name, call] : composition.calls)
      if (!call.composition.empty()) add_composition(call.composition, *document_.compositions.find(call.composition));
    plan_.compositions[name] = own(make_composition(composition, "compositions." + name, name, plan_, states_));
  }

  void add_route(const config::ResolvedRoute& route) {
    pipeline::Service& to = make_destination(route.to, plan_, states_);
    auto make_chain = [&] {
      return own(std::make_unique<pipeline::Chain>(make_all(route.policies, policy::default_route_policies(route.policies)), to));
    };
    if (!route.policies.empty()) return plan_.routes.push_back(make_chain());
    // Without policies of its own a route does what the others with this destination do: in a large table that is most of them.
    pipeline::Service*& usual = usual_[&to];
    if (usual == nullptr) usual = make_chain();
    plan_.routes.push_back(usual);
  }

  void add_listener(uint16_t index) {
    const auto& [name, listener] = document_.listeners[index];
    std::vector<data::Part> parts = document_.expand(listener.policies);
    std::vector<pipeline::Policy*> policies = make_all(parts, {});
    auto entry = std::make_unique<pipeline::Entry>();
    entry->internal_errors = listener.internal_errors();
    pipeline::Service* end = listener.to.empty() ? router_ : &make_destination(listener.to, plan_, states_);
    entry->chain = std::make_unique<pipeline::Chain>(policies, *end);
    for (const pipeline::Route& route : plan_.snapshot().table->routes()) {
      if (route.skip.empty() || listener_index(plan_.snapshot().listeners, document_.resolved[route.index].listener) != index) continue;
      std::vector<pipeline::Policy*> kept;
      for (size_t i = 0; i < parts.size(); ++i) {
        auto skipped = [&](const std::string& what) { return what == parts[i].kind || what == parts[i].name; };
        if (std::none_of(route.skip.begin(), route.skip.end(), skipped)) kept.push_back(policies[i]);
      }
      entry->skipping[route.index] = std::make_unique<pipeline::Chain>(std::move(kept), *end);
    }
    plan_.entries.push_back(std::move(entry));
  }

  const Blueprint& blueprint_;
  const config::Document& document_;
  policy::States& states_;
  policy::States& worker_;
  Clusters& clusters_;
  pipeline::Plan& plan_;
  pipeline::Router* router_ = nullptr;
  std::map<const pipeline::Service*, pipeline::Service*> usual_;  // by destination: its chain of usual policies
};

}  // namespace

std::vector<std::string> route_names(const Blueprint& blueprint) {
  std::vector<std::string> names;
  for (const pipeline::Route& route : blueprint.snapshot->table->routes()) names.push_back(route.name);
  return names;
}

config::Catalogue make_catalogue() {
  config::Catalogue catalogue;
  policy::add_policies(catalogue);
  return catalogue;
}

Result<std::shared_ptr<const Blueprint>> draw(config::Loaded loaded, Materials materials, const Surroundings& around) {
  auto blueprint = std::make_shared<Blueprint>();
  auto snapshot = std::make_shared<pipeline::Snapshot>();
  snapshot->document = loaded.document;
  snapshot->hash = loaded.hash;
  for (const auto& [name, listener] : loaded.document->listeners) {
    Result<io::Address> bind = bind_address(listener.bind());
    if (!bind) return std::unexpected(std::move(bind.error()));
    snapshot->listeners.push_back(name);
    blueprint->binds.push_back(std::move(*bind));
  }
  Result<std::shared_ptr<const pipeline::RouteTable>> table = compile_routes(loaded, snapshot->listeners);
  if (!table) return std::unexpected(std::move(table.error()));
  snapshot->table = std::move(*table);
  for (const auto& [name, service] : loaded.document->services) {
    blueprint->service_names.push_back(name);
    if (service.breaker) blueprint->circuits[name] = around.breakers.keep(name, *service.breaker);
    if (service.outliers || service.health)
      blueprint->health[name] = around.healths.keep(name, {.outliers = service.outliers, .check = service.health});
  }
  find_endpoints(loaded, around.directory, around.resolver, *blueprint);
  blueprint->snapshot = std::move(snapshot);
  blueprint->loaded = std::move(loaded);
  blueprint->materials = std::move(materials);
  add_checks(*blueprint);
  return std::shared_ptr<const Blueprint>(std::move(blueprint));
}

std::shared_ptr<upstream::Cluster> Clusters::keep(const std::string& name, std::string facts, const Make& make) {
  Kept& kept = kept_[name];
  if (kept.cluster == nullptr || kept.facts != facts) kept = {std::move(facts), make()};
  return kept.cluster;
}

upstream::Cluster* Clusters::find(std::string_view name) const {
  auto kept = kept_.find(name);
  return kept == kept_.end() ? nullptr : kept->second.cluster.get();
}

void Clusters::forget_unused() {
  std::erase_if(kept_, [](const auto& entry) { return entry.second.cluster.use_count() == 1; });
}

std::unique_ptr<pipeline::Plan> build_plan(const Blueprint& blueprint, policy::States& states, policy::States& own, Clusters& clusters) {
  auto plan = std::make_unique<pipeline::Plan>(blueprint.snapshot);
  plan->held_max = blueprint.loaded.document->limits.buffered.bytes;
  Builder(blueprint, states, own, clusters, *plan).build();
  return plan;
}

std::shared_ptr<io::TlsServerContext> tls_of(const Blueprint& blueprint, uint16_t listener,
                                             const std::shared_ptr<const io::TicketKeys>& keys) {
  const std::shared_ptr<const io::TlsServerMaterial>& material = blueprint.materials.listeners[listener];
  if (material == nullptr) return nullptr;
  Result<std::shared_ptr<io::TlsServerContext>> made = io::TlsServerContext::make(material, keys);
  CHECK(made.has_value());  // it was made once when the material was loaded
  return *made;
}

namespace {
http::Http2Limits bounds_of(const config::Http2Limits& written) {
  return {.streams = written.streams,
          .resets = written.resets,
          .control_frames = written.control_frames,
          .period = written.period,
          .continuations = written.continuations,
          .acks = written.acks,
          .stream_window = static_cast<uint32_t>(written.stream_window.bytes),
          .connection_window = static_cast<uint32_t>(written.connection_window.bytes),
          .unread_max = written.unread.bytes};
}
}  // namespace

server::Door door_of(const Blueprint& blueprint, uint16_t index, const std::shared_ptr<const io::TicketKeys>& keys) {
  const config::Document& document = *blueprint.loaded.document;
  const auto& [name, listener] = document.listeners[index];
  server::Door door;
  door.index = index;
  door.name = name;
  door.internal_errors = listener.internal_errors();
  door.connection.heads = {.headers = document.limits.headers.bytes, .uri = document.limits.uri.bytes};
  if (document.limits.body) door.connection.body_max = document.limits.body->bytes;
  door.connection.http1 = listener.speaks(config::Version::http1);
  door.connection.http2 = listener.speaks(config::Version::http2);
  door.connection.http2_limits = bounds_of(document.limits.http2);
  door.connection.head_timeout = listener.timeouts.headers;
  door.connection.idle_timeout = listener.timeouts.idle;
  door.connection.body_timeout = listener.timeouts.body;
  door.connection.gone_grace = listener.timeouts.gone_grace;
  door.proxy_protocol = listener.proxy_protocol;
  for (const auto& [service_name, service] : document.services) door.tells_local |= service.proxy_protocol.has_value();
  door.tls = tls_of(blueprint, index, keys);
  for (const std::string& network : listener.trusted_proxies)
    if (std::optional<http::Cidr> block = http::Cidr::parse(network)) door.trusted_proxies.add(*block);
  return door;
}

}  // namespace portloom::app
