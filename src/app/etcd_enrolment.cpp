// app/etcd_enrolment.cpp
//
// An instance in etcd: one key, bound to a lease of its own.
#include "app/enrolment.h"
#include "data/json.h"
#include "discovery/etcd_wire.h"

namespace portloom::app {
namespace {

using discovery::EtcdClient;
namespace etcd = discovery::etcd;

std::unexpected<Error> wrong(EtcdClient::Fault fault) { return failure(Code::unavailable, Side::upstream, std::move(fault.text)); }

class EtcdEnrolment final : public Enrolment {
 public:
  EtcdEnrolment(Who who, EtcdClient::Settings client, const std::string& prefix, http::Names& names,
                const std::shared_ptr<io::TlsClientContext>& tls)
      : who_(std::move(who)), key_(prefix + "/" + who_.service + "/" + who_.instance.id) {
    for (const std::string& endpoint : client.endpoints) urls_ += (urls_.empty() ? "" : ",") + endpoint;
    client_ = std::make_unique<EtcdClient>(std::move(client), names, tls);
  }
  std::string where() const override { return "etcd at " + urls_; }

  Task<Result<void>> enter(bool draining) override {
    if (!who_.has_address) {  // ours as etcd is reached
      EtcdClient::Outcome<std::string> answer = co_await client_->ask("/v3/kv/range", etcd::write_range({.key = key_, .keys_only = true}));
      if (!answer) co_return wrong(std::move(answer.error()));
      discovery::Instance& one = who_.instance;
      std::string host = client_->local_host();
      std::optional<io::Address> own = io::Address::parse((host.find(':') == std::string::npos ? host : "[" + host + "]") + ":1");
      if (own && !own->is_unix()) one.address = own->with_port(one.address.port());
      who_.has_address = true;
    }
    if (lease_ == 0) {
      EtcdClient::Outcome<std::string> answer = co_await client_->ask("/v3/lease/grant", etcd::write_grant(who_.ttl));
      if (!answer) co_return wrong(std::move(answer.error()));
      std::optional<etcd::Lease> lease = etcd::read_grant(*answer);
      if (!lease) co_return failure(Code::upstream_protocol, Side::upstream, client_->member() + ": the answer to a grant is none");
      lease_ = lease->id;
    }
    who_.instance.draining = draining;
    std::string value;
    data::JsonWriter json(value);
    discovery::write_instance(json, who_.instance);
    EtcdClient::Outcome<std::string> put = co_await client_->ask("/v3/kv/put", etcd::write_put(key_, value, lease_));
    if (put) co_return Result<void>{};
    if (put.error().kind == EtcdClient::Fault::Kind::gone) lease_ = 0;
    co_return wrong(std::move(put.error()));
  }

  Task<Result<bool>> renew() override {
    EtcdClient::Outcome<std::string> answer = co_await client_->ask("/v3/lease/keepalive", etcd::write_lease(lease_));
    if (!answer) co_return wrong(std::move(answer.error()));
    std::optional<etcd::Lease> lease = etcd::read_keepalive(*answer);
    if (!lease) co_return failure(Code::upstream_protocol, Side::upstream, client_->member() + ": the answer to a keepalive is none");
    if (lease->ttl == Duration{}) lease_ = 0;
    co_return lease_ != 0;
  }

  [[clang::coro_wrapper]] Task<Result<void>> drain() override { return enter(true); }

  // Its key goes with its lease.
  Task<Result<void>> leave() override {
    if (lease_ == 0) co_return Result<void>{};
    EtcdClient::Outcome<std::string> answer = co_await client_->ask("/v3/lease/revoke", etcd::write_lease(lease_));
    if (!answer) co_return wrong(std::move(answer.error()));
    co_return Result<void>{};
  }

 private:
  Who who_;
  std::string key_;
  std::string urls_;
  std::unique_ptr<EtcdClient> client_;
  uint64_t lease_ = 0;
};

}  // namespace

std::unique_ptr<Enrolment> enrol_in_etcd(Enrolment::Who who, EtcdClient::Settings client, const std::string& prefix, http::Names& names,
                                         const std::shared_ptr<io::TlsClientContext>& tls) {
  return std::make_unique<EtcdEnrolment>(std::move(who), std::move(client), prefix, names, tls);
}

}  // namespace portloom::app
