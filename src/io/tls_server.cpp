// io/tls_server.cpp
//
// The server's side: which certificate a client gets, what is asked of it, session tickets, OCSP staples.
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.h"
#include "io/secure_channel.h"
#include "io/tls.h"
#include "io/tls_handshake.h"

namespace portloom::io {

// ---- Ticket keys ----

namespace {

bool fill(TicketKeys::Key& key) {
  auto random = [](auto& bytes) { return RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1; };
  return random(key.name) && random(key.cipher) && random(key.mac);
}

// A look-up of an algorithm takes OpenSSL's locks: done once per process.
const EVP_CIPHER* ticket_cipher() {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  return cipher;
}

}  // namespace

std::shared_ptr<const TicketKeys> TicketKeys::make() {
  auto made = std::make_shared<TicketKeys>();
  for (Key& key : made->keys)
    if (!fill(key)) return nullptr;
  return made;
}

std::shared_ptr<const TicketKeys> TicketKeys::rotated() const {
  auto made = std::make_shared<TicketKeys>();
  std::copy(keys.begin(), keys.end() - 1, made->keys.begin() + 1);
  if (!fill(made->keys[0])) return nullptr;
  return made;
}

// Seals a ticket with the newest key (returns 1) or finds the key that sealed it (1, or 2: to be sealed anew; 0: unknown).
int TlsServerContext::ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal) {
  auto& self = *static_cast<TlsServerContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const auto& keys = self.keys_->keys;
  size_t index = 0;
  if (seal == 0) {
    while (index < keys.size() && CRYPTO_memcmp(name, keys[index].name.data(), keys[index].name.size()) != 0) ++index;
    if (index == keys.size()) return 0;
  }
  const TicketKeys::Key& key = keys[index];
  if (seal != 0) {
    std::memcpy(name, key.name.data(), key.name.size());
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(ticket_cipher())) != 1) return -1;
  }
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.mac.data()), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  if (EVP_MAC_CTX_set_params(mac, parameters) != 1) return -1;
  if (EVP_CipherInit_ex2(cipher, ticket_cipher(), key.cipher.data(), iv, seal, nullptr) != 1) return -1;
  // A TLS 1.3 client uses a ticket once (RFC 8446 §C.4): without a new one its next connection would begin from nothing.
  return index == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
}

// ---- Which certificate ----

bool TlsServerMaterial::Check::operator==(const Check& other) const {
  if (demand != other.demand) return false;
  if (authorities == nullptr || other.authorities == nullptr) return authorities == other.authorities;
  return authorities->digest == other.authorities->digest;
}

void TlsServerMaterial::index() {
  auto kind = [this](uint16_t entry) { return EVP_PKEY_get_base_id(entries[entry].certificate->key.get()); };
  std::map<std::string, Choice> named;
  for (uint16_t i = 0; i < entries.size(); ++i) {
    for (const std::string& host : entries[i].certificate->hosts) {
      Choice& set = named[host];
      auto rivals = [&](uint16_t other) { return kind(other) == kind(i) || !(entries[other].check == entries[i].check); };
      if (std::none_of(set.begin(), set.end(), rivals)) set.push_back(i);
    }
  }
  choices = {{0}};
  for (const auto& [host, choice] : named) {
    if (choice.front() == 0 && choice.size() > choices[0].size()) choices[0] = choice;
    auto found = std::find(choices.begin(), choices.end(), choice);
    by_name_[host] = static_cast<size_t>(found - choices.begin());
    if (found == choices.end()) choices.push_back(choice);
  }
  for (const Choice& choice : choices) {
    const Check& asked = entries[choice.front()].check;
    auto found = std::find(checks.begin(), checks.end(), asked);
    check_of_choice_.push_back(static_cast<uint16_t>(found - checks.begin()));
    if (found == checks.end()) checks.push_back(asked);
  }
}

size_t TlsServerMaterial::choose(std::string_view host) const {
  if (auto exact = by_name_.find(host); exact != by_name_.end()) return exact->second;
  size_t dot = host.find('.');
  if (dot == 0 || dot == std::string_view::npos) return 0;
  auto wildcard = by_name_.find("*" + std::string(host.substr(dot)));
  return wildcard == by_name_.end() ? 0 : wildcard->second;
}

uint16_t TlsServerMaterial::check_for(std::string_view host) const {
  if (checks.size() == 1) return 0;
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string lower(host);
  for (char& c : lower) c = to_lower(c);
  return check_of_choice_[choose(lower)];
}

// ---- The context ----

struct TlsServerContext::Greeting {
  std::string server_name;
  size_t choice = 0;
};

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::make(std::shared_ptr<const TlsServerMaterial> material,
                                                                 std::shared_ptr<const TicketKeys> keys) {
  std::shared_ptr<TlsServerContext> made(new TlsServerContext(std::move(material), std::move(keys)));
  for (const TlsServerMaterial::Choice& choice : made->material_->choices)
    if (Result<void> added = made->add(choice); !added) return std::unexpected(std::move(added.error()));
  return made;
}

Result<void> TlsServerContext::add(const TlsServerMaterial::Choice& choice) {
  ERR_clear_error();
  ContextPointer made = new_context(TLS_server_method());
  if (!made) return tls_failure(Code::exhausted, Side::gateway, "cannot make a TLS context");
  SSL_CTX* context = made.get();
  SSL_CTX_set_app_data(context, this);
  int version = material_->version_min == TlsVersion::tls1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
  SSL_CTX_set_min_proto_version(context, version);
  // Our order of suites, and ChaCha20 for who puts it first: a client without AES in hardware.
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  for (uint16_t index : choice) {
    const Certificate& certificate = *material_->entries[index].certificate;
    if (Result<void> used = use_certificate(context, certificate); !used) return used;
  }
  const TlsServerMaterial::Check& check = material_->entries[choice.front()].check;
  // A session that was made under other demands is not resumed under these.
  std::string session = material_->name + '\n' + std::to_string(static_cast<int>(check.demand));
  if (check.demand != ClientCertificate::none) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (check.demand == ClientCertificate::required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       nullptr);
    SSL_CTX_set1_cert_store(context, check.authorities->store.get());
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);  // what was configured is the end of a chain
    for (const CertificatePointer& authority : check.authorities->certificates) SSL_CTX_add_client_CA(context, authority.get());
    session += check.authorities->digest;
  }
  std::array<unsigned char, 32> digest{};
  EVP_Digest(session.data(), session.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  SSL_CTX_set_session_id_context(context, digest.data(), static_cast<unsigned int>(digest.size()));
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets: what is resumed is kept by the client
  SSL_CTX_set_timeout(context, 2 * 3600);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket);
  SSL_CTX_set_client_hello_cb(context, greet, this);
  SSL_CTX_set_alpn_select_cb(context, agree, this);
  SSL_CTX_set_tlsext_status_cb(context, staple);
  SSL_CTX_set_tlsext_status_arg(context, this);
  contexts_.push_back(std::move(made));
  return {};
}

// Before anything else is looked at, the session to resume included: the certificate that the client's name leads to, and
// what it asks of clients (RFC 6066 §3: one name of type host_name).
int TlsServerContext::greet(SSL* ssl, int*, void* context) {
  auto& self = *static_cast<TlsServerContext*>(context);
  auto& greeting = *static_cast<Greeting*>(SSL_get_app_data(ssl));
  const unsigned char* bytes = nullptr;
  size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) == 1)
    greeting.server_name = server_name_of({reinterpret_cast<const char*>(bytes), size});
  greeting.choice = self.material_->choose(greeting.server_name);
  if (greeting.choice == 0) return SSL_CLIENT_HELLO_SUCCESS;
  SSL_CTX* chosen = self.contexts_[greeting.choice].get();
  SSL_set_SSL_CTX(ssl, chosen);
  SSL_set_verify(ssl, SSL_CTX_get_verify_mode(chosen), nullptr);
  return SSL_CLIENT_HELLO_SUCCESS;
}

// The first of ours that the client offers (RFC 7301 §3.2); none in common ends the handshake.
int TlsServerContext::agree(SSL*, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered, unsigned int size,
                            void* context) {
  auto& self = *static_cast<TlsServerContext*>(context);
  for (const std::string& ours : self.material_->protocols) {
    for (unsigned int at = 0; at < size; at += 1u + offered[at]) {
      std::string_view theirs(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
      if (at + 1u + offered[at] > size || theirs != ours) continue;
      *chosen = offered + at + 1;
      *chosen_size = offered[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int TlsServerContext::staple(SSL* ssl, void* context) {
  auto& self = *static_cast<TlsServerContext*>(context);
  const X509* used = SSL_get_certificate(ssl);
  for (const TlsServerMaterial::Entry& entry : self.material_->entries) {
    const std::string& der = entry.certificate->ocsp;
    if (entry.certificate->chain.front().get() != used || der.empty()) continue;
    void* copy = OPENSSL_memdup(der.data(), der.size());
    if (copy == nullptr) break;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(der.size()));
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

Task<Result<Socket>> accept_tls(Socket raw, std::shared_ptr<TlsServerContext> context, Instant deadline, TlsFacts& facts) {
  TlsServerContext::Greeting greeting;
  SSL* ssl = SSL_new(context->contexts_[0].get());
  if (ssl == nullptr) co_return tls_failure(Code::exhausted, Side::gateway, "cannot make a TLS connection");
  SSL_set_app_data(ssl, &greeting);
  SSL_set_accept_state(ssl);
  auto secure = std::make_unique<SecureChannel>(ssl, raw.channel(), context);
  Result<void> shaken = co_await shake_hands(raw, *secure, Side::client, deadline);
  if (!shaken) {
    if (!greeting.server_name.empty()) shaken.error().detail += " (it asked for " + greeting.server_name + ")";
    co_return std::unexpected(std::move(shaken.error()));
  }
  SSL_set_app_data(ssl, nullptr);
  facts = facts_of(ssl);
  facts.server_name = std::move(greeting.server_name);
  facts.check = context->material_->check_for(facts.server_name);
  if (const TlsServerMaterial::Check& check = context->material_->checks[facts.check]; check.demand != ClientCertificate::none) {
    CertificatePointer shown(SSL_get1_peer_certificate(ssl));
    // A resumed session brings the certificate along unchecked: it may have expired since.
    if (shown && end_of(*shown) < Agenda::current().wall_now())
      co_return failure(Code::bad_request, Side::client, "TLS: the client's certificate has expired");
    if (shown) facts.identity = std::make_unique<TlsIdentity>(TlsIdentity{names_of(*shown), fingerprint_of(*shown)});
  }
  co_return stand_on(std::move(raw), std::move(secure));
}

}  // namespace portloom::io
