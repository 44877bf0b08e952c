// config/resolve.cpp
//
// Names that must exist, group rules (L10), and the routes with everything worked in.
#include "config/resolve.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/text.h"
#include "config/calls.h"
#include "config/captures.h"
#include "config/hidden.h"
#include "data/expression.h"
#include "data/walk.h"

namespace portloom::config {
namespace {

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

// What a route has from the groups around it.
struct Around {
  std::string listener;
  Match match;
  std::vector<PolicyPart> policies;
  std::vector<std::string> skip;
  std::optional<Objective> objective;
};

class Resolver {
 public:
  Resolver(Document& document, const data::Origins& origins, data::Problems& problems)
      : document_(document), origins_(origins), problems_(problems) {}

  void run() {
    consumers();
    admin();
    document_.resolved.reserve(document_.routes.size());
    for (size_t i = 0; i < document_.routes.size(); ++i) route(document_.routes[i], Around{}, "routes[" + std::to_string(i) + "]");
    for (const auto& [name, composition] : document_.compositions) this->composition(name, composition);
    for (const auto& [name, chain] : document_.chains) policies(chain.policies, all_captures_, true);
    for (const auto& [name, listener] : document_.listeners) this->listener(name, listener);
    for (const auto& [name, service] : document_.services) {
      policies(service.policies, all_captures_);
      texts(data::shape_of<Balancing>(), &service.balance, "services." + name + ".balance", all_captures_);
    }
    for (const auto& [name, service] : document_.services) {
      if (!service.registry.empty() && !document_.discovery.registry)
        error("services." + name + ".registry", "nothing says where the registry is",
              "write discovery: {registry: {}} for one in this process, or {registry: {url: \"http://host:9910\"}}");
      if (!service.etcd.empty() && !document_.discovery.etcd)
        error("services." + name + ".etcd", "nothing says where etcd is", "write discovery: {etcd: {endpoints: [\"http://host:2379\"]}}");
    }
    policies(document_.defaults.route.policies, all_captures_);
    for (const Route* group : groups_) policies(group->policies, all_captures_);
    for (const auto& [name, service] : document_.services) {
      breaker(name, service);
      outliers(name, service);
    }
    names();
    warn_of_hidden_routes(document_, problems_);
    unused();
  }

 private:
  Position at(std::string_view path) const { return origins_.nearest(path); }
  void error(const std::string& path, std::string message, std::string hint = {}) {
    problems_.error(at(path), path, std::move(message), std::move(hint));
  }
  void warning(const std::string& path, std::string message, std::string hint = {}) {
    problems_.warning(at(path), path, std::move(message), std::move(hint));
  }

  void policies(const std::vector<PolicyPart>& list, const Captures& captures, bool in_chain = false) {
    for (const PolicyPart& part : list) {
      const ChainUse* use = part.as<ChainUse>();
      if (use == nullptr) {
        texts(part, captures);
        continue;
      }
      used_chains_.insert(use->chain);
      std::string path = part.path + ".chain";
      if (in_chain)
        error(path, "a chain in a chain", "write its policies out");
      else if (document_.chains.find(use->chain) == nullptr)
        error(path, "there is no chain " + quoted(use->chain), data::did_you_mean(use->chain, document_.chains.names()));
    }
  }

  void texts(const Part& part, const Captures& captures) {
    if (part.empty()) return;
    const auto* composed = part.as<CompositionDestination>();
    if (composed != nullptr && composed->name.empty()) {
      calls_ = &composed->calls;
      check_calls(*composed, part.path, captures, origins_, problems_);
      check_nesting(document_, *composed, {}, part.path, origins_, problems_);
    } else if (composed != nullptr && document_.compositions.find(composed->name) != nullptr) {
      check_arrival(document_, composed->name, part.path, captures, origins_, problems_);
    }
    texts(*part.shape, part.config.get(), part.path, captures);
    calls_ = nullptr;
  }

  void composition(const std::string& name, const Composition& composition) {
    std::string path = "compositions." + name;
    calls_ = &composition.calls;
    texts(data::shape_of<Composition>(), &composition, path, all_captures_);
    calls_ = nullptr;
    check_calls(composition, path, Captures{}, origins_, problems_);
    check_nesting(document_, composition, name, path, origins_, problems_);
  }

  // What texts refer to must be there: services, consumers, groups, and the values that expressions name.
  void texts(const data::Shape& shape, const void* object, const std::string& root, const Captures& captures) {
    data::walk_texts(shape, object, root, [&](const data::Field& field, std::string_view text, std::string_view path) {
      if (!field.refers_to.empty()) return reference(field.refers_to, text, path);
      data::each_expression(field, text, [&](const data::Expression& made) { operands(made, text, path, captures); });
    });
  }

  void reference(std::string_view thing, std::string_view name, std::string_view path) {
    std::vector<std::string_view> names;
    if (thing == "composition") {
      used_compositions_.insert(std::string(name));
      if (document_.compositions.find(name) != nullptr) return;
      names = document_.compositions.names();
    } else if (thing == "service") {
      used_services_.insert(std::string(name));
      if (document_.services.find(name) != nullptr) return;
      names = document_.services.names();
    } else if (thing == "consumer") {
      if (document_.consumers.find(name) != nullptr) return;
      names = document_.consumers.names();
    } else {
      for (const auto& [consumer, who] : document_.consumers) names.insert(names.end(), who.groups.begin(), who.groups.end());
      if (std::find(names.begin(), names.end(), name) != names.end()) return;
      std::string hint = data::did_you_mean(name, names);
      return error(std::string(path), "no consumer is in a group " + quoted(name), hint.empty() ? "groups are listed at consumers" : hint);
    }
    error(std::string(path), "there is no " + std::string(thing) + " " + quoted(name), data::did_you_mean(name, names));
  }

  void operands(const data::Expression& expression, std::string_view text, std::string_view path, const Captures& captures) {
    for (const data::Operand& operand : expression.alternatives) {
      if (operand.root == data::Operand::Root::body && calls_ == nullptr)
        problems_.error(problems_.sources().inside(at(path), text, operand.at), std::string(path),
                        "the request's body is known in a composition alone");
      bool call = operand.root == data::Operand::Root::call;
      if (!call && operand.root != data::Operand::Root::parameter) continue;
      if (calls_ != nullptr && calls_->find(operand.name) != nullptr) continue;
      Position place = problems_.sources().inside(at(path), text, operand.at);
      if (call) {
        no_call(operand, place, path);
        continue;
      }
      if (!captures.some.contains(operand.name)) {
        std::vector<std::string_view> names(captures.some.begin(), captures.some.end());
        names.insert(names.end(), {"consumer", "tenant", "query", "headers", "cookies", "client", "request"});
        std::string hint = data::did_you_mean(operand.name, names);
        if (hint.empty() && !captures.some.empty()) hint = "captured: " + captures.list();
        if (operand.name == "rest") hint = "{rest} is what follows a path_prefix";
        if (hint.empty()) hint = "write {" + operand.name + "} as a segment of the path to capture it";
        problems_.error(place, std::string(path), "no path has a parameter {" + operand.name + "}", std::move(hint));
      } else if (!captures.all.contains(operand.name) && expression.alternatives.size() == 1 && captures.of_one_route) {
        problems_.warning(place, std::string(path), "one of the route's paths has no {" + operand.name + "}: its requests get 400",
                          "write {" + operand.name + " || '…'}, or two routes");
      }
    }
  }

  void no_call(const data::Operand& operand, Position place, std::string_view path) {
    std::vector<std::string_view> names = {"query", "headers", "cookies", "consumer", "client"};
    if (calls_ != nullptr)
      for (const auto& [name, call] : *calls_) names.push_back(name);
    std::string hint = data::did_you_mean(operand.name, names);
    if (hint.empty())
      hint =
          calls_ == nullptr ? "the roots are query, headers, cookies, consumer, tenant, client and request" : "calls are listed at `calls`";
    problems_.error(
        place, std::string(path),
        calls_ == nullptr ? "there is no " + quoted(operand.name) + " with members here" : "there is no call " + quoted(operand.name),
        std::move(hint));
  }

  void listener(const std::string& name, const Listener& listener) {
    std::string path = "listeners." + name;
    policies(listener.policies, all_captures_);
    texts(listener.to, Captures{});
    bound(listener.bind(), path);
  }

  void bound(const Address& address, const std::string& path) {
    if (!address.is_unix() && address.port == 0) return;  // the system chooses
    auto [earlier, fresh] = binds_.emplace(address.text(), path);
    if (!fresh) error(path, "listens on " + address.text() + ", and so does " + earlier->second);
  }

  void admin() {
    if (const std::optional<RegistryPlace>& registry = document_.discovery.registry; registry && registry->here())
      bound(registry->bind(), "discovery.registry");
    if (!document_.admin) return;
    bound(document_.admin->address, "admin");
    if (document_.admin->probes) bound(document_.admin->probes->bind(), "admin.probes");
  }

  void consumers() {
    std::map<std::string, std::string> owners;
    for (const auto& [name, consumer] : document_.consumers) {
      for (size_t i = 0; i < consumer.keys.size(); ++i) {
        auto [earlier, fresh] = owners.emplace(consumer.keys[i], name);
        if (!fresh)
          error("consumers." + name + ".keys[" + std::to_string(i) + "]",
                "this key is also a key of the consumer " + quoted(earlier->second));
      }
    }
  }

  // One field of a match, from the group or from the route; both would say two different things.
  void lend(std::vector<std::string>& own, const std::vector<std::string>& lent, const std::string& path, std::string_view field) {
    if (lent.empty()) return;
    if (own.empty())
      own = lent;
    else
      error(path + ".match." + std::string(field), "the group around this route says `" + std::string(field) + "` already",
            "say it in one of the two places");
  }

  // Conditions come together; the same name twice would be two different things.
  void lend(Named<std::string>& own, const Named<std::string>& lent, const std::string& path, std::string_view field) {
    for (const auto& [name, value] : lent) {
      bool said = std::any_of(own.begin(), own.end(), [&](const auto& other) { return equals_ignoring_case(other.first, name); });
      if (said)
        error(path + ".match." + std::string(field), "the group around this route says " + quoted(name) + " already",
              "say it in one of the two places");
      else
        own.add(name) = value;
    }
  }

  Around within(const Route& route, const Around& around, const std::string& path) {
    Around own;
    own.listener = route.listener.empty() ? around.listener : route.listener;
    if (!route.listener.empty() && !around.listener.empty() && route.listener != around.listener)
      error(path + ".listener", "the group around this route belongs to the listener " + quoted(around.listener));
    own.match = route.match;
    bool paths = route.match.has_path() && around.match.has_path();
    if (paths) error(path + ".match", "the group around this route has a path already", "write whole paths in its routes");
    lend(own.match.host, around.match.host, path, "host");
    lend(own.match.method, around.match.method, path, "method");
    if (!route.match.has_path()) {
      own.match.path = around.match.path;
      own.match.path_prefix = around.match.path_prefix;
      own.match.path_regex = around.match.path_regex;
    }
    lend(own.match.headers, around.match.headers, path, "headers");
    lend(own.match.query, around.match.query, path, "query");
    own.policies = around.policies;
    own.policies.insert(own.policies.end(), route.policies.begin(), route.policies.end());
    own.skip = around.skip;
    own.skip.insert(own.skip.end(), route.skip.begin(), route.skip.end());
    own.objective = route.objective ? route.objective : around.objective;
    return own;
  }

  void route(const Route& route, const Around& around, const std::string& path) {
    Around own = within(route, around, path);
    if (route.routes.empty()) {
      Captures captures = captures_of(own.match);
      policies(route.policies, captures);
      texts(route.to, captures);
      all_captures_.some.merge(std::set(captures.some));
    } else {
      groups_.push_back(&route);
    }
    if (!route.listener.empty() && document_.listeners.find(route.listener) == nullptr)
      error(path + ".listener", "there is no listener " + quoted(route.listener),
            data::did_you_mean(route.listener, document_.listeners.names()));
    else
      skips(route, own.listener, path);
    for (size_t i = 0; i < route.routes.size(); ++i) this->route(route.routes[i], own, path + ".routes[" + std::to_string(i) + "]");
    if (route.routes.empty()) leaf(route, std::move(own), path);
  }

  // The listener of a route: its own, its group's, or the only one that takes routes.
  std::string listener_of(const std::string& written) const {
    if (!written.empty() || document_.listeners.size() != 1) return written;
    return document_.listeners[0].first;
  }

  void skips(const Route& route, const std::string& written, const std::string& path) {
    const Listener* listener = document_.listeners.find(listener_of(written));
    if (listener == nullptr) return;
    std::vector<Part> have = document_.expand(listener->policies);
    std::vector<std::string_view> names;
    for (const Part& part : have) {
      names.push_back(part.kind);
      if (part.name != part.kind) names.push_back(part.name);
    }
    for (size_t i = 0; i < route.skip.size(); ++i) {
      if (std::find(names.begin(), names.end(), route.skip[i]) != names.end()) continue;
      error(path + ".skip[" + std::to_string(i) + "]", "its listener has no policy " + quoted(route.skip[i]),
            data::did_you_mean(route.skip[i], names));
    }
  }

  static bool skipped(const Part& part, const std::vector<std::string>& skip) {
    return std::any_of(skip.begin(), skip.end(), [&](const std::string& name) { return name == part.kind || name == part.name; });
  }

  void leaf(const Route& route, Around own, const std::string& path) {
    ResolvedRoute made;
    made.listener = listener_of(own.listener);
    if (made.listener.empty())
      return error(path, "with several listeners a route names its own",
                   "write listener: " + std::string(document_.listeners.names().front()));
    const Listener* listener = document_.listeners.find(made.listener);
    if (listener == nullptr) return;  // said already
    if (!listener->to.empty())
      return error(path, "the listener " + quoted(made.listener) + " has a `to` of its own: no route of it is ever asked");
    made.match = std::move(own.match);
    made.name = route.name.empty() ? label(made.match) : route.name;
    for (const Part& part : document_.expand(listener->policies))
      if (!skipped(part, own.skip)) made.listener_policies.push_back(part);
    std::vector<Part> written = document_.expand(own.policies);
    for (const Part& part : document_.expand(document_.defaults.route.policies)) {
      bool said = std::any_of(written.begin(), written.end(), [&](const Part& other) { return other.kind == part.kind; });
      if (!said) made.policies.push_back(part);
    }
    made.policies.insert(made.policies.end(), written.begin(), written.end());
    made.skip = std::move(own.skip);
    if (own.objective) made.latency = own.objective->latency;
    made.to = route.to;
    made.at = route.at;
    made.path = path;
    named_.push_back(!route.name.empty());
    document_.resolved.push_back(std::move(made));
  }

  // "GET /v1/orders/{id}"; a prefix ends in "/*".
  static std::string label(const Match& match) {
    std::string text;
    for (const std::string& method : match.method) text += (text.empty() ? "" : ",") + method;
    if (!text.empty()) text += ' ';
    if (!match.path.empty()) return text + match.path.front();
    if (!match.path_regex.empty()) return text + "~" + match.path_regex.front();
    if (match.path_prefix.empty()) return text + "/*";
    const std::string& prefix = match.path_prefix.front();
    return text + prefix + (prefix.ends_with('/') ? "*" : "/*");
  }

  // Written names are unique; made ones get their host and, if need be, a number.
  void names() {
    std::map<std::string, Position> taken;
    for (size_t i = 0; i < document_.resolved.size(); ++i) {
      const ResolvedRoute& route = document_.resolved[i];
      if (!named_[i]) continue;
      auto [earlier, fresh] = taken.emplace(route.name, route.at);
      if (!fresh)
        error(route.path + ".name", "the name " + quoted(route.name) + " is taken",
              "by the route at " + problems_.sources().place(earlier->second));
    }
    for (size_t i = 0; i < document_.resolved.size(); ++i) {
      ResolvedRoute& route = document_.resolved[i];
      if (named_[i]) continue;
      std::string name = route.name;
      if (taken.contains(name) && !route.match.host.empty()) name = route.match.host.front() + " " + name;
      for (int number = 2; taken.contains(name); ++number) name = route.name + " #" + std::to_string(number);
      taken.emplace(name, route.at);
      route.name = name;
    }
  }

  // A request that a timeout ends has failed: it is not slow any more.
  void breaker(const std::string& name, const Service& service) {
    if (!service.breaker || !service.breaker->slow) return;
    std::optional<Duration> ends = service.first_byte_timeout;
    for (const Part& part : document_.expand(service.policies)) {
      const Duration* length = part.kind == "timeout" ? data::find_value<Duration>(part, "first_byte") : nullptr;
      if (length != nullptr && (!ends || *length < *ends)) ends = *length;
    }
    if (ends && *service.breaker->slow >= *ends)
      warning("services." + name + ".breaker.slow",
              "no request is slow: one that takes " + format_duration(*ends) + " is ended, and has failed", "write less than that");
  }

  // A name may lead to many instances; an address is one.
  void outliers(const std::string& name, const Service& service) {
    if (!service.outliers) return;
    if (service.dns || !service.found().source.empty()) return;
    for (const auto& [address, weight] : service.endpoints)
      if (!address.is_unix() && address.host.find_first_not_of("0123456789abcdefABCDEF.:") != std::string::npos) return;
    double most = service.outliers->share.fraction * static_cast<double>(service.endpoints.size()) + 1e-9;
    if (most < 1)
      warning("services." + name + ".outliers",
              "no instance is ever ejected: at most " + data::format_percent(service.outliers->share) + " of " +
                  std::to_string(service.endpoints.size()),
              "a breaker guards against the whole service");
  }

  void unused() {
    for (const auto& [name, service] : document_.services)
      if (!used_services_.contains(name)) warning("services." + name, "no route leads to the service " + quoted(name));
    for (const auto& [name, composition] : document_.compositions)
      if (!used_compositions_.contains(name)) warning("compositions." + name, "no route leads to the composition " + quoted(name));
    for (const auto& [name, chain] : document_.chains)
      if (!used_chains_.contains(name)) warning("chains." + name, "nobody uses the chain " + quoted(name));
    std::set<std::string> led;
    for (const ResolvedRoute& route : document_.resolved) led.insert(route.listener);
    for (const auto& [name, listener] : document_.listeners)
      if (listener.to.empty() && !led.contains(name) && !problems_.failed())
        warning("listeners." + name, "the listener " + quoted(name) + " has no routes: it answers 404 to everything");
  }

  Document& document_;
  const data::Origins& origins_;
  data::Problems& problems_;
  Captures all_captures_;  // of all routes
  std::vector<const Route*> groups_;
  std::set<std::string> used_services_;
  std::set<std::string> used_chains_;
  std::set<std::string> used_compositions_;
  const Named<Call>* calls_ = nullptr;  // of the composition that is being looked at
  std::map<std::string, std::string> binds_;
  std::vector<bool> named_;  // per resolved route: was its name written?
};

}  // namespace

void resolve(Document& document, const data::Origins& origins, data::Problems& problems) { Resolver(document, origins, problems).run(); }

void check_names(const Document& document, const data::Value& root, const data::Origins& origins, data::Problems& problems) {
  data::walk_texts(data::shape_of<Document>(), &document, {}, [&](const data::Field& field, std::string_view text, std::string_view path) {
    if (field.refers_to.empty() || field.refers_to == "group") return;  // groups have no place of their own: their consumers name them
    const data::Value::Entry* defined = root.find(std::string(field.refers_to) + "s");
    std::vector<std::string_view> names;
    if (defined != nullptr)
      for (const data::Value::Entry& entry : defined->value.map) names.push_back(entry.key);
    if (std::find(names.begin(), names.end(), text) != names.end()) return;
    problems.error(origins.nearest(path), std::string(path), "there is no " + std::string(field.refers_to) + " " + quoted(text),
                   data::did_you_mean(text, names));
  });
}

}  // namespace portloom::config
