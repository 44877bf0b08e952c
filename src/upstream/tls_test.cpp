// Tests of upstream: TLS to endpoints, in virtual time: whom we believe, how long we wait, what is resumed, what is said.
#include "testing/authority.h"
#include "testing/clusters.h"

namespace portloom::upstream {
namespace {

using namespace testing;  // NOLINT: the authority

// A port that speaks TLS, answers every request, and keeps what the handshakes agreed on.
class SecureOrigin {
 public:
  explicit SecureOrigin(std::shared_ptr<io::TlsServerMaterial> material)
      : context_(server_of(std::move(material))), listener_(std::move(*io::listen(io::Address::loopback(0), false))) {
    scope_.spawn(accept, this);
  }
  const io::Address& address() const { return listener_.address(); }
  std::vector<std::unique_ptr<io::TlsFacts>> facts;
  std::vector<std::unique_ptr<Wire>> wires;

 private:
  static Task<void> accept(SecureOrigin* self) {
    while (true) {
      Result<io::Accepted> accepted = co_await self->listener_.accept();
      auto facts = std::make_unique<io::TlsFacts>();
      Result<io::Socket> socket =
          co_await io::accept_tls(std::move(accepted->socket), self->context_, Agenda::current().now() + 10s, *facts);
      if (!socket) continue;
      self->facts.push_back(std::move(facts));
      self->wires.push_back(std::make_unique<Wire>(std::move(*socket)));
      self->wires.back()->say(answer);
    }
  }
  std::shared_ptr<io::TlsServerContext> context_;
  io::Listener listener_;
  Scope scope_;
};

class TlsClusters : public Clusters {
 protected:
  // One call to an endpoint written as `host`, whose origin shows a certificate for `issue`.
  Call& ask(SecureOrigin& origin, const std::string& host) {
    cluster = std::make_unique<Cluster>(settings, std::vector<Target>{{origin.address(), host}}, 1);
    return again();
  }
  Call& again() {
    Call& one = call(*cluster);
    EXPECT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
    return one;
  }
  void trust(const std::string& pem, std::string server_name = {}) {
    settings.tls = client_of({.authorities = authorities_of(pem), .certificate = nullptr, .server_name = std::move(server_name)});
  }
  void expect_refused(const Call& one, std::string_view why) {
    ASSERT_TRUE(one.response->fault);
    EXPECT_EQ(one.response->status, 502);
    EXPECT_EQ(name_of(one.response->fault->side), "upstream");
    EXPECT_NE(one.response->fault->detail.find(why), std::string::npos) << one.response->fault->detail;
  }
  Authority authority;
  std::unique_ptr<Cluster> cluster;
};
INSTANTIATE_TEST_SUITE_P(Seeds, TlsClusters, ::testing::Values(0, 1, 2, 3));

TEST_P(TlsClusters, NameIsAskedForAndChecked) {
  SecureOrigin origin(material_of({authority.issue({.names = {"DNS:shop.example"}})}));
  trust(authority.pem());
  EXPECT_EQ(ask(origin, "shop.example").response->status, 200);
  EXPECT_EQ(origin.facts.at(0)->server_name, "shop.example");
  expect_refused(ask(origin, "other.example"), "not for the name other.example");
  trust(authority.pem(), "shop.example");
  EXPECT_EQ(ask(origin, "other.example").response->status, 200);
}

TEST_P(TlsClusters, AddressIsCheckedAndNotSent) {
  SecureOrigin origin(material_of({authority.issue({.names = {"IP:127.0.0.1"}})}));
  trust(authority.pem());
  EXPECT_EQ(ask(origin, "127.0.0.1").response->status, 200);
  EXPECT_EQ(origin.facts.at(0)->server_name, "");
  expect_refused(ask(origin, "127.0.0.2"), "not for the name 127.0.0.2");
}

TEST_P(TlsClusters, ExpiredOneIsSaidToBe) {
  SecureOrigin origin(material_of({authority.issue({.names = {"DNS:shop.example"}, .starts = -7200, .ends = -3600})}));
  trust(authority.pem());
  expect_refused(ask(origin, "shop.example"), "has expired");
}

TEST_P(TlsClusters, UnknownAuthorityIsNotBelieved) {
  SecureOrigin origin(material_of({authority.issue({.names = {"DNS:shop.example"}})}));
  trust(Authority("somebody else").pem());
  expect_refused(ask(origin, "shop.example"), "unknown authority");
}

TEST_P(TlsClusters, SilenceIsBoundedByConnectTimeout) {
  trust(authority.pem());
  cluster = std::make_unique<Cluster>(settings, std::vector<Target>{{origins[0].address(), "shop.example"}}, 1);
  Instant begun = loop.now();
  Call& one = again();  // its origin takes the connection and says nothing
  EXPECT_EQ(one.response->status, 504);
  EXPECT_EQ(name_of(one.response->fault->code), name_of(Code::connect_timeout));
  EXPECT_LE(loop.now() - begun, settings.connect_timeout + 1ms);
  EXPECT_EQ(active(*cluster), 0u);
}

TEST_P(TlsClusters, SessionIsResumed) {
  SecureOrigin origin(material_of({authority.issue({.names = {"DNS:shop.example"}})}));
  trust(authority.pem());
  EXPECT_EQ(ask(origin, "shop.example").response->status, 200);
  calls.clear();
  origin.wires.clear();
  loop.run_for(2s);  // the closed connection leaves the pool
  EXPECT_EQ(again().response->status, 200);
  ASSERT_EQ(origin.facts.size(), 2u);
  EXPECT_FALSE(origin.facts[0]->resumed);
  EXPECT_TRUE(origin.facts[1]->resumed);
}

TEST_P(TlsClusters, OwnCertificateIsShown) {
  std::shared_ptr<io::TlsServerMaterial> material = material_of({authority.issue({.names = {"DNS:shop.example"}})});
  material->entries[0].check = {io::ClientCertificate::required, authorities_of(authority.pem())};
  material->index();
  SecureOrigin origin(material);
  settings.tls = client_of({.authorities = authorities_of(authority.pem()),
                            .certificate = certificate_of(authority.issue({.common_name = "gateway", .names = {"DNS:gateway.example"}}))});
  EXPECT_EQ(ask(origin, "shop.example").response->status, 200);
  ASSERT_NE(origin.facts.at(0)->identity, nullptr);
  trust(authority.pem());
  EXPECT_EQ(ask(origin, "shop.example").response->status, 502);
}

}  // namespace
}  // namespace portloom::upstream
