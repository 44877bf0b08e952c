// Tests of TLS at the door, in virtual time: which certificate a name gets, what is asked of clients and remembered of them,
// whom a session ticket lets in again. How bytes move is tls_test.cpp's.
#include <gtest/gtest.h>

#include <optional>

#include "async/scope.h"
#include "io/tls.h"
#include "testing/authority.h"
#include "testing/sim_loop.h"

namespace portloom::io {
namespace {

using namespace portloom::testing;  // NOLINT: the authority

// One end of a connection, as far as it has got.
struct End {
  Socket socket;
  TlsFacts facts;
  Error error;
  bool done = false;
  bool good() const { return done && socket; }
};

void settle(End& end, Result<Socket> outcome) {
  if (outcome)
    end.socket = std::move(*outcome);
  else
    end.error = std::move(outcome.error());
  end.done = true;
}

Task<void> serve(Listener* listener, std::shared_ptr<TlsServerContext> context, End* end) {
  Result<Accepted> accepted = co_await listener->accept();
  settle(*end, co_await accept_tls(std::move(accepted->socket), context, Agenda::current().now() + 10s, end->facts));
}

Task<void> call(Address address, std::shared_ptr<TlsClientContext::Peer> peer, End* end) {
  Result<Socket> raw = co_await connect(address);
  settle(*end, co_await connect_tls(std::move(*raw), peer, Agenda::current().now() + 10s, end->facts));
}

Task<void> say(Socket* socket) { co_await socket->send(Bytes::copy("hello")); }

Task<void> hear(Socket* socket, std::optional<Arrival>* last) { *last = co_await socket->receive(); }

class TlsDoor : public ::testing::Test {
 protected:
  TlsDoor() : listener(std::move(*listen(Address::loopback(0), false))) {}

  struct Met {
    End server;
    End client;
    Scope scope;
  };
  // Both ends have done what they could. What the server then says brings the session tickets.
  std::unique_ptr<Met> meet(std::shared_ptr<TlsServerContext> context, std::shared_ptr<TlsClientContext::Peer> peer) {
    auto met = std::make_unique<Met>();
    met->scope.spawn(serve, &listener, std::move(context), &met->server);
    met->scope.spawn(call, listener.address(), std::move(peer), &met->client);
    EXPECT_TRUE(loop.run_until([&] { return met->server.done && met->client.done; }, 60s));
    if (!met->server.good() || !met->client.good()) return met;
    std::optional<Arrival> last;
    met->scope.spawn(say, &met->server.socket);
    met->scope.spawn(hear, &met->client.socket, &last);
    EXPECT_TRUE(loop.run_until([&] { return last.has_value(); }, 60s));
    return met;
  }
  std::shared_ptr<TlsClientContext::Peer> client(std::string_view host, std::optional<Pair> own = {}) {
    return client_of({.authorities = authorities_of(authority.pem()), .certificate = own ? certificate_of(*own) : nullptr})->peer(host);
  }
  TlsServerMaterial::Check demand(ClientCertificate how, const Authority& of) { return {how, authorities_of(of.pem())}; }
  static std::shared_ptr<TlsServerContext> context_of(const std::shared_ptr<TlsServerMaterial>& material,
                                                      std::shared_ptr<const TicketKeys> keys) {
    material->index();
    return *TlsServerContext::make(material, std::move(keys));
  }

  SimLoop loop;
  Listener listener;
  Authority authority;
};

TEST_F(TlsDoor, NameChoosesTheCertificate) {
  auto context =
      server_of(material_of({authority.issue({.names = {"DNS:first.example"}}), authority.issue({.names = {"DNS:*.shop.example"}}),
                             authority.issue({.names = {"DNS:www.shop.example"}})}));
  for (std::string_view host : {"first.example", "www.shop.example", "m.shop.example", "WWW.shop.example"}) {
    auto met = meet(context, client(host));
    EXPECT_TRUE(met->client.good()) << host << ": " << met->client.error.detail;
  }
  for (std::string_view host : {"shop.example", "a.b.shop.example", "other.example"}) {  // they get the first one
    auto met = meet(context, client(host));
    EXPECT_FALSE(met->client.good()) << host;
    EXPECT_NE(met->client.error.detail.find("not for the name"), std::string::npos) << met->client.error.detail;
  }
}

TEST_F(TlsDoor, MaterialAnswersByExactNameThenWildcardThenTheFirst) {
  auto material = material_of({authority.issue({.names = {"DNS:first.example"}}), authority.issue({.names = {"DNS:*.shop.example"}}),
                               authority.issue({.names = {"DNS:www.shop.example"}})});
  material->entries[2].check = demand(ClientCertificate::required, authority);
  material->index();
  auto entry = [&](std::string_view host) { return material->choices[material->choose(host)].front(); };
  EXPECT_EQ(entry("first.example"), 0);
  EXPECT_EQ(entry("www.shop.example"), 2);
  EXPECT_EQ(entry("m.shop.example"), 1);
  EXPECT_EQ(entry(".shop.example"), 0);
  EXPECT_EQ(entry(""), 0);
  // 421 stands on this: a Host whose demands differ from those that the connection has met.
  EXPECT_EQ(material->check_for("FIRST.example"), material->check_for("m.shop.example."));
  EXPECT_NE(material->check_for("www.shop.example"), material->check_for("m.shop.example"));
}

TEST_F(TlsDoor, EcdsaAndRsaStandSideBySide) {
  auto context = server_of(material_of({authority.issue({.names = {"DNS:shop.example"}, .kind = KeyKind::rsa}),
                                        authority.issue({.names = {"DNS:shop.example"}, .kind = KeyKind::ecdsa})}));
  EXPECT_EQ(context->material().choices[context->material().choose("shop.example")].size(), 2U);
  EXPECT_TRUE(meet(context, client("shop.example"))->client.good());
}

TEST_F(TlsDoor, ClientCertificateThatIsRequiredIsAskedForAndKnown) {
  Authority staff("staff");
  auto material = material_of({authority.issue({.names = {"DNS:shop.example"}})});
  material->entries[0].check = demand(ClientCertificate::required, staff);
  auto context = server_of(material);
  EXPECT_FALSE(meet(context, client("shop.example"))->server.good());
  EXPECT_FALSE(meet(context, client("shop.example", authority.issue({.names = {"URI:spiffe://shop/orders"}})))->server.good());
  EXPECT_FALSE(meet(context, client("shop.example", staff.issue({.starts = -7200, .ends = -3600})))->server.good());
  auto met = meet(context, client("shop.example", staff.issue({.common_name = "orders", .names = {"URI:spiffe://shop/orders"}})));
  ASSERT_TRUE(met->server.good()) << met->server.error.detail;
  ASSERT_NE(met->server.facts.identity, nullptr);
  EXPECT_EQ(met->server.facts.identity->names.subject, "CN=orders");
  EXPECT_EQ(met->server.facts.identity->names.uris, std::vector<std::string>{"spiffe://shop/orders"});
  EXPECT_EQ(met->server.facts.identity->fingerprint.size(), 64U);
}

TEST_F(TlsDoor, ClientCertificateThatIsOptionalMayBeMissingButNotWrong) {
  Authority staff("staff");
  auto material = material_of({authority.issue({.names = {"DNS:shop.example"}})});
  material->entries[0].check = demand(ClientCertificate::optional, staff);
  auto context = server_of(material);
  auto without = meet(context, client("shop.example"));
  ASSERT_TRUE(without->server.good()) << without->server.error.detail;
  EXPECT_EQ(without->server.facts.identity, nullptr);
  EXPECT_FALSE(meet(context, client("shop.example", authority.issue({})))->server.good());
  EXPECT_NE(meet(context, client("shop.example", staff.issue({})))->server.facts.identity, nullptr);
}

TEST_F(TlsDoor, TicketOfOneWorkerIsGoodAtAnother) {
  auto material = material_of({authority.issue({.names = {"DNS:shop.example"}})});
  auto keys = TicketKeys::make();
  auto peer = client("shop.example");
  EXPECT_FALSE(meet(context_of(material, keys), peer)->server.facts.resumed);
  auto second = meet(context_of(material, keys), peer);
  EXPECT_TRUE(second->server.facts.resumed);
  EXPECT_EQ(second->server.facts.server_name, "shop.example");
}

TEST_F(TlsDoor, TicketOutlivesTwoNewKeysAndNotThree) {
  auto material = material_of({authority.issue({.names = {"DNS:shop.example"}})});
  for (int rotations : {1, 2, 3}) {
    auto keys = TicketKeys::make();
    auto peer = client("shop.example");
    meet(context_of(material, keys), peer);
    for (int i = 0; i < rotations; ++i) keys = keys->rotated();
    EXPECT_EQ(meet(context_of(material, keys), peer)->server.facts.resumed, rotations < 3) << rotations;
  }
}

TEST_F(TlsDoor, SessionMadeUnderOtherDemandsIsNotResumed) {
  Authority staff("staff");
  Pair pair = authority.issue({.names = {"DNS:shop.example"}});
  auto open = material_of({pair});
  auto asking = material_of({pair});
  asking->entries[0].check = demand(ClientCertificate::optional, staff);
  auto keys = TicketKeys::make();
  auto peer = client("shop.example");
  meet(context_of(open, keys), peer);
  EXPECT_FALSE(meet(context_of(asking, keys), peer)->server.facts.resumed);
}

TEST_F(TlsDoor, ResumedClientIsStillKnown) {
  auto material = material_of({authority.issue({.names = {"DNS:shop.example"}})});
  material->entries[0].check = demand(ClientCertificate::required, authority);
  auto keys = TicketKeys::make();
  auto peer = client("shop.example", authority.issue({.common_name = "orders"}));
  meet(context_of(material, keys), peer);
  auto again = meet(context_of(material, keys), peer);
  ASSERT_TRUE(again->server.facts.resumed);
  ASSERT_NE(again->server.facts.identity, nullptr);
  EXPECT_EQ(again->server.facts.identity->names.subject, "CN=orders");
}

TEST_F(TlsDoor, SessionOfAPeerThatIsGoneStaysWithItsConnections) {
  auto context = server_of(material_of({authority.issue({.names = {"DNS:shop.example"}})}));
  auto peer = client("shop.example");
  std::weak_ptr<TlsClientContext::Peer> watched = peer;
  auto met = meet(context, std::move(peer));
  EXPECT_FALSE(watched.expired());
  met->client.socket = Socket();
  met.reset();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace portloom::io
