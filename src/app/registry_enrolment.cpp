// app/registry_enrolment.cpp
//
// An instance in the registry, over its HTTP API (docs/discovery.md).
#include "app/enrolment.h"
#include "async/agenda.h"
#include "data/json.h"

namespace portloom::app {
namespace {

constexpr Duration answer_max = 5s;

// The value of a text member of an answer of ours; empty when it is not there.
std::string text_member(std::string_view json, std::string_view name) {
  std::string key = "\"" + std::string(name) + "\":\"";
  size_t at = json.find(key);
  if (at == std::string_view::npos) return {};
  at += key.size();
  return std::string(json.substr(at, json.find('"', at) - at));
}

class RegistryEnrolment final : public Enrolment {
 public:
  RegistryEnrolment(Who who, const std::string& url, std::string token, http::Names& names, std::shared_ptr<io::TlsClientContext> tls)
      : who_(std::move(who)), url_(url), token_(std::move(token)), fetcher_(*http::Origin::parse(url), names, std::move(tls)) {
    if (who_.has_address) host_ = who_.instance.address.host();
  }
  std::string where() const override { return "the registry at " + url_; }

  Task<Result<void>> enter(bool draining) override {
    if (host_.empty()) {  // ours as the registry is reached: it may be behind somebody whose address it would see
      Result<http::Fetcher::Answer> ignored = co_await ask(question("GET", ""));
      host_ = fetcher_.local_host();
    }
    Result<http::Fetcher::Answer> answer = co_await ask(registration(draining));
    if (!answer || answer->status > 201) co_return wrong(answer);
    lease_ = text_member(answer->body, "lease");
    co_return Result<void>{};
  }

  Task<Result<bool>> renew() override {
    Result<http::Fetcher::Answer> answer = co_await ask(question("POST", "/heartbeat"));
    bool lost = answer && (answer->status == 403 || answer->status == 404);
    if (lost) lease_.clear();
    if (lost) co_return false;
    if (!answer || answer->status != 204) co_return wrong(answer);
    co_return true;
  }

  // Without a lease an answer is still on its way: registering again from the same place takes it over.
  Task<Result<void>> drain() override {
    if (lease_.empty()) {
      Result<void> entered = co_await enter(true);
      co_return std::move(entered);
    }
    Result<http::Fetcher::Answer> answer = co_await ask(question("POST", "/drain"));
    if (!answer || answer->status >= 300) co_return wrong(answer);
    co_return Result<void>{};
  }

  Task<Result<void>> leave() override {
    if (lease_.empty()) co_return Result<void>{};
    Result<http::Fetcher::Answer> answer = co_await ask(question("DELETE", ""));
    if (!answer || answer->status >= 300) co_return wrong(answer);
    co_return Result<void>{};
  }

 private:
  [[clang::coro_wrapper]] Task<Result<http::Fetcher::Answer>> ask(http::Fetcher::Question asked) {
    return fetcher_.ask(std::move(asked), Agenda::current().now() + answer_max);
  }

  http::Fetcher::Question question(std::string method, std::string_view verb) const {
    http::Fetcher::Question asked;
    asked.method = std::move(method);
    asked.target = "/v1/services/" + who_.service + "/" + who_.instance.id + std::string(verb);
    if (!token_.empty()) asked.fields.emplace_back("Authorization", "Bearer " + token_);
    if (!lease_.empty()) asked.fields.emplace_back("Lease", lease_);
    return asked;
  }

  http::Fetcher::Question registration(bool draining) const {
    const discovery::Instance& one = who_.instance;
    http::Fetcher::Question asked = question("PUT", "");
    data::JsonWriter json(asked.body);
    json.begin_object().member("port", one.address.port()).member("weight", one.weight).member("ttl", format_duration(who_.ttl));
    if (!host_.empty()) json.member("address", host_);
    if (!one.zone.empty()) json.member("zone", one.zone);
    if (!one.version.empty()) json.member("version", one.version);
    if (!one.metadata.empty()) json.key("metadata").raw(one.metadata);
    if (draining) json.member("state", "draining");
    json.end_object();
    return asked;
  }

  static std::unexpected<Error> wrong(const Result<http::Fetcher::Answer>& answer) {
    if (!answer) return std::unexpected(answer.error());
    std::string detail = text_member(answer->body, "detail");
    return failure(Code::unavailable, Side::upstream, std::to_string(answer->status) + (detail.empty() ? "" : " " + detail));
  }

  Who who_;
  std::string url_;
  std::string token_;
  http::Fetcher fetcher_;
  std::string host_;
  std::string lease_;
};

}  // namespace

std::unique_ptr<Enrolment> enrol_in_registry(Enrolment::Who who, const std::string& url, std::string token, http::Names& names,
                                             std::shared_ptr<io::TlsClientContext> tls) {
  return std::make_unique<RegistryEnrolment>(std::move(who), url, std::move(token), names, std::move(tls));
}

}  // namespace portloom::app
