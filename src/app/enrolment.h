// app/enrolment.h
//
// Enrolment: how one instance is made known to others and kept known by a lease, in the registry or in etcd. What a step does is done
// when its task is; whoever does not want to wait so long drops it. Used on one loop.
#pragma once

#include <memory>
#include <string>

#include "async/task.h"
#include "discovery/etcd_client.h"
#include "discovery/instance.h"
#include "http/fetch.h"

namespace portloom::app {

class Enrolment {
 public:
  struct Who {
    std::string service;
    discovery::Instance instance;
    bool has_address = false;  // else it is ours, as whoever keeps the list is reached
    Duration ttl{};
  };
  virtual ~Enrolment() = default;
  // Whom it is written to, for people: "the registry at http://127.0.0.1:9910".
  virtual std::string where() const = 0;
  // From now on it is there, for ttl; `draining`: and gets no requests. The error's detail says why not.
  virtual Task<Result<void>> enter(bool draining) = 0;
  // For ttl more; false: its lease is no more, it has to enter again.
  virtual Task<Result<bool>> renew() = 0;
  // It is there, and gets no new requests. Where nobody has confirmed that it entered, it enters so.
  virtual Task<Result<void>> drain() = 0;
  virtual Task<Result<void>> leave() = 0;
};

// `names` outlives them; `tls` is there where what they speak to is https.
std::unique_ptr<Enrolment> enrol_in_registry(Enrolment::Who who, const std::string& url, std::string token, http::Names& names,
                                             std::shared_ptr<io::TlsClientContext> tls);
// Under "PREFIX/SERVICE/ID".
std::unique_ptr<Enrolment> enrol_in_etcd(Enrolment::Who who, discovery::EtcdClient::Settings client, const std::string& prefix,
                                         http::Names& names, const std::shared_ptr<io::TlsClientContext>& tls);

}  // namespace portloom::app
