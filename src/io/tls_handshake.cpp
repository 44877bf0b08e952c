// io/tls_handshake.cpp
//
// One loop: let OpenSSL work, send what it wrote, wait for what it wants to read.
#include "io/tls_handshake.h"

#include <openssl/err.h>

#include "base/text.h"

namespace portloom::io {
namespace {

// Mozilla's intermediate configuration, less DHE: forward secrecy and authenticated encryption throughout.
constexpr const char* suites_1_2 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* suites_1_3 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* groups = "X25519:P-256";

}  // namespace

ContextPointer new_context(const SSL_METHOD* method) {
  ContextPointer made(SSL_CTX_new(method));
  if (!made) return nullptr;
  SSL_CTX* context = made.get();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  bool good = SSL_CTX_set_cipher_list(context, suites_1_2) == 1 && SSL_CTX_set_ciphersuites(context, suites_1_3) == 1 &&
              SSL_CTX_set1_groups_list(context, groups) == 1;
  if (!good) return nullptr;
  return made;
}

Result<void> use_certificate(SSL_CTX* context, const Certificate& certificate) {
  std::unique_ptr<STACK_OF(X509), Freed<[](STACK_OF(X509) * stack) { sk_X509_free(stack); }>> others(sk_X509_new_null());
  for (size_t i = 1; i < certificate.chain.size(); ++i) sk_X509_push(others.get(), certificate.chain[i].get());
  ERR_clear_error();
  if (SSL_CTX_use_cert_and_key(context, certificate.chain.front().get(), certificate.key.get(), others.get(), 0) != 1)
    return tls_failure(Code::invalid, Side::gateway, "the certificate cannot be used");
  return {};
}

std::unexpected<Error> tls_failure(Code code, Side side, std::string detail) {
  unsigned long error = ERR_peek_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  if (reason != nullptr) detail += ": " + std::string(reason);
  ERR_clear_error();
  return failure(code, side, std::move(detail));
}

std::string server_name_of(std::string_view extension) {
  auto number = [&](size_t at) {
    return static_cast<size_t>(static_cast<unsigned char>(extension[at]) << 8 | static_cast<unsigned char>(extension[at + 1]));
  };
  // list length, type, name length, name
  if (extension.size() < 5 || number(0) != extension.size() - 2 || extension[2] != 0) return {};
  size_t size = number(3);
  if (size == 0 || size > 253 || size > extension.size() - 5) return {};
  std::string name(extension.substr(5, size));
  for (char& c : name) {
    c = to_lower(c);
    if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_') return {};
  }
  if (name.ends_with('.')) name.pop_back();
  return name;
}

Task<Result<void>> shake_hands(Socket& raw, SecureChannel& secure, Side side, Instant deadline) {
  while (true) {
    ERR_clear_error();
    int outcome = SSL_do_handshake(secure.ssl());
    int error = outcome == 1 ? SSL_ERROR_NONE : SSL_get_error(secure.ssl(), outcome);
    // Session tickets are left to send: nobody waits for them, they ride with the first message.
    if (outcome == 1 && SSL_is_server(secure.ssl()) != 0 && SSL_version(secure.ssl()) == TLS1_3_VERSION) co_return {};
    Result<void> verdict;
    if (outcome != 1 && error != SSL_ERROR_WANT_READ) verdict = tls_failure(Code::bad_request, side, "TLS");
    if (secure.has_output()) {
      bool sent = co_await raw.send(secure.take_output(), {}, deadline);
      if (verdict && !sent) co_return failure(Code::reset, side, "the connection broke during the TLS handshake");
    }
    if (!verdict || outcome == 1) co_return verdict;
    Arrival arrival = co_await raw.receive(deadline);
    if (arrival == Arrival::bytes) continue;
    if (arrival == Arrival::late) co_return failure(Code::request_timeout, side, "the TLS handshake took too long");
    co_return failure(arrival == Arrival::end ? Code::closed : Code::reset, side, "the connection ended during the TLS handshake");
  }
}

TlsFacts facts_of(SSL* ssl) {
  TlsFacts facts;
  facts.version = SSL_get_version(ssl);
  facts.cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &size);
  facts.protocol.assign(reinterpret_cast<const char*>(protocol), size);
  facts.resumed = SSL_session_reused(ssl) == 1;
  return facts;
}

Socket stand_on(Socket raw, std::unique_ptr<SecureChannel> secure) {
  raw.detach();
  secure->stand();
  return Socket(secure.release());
}

}  // namespace portloom::io
