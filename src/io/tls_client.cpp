// io/tls_client.cpp
//
// The client's side: whom we believe, what we show, the session that is resumed next time.
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/text.h"
#include "io/tls.h"
#include "io/tls_handshake.h"

namespace portloom::io {
namespace {

bool is_address(const std::string& name) {
  std::unique_ptr<ASN1_OCTET_STRING, Freed<ASN1_OCTET_STRING_free>> parsed(a2i_IPADDRESS(name.c_str()));
  return parsed != nullptr;
}

// What is wrong with the peer's certificate, in words that say what to do.
std::string verdict_of(long result, const std::string& name) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return "the certificate of " + name + " has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID: return "the certificate of " + name + " is not valid yet";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return "the certificate is not for the name " + name;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: return "the certificate of " + name + " is by an unknown authority";
    default: return "the certificate of " + name + " is not believed: " + X509_verify_cert_error_string(result);
  }
}

}  // namespace

Result<std::shared_ptr<TlsClientContext>> TlsClientContext::make(std::shared_ptr<const TlsClientMaterial> material) {
  std::shared_ptr<TlsClientContext> made(new TlsClientContext(std::move(material)));
  const TlsClientMaterial& facts = *made->material_;
  made->context_ = new_context(TLS_client_method());
  if (!made->context_) return tls_failure(Code::exhausted, Side::gateway, "cannot make a TLS context");
  SSL_CTX* context = made->context_.get();
  if (facts.authorities != nullptr) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set1_cert_store(context, facts.authorities->store.get());
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  }
  if (facts.certificate != nullptr)
    if (Result<void> used = use_certificate(context, *facts.certificate); !used) return std::unexpected(std::move(used.error()));
  std::string offered;
  for (const std::string& protocol : facts.protocols) offered += static_cast<char>(protocol.size()) + protocol;
  SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(offered.data()), static_cast<unsigned int>(offered.size()));
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_session);
  return made;
}

std::shared_ptr<TlsClientContext::Peer> TlsClientContext::peer(std::string_view host) {
  std::string name = material_->server_name.empty() ? std::string(host) : material_->server_name;
  return std::make_shared<Peer>(Peer{.context = shared_from_this(), .name = std::move(name), .session = nullptr});
}

// A ticket came, with TLS 1.3 at any time behind the handshake.
int TlsClientContext::keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* peer = static_cast<Peer*>(SSL_get_app_data(ssl));
  if (peer == nullptr || SSL_SESSION_is_resumable(session) != 1) return 0;
  peer->session.reset(session);
  return 1;
}

Task<Result<Socket>> connect_tls(Socket raw, std::shared_ptr<TlsClientContext::Peer> peer, Instant deadline, TlsFacts& facts) {
  const TlsClientContext* context = peer->context.get();
  if (peer->name.empty() && context->material_->authorities != nullptr)
    co_return failure(Code::invalid, Side::gateway, "TLS: there is no name to check the certificate against");
  SSL* ssl = SSL_new(context->context_.get());
  if (ssl == nullptr) co_return tls_failure(Code::exhausted, Side::gateway, "cannot make a TLS connection");
  SSL_set_connect_state(ssl);
  auto secure = std::make_unique<SecureChannel>(ssl, raw.channel(), peer);
  SSL_set_app_data(ssl, peer.get());
  bool named = true;
  if (is_address(peer->name)) {
    named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), peer->name.c_str()) == 1;
  } else if (!peer->name.empty()) {
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    named = SSL_set1_host(ssl, peer->name.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, peer->name.c_str()) == 1;
  }
  if (!named) co_return tls_failure(Code::invalid, Side::gateway, "TLS: " + peer->name + " is no host name");
  if (peer->session) SSL_set_session(ssl, peer->session.get());
  Result<void> shaken = co_await shake_hands(raw, *secure, Side::upstream, deadline);
  if (!shaken) {
    Error error = std::move(shaken.error());
    peer->session.reset();  // whatever was wrong, the next one begins anew
    if (error.code == Code::request_timeout) error.code = Code::connect_timeout;
    if (error.code == Code::bad_request) error.code = Code::refused;
    if (long result = SSL_get_verify_result(ssl); result != X509_V_OK && context->material_->authorities != nullptr)
      error.detail = "TLS: " + verdict_of(result, peer->name);
    co_return std::unexpected(std::move(error));
  }
  facts = facts_of(ssl);
  facts.server_name = peer->name;
  co_return stand_on(std::move(raw), std::move(secure));
}

}  // namespace portloom::io
