// policy/authenticate.cpp
//
// Who calls: by an API key, of which the configuration knows only the SHA-256. A missing key and a wrong one get the same
// 401, so nobody learns which it was. The key never goes upstream.
#include <openssl/evp.h>

#include <array>
#include <cstring>
#include <unordered_map>

#include "base/text.h"
#include "pipeline/exchange.h"
#include "policy/authorize.h"
#include "policy/field_names.h"
#include "policy/kind.h"
#include "policy/refusal.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

constexpr size_t key_bytes_max = 512;  // longer ones are wrong without being hashed

struct ApiKey {
  std::string header = "x-api-key";
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("header", self.header, short_form, valid(is_changeable_field, changeable_field_name), "The request field that holds the key.");
    field.later("query", "cookie");
  }
};

struct Way {
  std::optional<ApiKey> api_key;
  void visit(this auto& self, auto& field) {
    field("api_key", self.api_key, "A key of one of `consumers`.");
    field.later("token", "basic", "certificate");
  }
  void check(data::Checker& checker) const {
    if (!api_key) checker.error("", "this says no way to authenticate", "write {api_key: {header: x-api-key}}");
  }
};

using Digest = std::array<uint8_t, 32>;
struct DigestHash {
  size_t operator()(const Digest& digest) const {
    size_t head = 0;
    std::memcpy(&head, digest.data(), sizeof head);
    return head;
  }
};

// Of "sha256:<64 hex digits>"; load() has refused anything else.
Digest digest_of(std::string_view text) {
  Digest digest{};
  CHECK(config::is_key_digest(text));
  text.remove_prefix(7);
  for (size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<uint8_t>(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
  return digest;
}

// OpenSSL's look-up of an algorithm takes locks: made once, used by one worker.
class Sha256 {
 public:
  Sha256() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    CHECK(algorithm_ != nullptr && context_ != nullptr);
  }
  Sha256(const Sha256&) = delete;
  ~Sha256() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(algorithm_);
  }
  bool hash(std::string_view text, Digest& digest) {
    return EVP_DigestInit_ex2(context_, algorithm_, nullptr) == 1 && EVP_DigestUpdate(context_, text.data(), text.size()) == 1 &&
           EVP_DigestFinal_ex(context_, digest.data(), nullptr) == 1;
  }

 private:
  EVP_MD* algorithm_;
  EVP_MD_CTX* context_;
};

}  // namespace

struct Authenticate final : pipeline::Policy {
  struct Config {
    std::vector<Way> ways;
    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("ways", self.ways, required, short_form, at_least(1),
            "How a caller may show who it is. The first that applies decides; none applies: 401.");
    }
  };
  using Caller = std::pair<std::string, config::Consumer>;

  Authenticate(const Config& config, const data::Part&, const Building& building) : refusal_("authenticate", building.config) {
    for (const Way& way : config.ways) fields_.push_back(way.api_key->header);
    for (const Caller& caller : building.document.consumers)
      for (const std::string& key : caller.second.keys) callers_.emplace(digest_of(key), &caller);
  }
  std::string_view kind() const override { return "authenticate"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    if (!identify(request)) return ready(refuse(request));
    return next(request);
  }

 private:
  // Takes all keys off the request. A caller that is known already stays known: an outer policy, or an earlier attempt of
  // this very request, has taken its key.
  bool identify(Request& request) {
    const Caller* caller = nullptr;
    bool decided = !request.exchange.identity.consumer.empty();
    bool known = decided;
    for (const std::string& field : fields_) {
      if (!decided && request.headers.find(field)) {
        decided = true;
        caller = find(request.headers, field);
      }
      request.headers.remove(field);
    }
    if (caller != nullptr) {
      known = true;
      const config::Consumer& consumer = caller->second;
      request.exchange.identity = {caller->first, consumer.tenant, consumer.plan, consumer.groups};
      request.exchange.record.consumer = caller->first;
      request.exchange.record.tenant = consumer.tenant;
    }
    return known;
  }

  const Caller* find(const http::Headers& headers, std::string_view field) {
    std::optional<std::string_view> key;
    for (http::Headers::Field present : headers) {
      if (!equals_ignoring_case(present.name, field)) continue;
      if (key) return nullptr;  // two keys: which one would a service have believed?
      key = present.value;
    }
    Digest digest;
    if (!key || key->empty() || key->size() > key_bytes_max || !sha256_.hash(*key, digest)) return nullptr;
    auto found = callers_.find(digest);
    return found == callers_.end() ? nullptr : found->second;
  }

  Response refuse(Request& request) const {
    Response response = refusal_.answer(request, Code::unauthenticated);
    response.headers.set(http::Name::www_authenticate, challenge);
    return response;
  }

  std::vector<std::string> fields_;
  std::unordered_map<Digest, const Caller*, DigestHash> callers_;  // into the document
  Sha256 sha256_;
  Refusal refusal_;
};

constinit const Kind authenticate_kind = kind_of<Authenticate>("authenticate", "Finds out who calls, by an API key; 401 for strangers.");

}  // namespace portloom::policy
