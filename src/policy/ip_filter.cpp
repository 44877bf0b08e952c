// policy/ip_filter.cpp
//
// Lets pass or refuses by the client's address: the believed one, so set the listener's trusted_proxies behind a balancer.
// `deny` wins over `allow`; with an `allow` whoever is not in it is refused. Frameless; a look-up is a binary search.
#include <algorithm>
#include <string>
#include <vector>

#include "http/cidr.h"
#include "policy/kind.h"
#include "policy/refusal.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

// Addresses, as ranges that do not touch, in order.
class Addresses {
 public:
  explicit Addresses(const std::vector<std::string>& networks) {
    for (const std::string& text : networks)
      if (std::optional<http::Cidr> block = http::Cidr::parse(text)) ranges_.push_back(range_of(*block));  // load() has refused others
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
    size_t kept = 0;
    for (const Range& range : ranges_) {
      if (kept > 0 && range.first <= ranges_[kept - 1].last)
        ranges_[kept - 1].last = std::max(ranges_[kept - 1].last, range.last);
      else
        ranges_[kept++] = range;
    }
    ranges_.resize(kept);
  }
  bool empty() const { return ranges_.empty(); }
  bool contains(const http::Address& address) const {
    auto behind = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                                   [](const http::Address& looked_for, const Range& range) { return looked_for < range.first; });
    return behind != ranges_.begin() && address <= std::prev(behind)->last;
  }

 private:
  struct Range {
    http::Address first;
    http::Address last;
  };
  static Range range_of(const http::Cidr& block) {
    Range range{block.network, block.network};
    for (size_t bit = block.bits; bit < 128; ++bit) range.last.bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
    return range;
  }
  std::vector<Range> ranges_;
};

}  // namespace

struct IpFilter final : pipeline::Policy {
  struct Config {
    std::vector<std::string> allow;
    std::vector<std::string> deny;

    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("allow", self.allow, valid(data::is_network, "an address range like 10.0.0.0/8"),
            "Who may pass: addresses and ranges. Without it: everybody who is not denied.");
      field("deny", self.deny, valid(data::is_network, "an address range like 10.0.0.0/8"), "Who may not, even where `allow` has them.");
    }
    void check(data::Checker& checker) const {
      if (allow.empty() && deny.empty()) checker.error("", "this filters nobody", "write allow: [10.0.0.0/8]");
      for (const auto* list : {&allow, &deny})
        for (const std::string& text : *list)
          if (!http::Cidr::parse(text))
            checker.error(list == &allow ? "allow" : "deny", "the address of " + text + " has bits beyond its prefix",
                          "write the first address of the range");
    }
  };

  IpFilter(const Config& config, const data::Part&, const Building& building)
      : allow_(config.allow), deny_(config.deny), refusal_("ip_filter", building.config) {}
  std::string_view kind() const override { return "ip_filter"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    if (!passes(request.exchange)) return ready(refusal_.answer(request, Code::forbidden));
    return next(request);
  }

 private:
  bool passes(const pipeline::Exchange& exchange) const {
    std::optional<http::Address> client = http::Address::parse(exchange.client);
    if (!client) return allow_.empty();  // a Unix socket has no address: it is in no range
    return !deny_.contains(*client) && (allow_.empty() || allow_.contains(*client));
  }

  Addresses allow_;
  Addresses deny_;
  Refusal refusal_;
};

constinit const Kind ip_filter_kind = kind_of<IpFilter>("ip_filter", "Answers 403 by the client's address.");

}  // namespace portloom::policy
