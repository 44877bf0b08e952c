// discovery/etcd_client.cpp
//
// A token belongs to the cluster; a member that was started again has forgotten it, and says so.
#include "discovery/etcd_client.h"

#include <algorithm>

#include "async/agenda.h"
#include "discovery/etcd_wire.h"

namespace portloom::discovery {
namespace {

constexpr size_t error_max = 4096;  // bytes of an answer that is an error

bool has(std::string_view text, std::string_view words) { return text.find(words) != std::string_view::npos; }

}  // namespace

EtcdClient::EtcdClient(Settings settings, http::Names& names, const std::shared_ptr<io::TlsClientContext>& tls)
    : settings_(std::move(settings)) {
  for (const std::string& endpoint : settings_.endpoints) {
    http::Origin origin = *http::Origin::parse(endpoint);
    http::Fetcher::Settings bounds{.answer_max = settings_.answer_bytes_max, .silence_max = silence_max};
    bool secure = origin.secure;
    members_.push_back(std::make_unique<http::Fetcher>(std::move(origin), names, secure ? tls : nullptr, bounds));
  }
}

void EtcdClient::use(std::string password) {
  if (password == settings_.password) return;
  settings_.password = std::move(password);
  token_.reset();
}

void EtcdClient::next_member() {
  members_[at_]->close();
  at_ = (at_ + 1) % members_.size();
}

EtcdClient::Fault::Kind EtcdClient::kind_of(uint16_t status, std::string_view text) {
  using Kind = Fault::Kind;
  if (has(text, "invalid auth token") || has(text, "auth store is old")) return Kind::token;
  if (has(text, "has been compacted")) return Kind::compacted;
  if (has(text, "lease not found")) return Kind::gone;
  bool user = has(text, "user name is empty") || has(text, "authentication failed") || has(text, "permission denied");
  return user || has(text, "PermissionDenied") || status == 403 ? Kind::refused : Kind::away;
}

EtcdClient::Fault EtcdClient::fault(const Error& error) const {
  std::string what = error.detail.empty() ? std::string(name_of(error.code)) : error.detail;
  if (!has(what, member())) what = member() + ": " + what;
  return {error.code == Code::body_too_large ? Fault::Kind::too_large : Fault::Kind::away, std::move(what)};
}

EtcdClient::Fault EtcdClient::fault(uint16_t status, std::string_view body) const {
  std::string said = etcd::read_error(body);
  return {kind_of(status, said), member() + " answers " + std::to_string(status) + (said.empty() ? "" : ": " + said)};
}

http::Fetcher::Question EtcdClient::question(const std::string& path, const std::string& body) const {
  http::Fetcher::Question asked{.method = "POST", .target = path, .fields = {}, .body = body};
  if (token_ && !token_->empty()) asked.fields.emplace_back("Authorization", *token_);
  return asked;
}

Task<EtcdClient::Outcome<void>> EtcdClient::log_in() {
  if (settings_.user.empty() || token_) co_return Outcome<void>{};
  http::Fetcher::Question asked = question("/v3/auth/authenticate", etcd::write_login(settings_.user, settings_.password));
  Result<http::Fetcher::Answer> answer = co_await members_[at_]->ask(std::move(asked), Agenda::current().now() + settings_.answer_max);
  if (!answer) co_return std::unexpected(fault(answer.error()));
  if (answer->status == 200) token_ = etcd::read_token(answer->body);
  if (token_) co_return Outcome<void>{};
  Fault why = fault(answer->status, answer->body);
  if (answer->status == 200) why.text = member() + ": the answer to a login is none";
  if (!has(why.text, "authentication is not enabled")) co_return std::unexpected(std::move(why));
  token_.emplace();
  co_return Outcome<void>{};
}

Task<EtcdClient::Outcome<std::string>> EtcdClient::ask_member(const std::string& path, const std::string& body) {
  for (bool last : {false, true}) {
    Outcome<void> in = co_await log_in();
    if (!in) co_return std::unexpected(std::move(in.error()));
    Result<http::Fetcher::Answer> answer =
        co_await members_[at_]->ask(question(path, body), Agenda::current().now() + settings_.answer_max);
    if (!answer) co_return std::unexpected(fault(answer.error()));
    if (answer->status == 200) co_return std::move(answer->body);
    Fault why = fault(answer->status, answer->body);
    bool user_wanted = token_ && token_->empty() && has(why.text, "user name is empty");  // they have begun to ask for one
    if (last || settings_.user.empty() || (why.kind != Fault::Kind::token && !user_wanted)) co_return std::unexpected(std::move(why));
    token_.reset();
  }
  co_return std::unexpected(Fault{});
}

Task<EtcdClient::Outcome<std::string>> EtcdClient::ask(std::string path, std::string body) {
  Fault why;
  for (size_t tried = 0; tried < members_.size(); ++tried) {
    Outcome<std::string> answer = co_await ask_member(path, body);
    if (answer || answer.error().kind != Fault::Kind::away) co_return std::move(answer);
    why = std::move(answer.error());
    next_member();
  }
  co_return std::unexpected(std::move(why));
}

Task<EtcdClient::Fault> EtcdClient::listen(std::string path, std::string body, std::function<bool(std::string_view)> hear) {
  Outcome<void> in = co_await log_in();
  if (!in) co_return std::move(in.error());
  http::Fetcher::Question asked = question(path, body);
  asked.fields.emplace_back("Grpc-Metadata-Hasleader", "true");
  uint16_t status = 0;
  bool enough = false;
  std::string error;
  auto take = [&](uint16_t answered, std::string_view piece) {
    status = answered;
    if (answered == 200) return !(enough = !hear(piece));
    error += piece.substr(0, error_max);
    return error.size() < error_max;
  };
  Result<void> over = co_await members_[at_]->listen(std::move(asked), Agenda::current().now() + settings_.answer_max, take);
  if (enough) co_return Fault{};
  if (!over) co_return fault(over.error());
  if (status != 200) co_return fault(status, error);
  co_return Fault{Fault::Kind::away, member() + " has ended the watch"};
}

}  // namespace portloom::discovery
