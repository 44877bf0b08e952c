// config/catalogue.cpp
//
// What every build knows, and the names that the language has for later.
#include "config/catalogue.h"

#include "config/document.h"

namespace portloom::config {

Catalogue::Catalogue() {
  data::OpenPlace& policies = places_.place(PolicyPlace::name);
  for (std::string_view later : {"authenticate", "authorize", "body_limit", "cache", "compress", "concurrency", "cors", "headers",
                                 "idempotency", "ip_filter", "mirror", "plan_limits", "rate_limit", "retry", "timeout", "validate"})
    data::OpenPlaces::add(policies, {std::string(later), {}, nullptr, data::PartKind::Form::value});
  policy<ChainUse>("chain", "Everything that the named chain holds, in its order.");

  data::OpenPlace& destinations = places_.place(DestinationPlace::name, "service");
  for (std::string_view later : {"migration", "saga"})
    data::OpenPlaces::add(destinations, {std::string(later), {}, nullptr, data::PartKind::Form::value});
  destination<ServiceDestination>("service", "One of `services`; a bare name is short for it.", data::PartKind::Form::whole);
  destination<SplitDestination>("split", "Several services that share the requests.", data::PartKind::Form::whole);
  destination<RedirectDestination>("redirect", "Sends the client to another URL.");
  destination<CompositionDestination>("composition",
                                      "Several services that become one answer: a name under `compositions`, or the composition itself.");
  destination<ResponseDestination>("response", "An answer of the gateway's own.");
}

}  // namespace portloom::config
