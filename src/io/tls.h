// io/tls.h
//
// TLS 1.2 and 1.3 for both sides of a connection. Material is what was configured (immutable, all workers); a context is
// one worker's OpenSSL objects made from it; accept_tls and connect_tls turn a connected socket into one whose bytes are
// enciphered. What stands above sees io::Socket, as before. Cipher suites and groups are Mozilla's intermediate set.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/error.h"
#include "io/certificates.h"
#include "io/socket.h"

namespace portloom::io {

enum class TlsVersion : uint8_t { tls1_2, tls1_3 };
enum class ClientCertificate : uint8_t { none, optional, required };

// A peer's verified certificate.
struct TlsIdentity {
  CertificateNames names;
  std::string fingerprint;  // SHA-256, lower-case hex
};

// What a handshake agreed on. Lives as long as the connection.
struct TlsFacts {
  std::string_view version;  // "TLSv1.3"; a literal, as the next
  std::string_view cipher;   // "TLS_AES_128_GCM_SHA256"
  std::string server_name;   // what the client asked for (SNI), lower case; may be empty
  std::string protocol;      // by ALPN: "h2", "http/1.1"; empty: none was agreed on
  bool resumed = false;
  uint16_t check = 0;                     // which demand on client certificates was met: TlsServerMaterial::check_for
  std::unique_ptr<TlsIdentity> identity;  // null: the peer showed no certificate
};

// The keys that session tickets are made with: the newest seals, all open. Made on the control thread, the same for all
// workers, so that a client may come back to any of them.
struct TicketKeys {
  static constexpr size_t count = 3;
  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher;
    std::array<unsigned char, 32> mac;
  };
  std::array<Key, count> keys;
  // Empty: the system has no randomness.
  static std::shared_ptr<const TicketKeys> make();
  // A new key in front, the oldest forgotten.
  std::shared_ptr<const TicketKeys> rotated() const;
};

// One listener's side.
struct TlsServerMaterial {
  // What is asked of a client, by certificate of ours.
  struct Check {
    ClientCertificate demand = ClientCertificate::none;
    std::shared_ptr<const Authorities> authorities;  // of clients; null when none is asked for
    bool operator==(const Check& other) const;
  };
  struct Entry {
    std::shared_ptr<const Certificate> certificate;
    Check check;
  };
  std::string name;  // of the listener
  TlsVersion version_min = TlsVersion::tls1_2;
  std::vector<std::string> protocols = {"http/1.1"};  // ALPN names, what we like best first
  std::vector<Entry> entries;                         // at least one; the first serves whoever names nobody we know

  // Entries that serve one name, at most one per kind of key; all with the check of the first.
  using Choice = std::vector<uint16_t>;
  std::vector<Choice> choices;
  std::vector<Check> checks;
  // Fills choices and checks once the entries are there.
  void index();
  // By exact name, then by wildcard, else the first entry's. `host` in lower case.
  size_t choose(std::string_view host) const;
  // Which of `checks` a connection for this host must have met. In any case; a port is not part of it.
  uint16_t check_for(std::string_view host) const;

 private:
  std::map<std::string, size_t, std::less<>> by_name_;
  std::vector<uint16_t> check_of_choice_;
};

using ContextPointer = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

// One worker's side of a listener. Replaced as a whole when its material changes; handshakes under way keep theirs.
class TlsServerContext : public std::enable_shared_from_this<TlsServerContext> {
 public:
  static Result<std::shared_ptr<TlsServerContext>> make(std::shared_ptr<const TlsServerMaterial> material,
                                                        std::shared_ptr<const TicketKeys> keys);
  const TlsServerMaterial& material() const { return *material_; }
  // On the worker.
  void use(std::shared_ptr<const TicketKeys> keys) { keys_ = std::move(keys); }

 private:
  friend Task<Result<Socket>> accept_tls(Socket raw, std::shared_ptr<TlsServerContext> context, Instant deadline, TlsFacts& facts);
  struct Greeting;  // what a handshake finds out
  TlsServerContext(std::shared_ptr<const TlsServerMaterial> material, std::shared_ptr<const TicketKeys> keys)
      : material_(std::move(material)), keys_(std::move(keys)) {}
  Result<void> add(const TlsServerMaterial::Choice& choice);
  static int greet(SSL* ssl, int* alert, void* self);
  static int agree(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered, unsigned int size,
                   void* self);
  static int staple(SSL* ssl, void* self);
  static int ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal);

  std::shared_ptr<const TlsServerMaterial> material_;
  std::shared_ptr<const TicketKeys> keys_;
  std::vector<ContextPointer> contexts_;  // by choice
};

// Serves one connection's handshake. By `deadline`, else Code::request_timeout; Code::bad_request for what is no TLS of
// ours, with OpenSSL's reason; Code::closed or reset when the client went. Session tickets ride with the first answer.
Task<Result<Socket>> accept_tls(Socket raw, std::shared_ptr<TlsServerContext> context, Instant deadline, TlsFacts& facts);

// A service's side.
struct TlsClientMaterial {
  std::shared_ptr<const Authorities> authorities;  // null: certificates are not verified
  std::shared_ptr<const Certificate> certificate;  // ours, for those who ask; may be null
  std::string server_name;                         // instead of the endpoint's host name
  std::vector<std::string> protocols = {"http/1.1"};
};

class TlsClientContext : public std::enable_shared_from_this<TlsClientContext> {
 public:
  // Whom we talk to: its name and the session to resume. Its connections keep it, and it keeps the context.
  struct Peer {
    std::shared_ptr<TlsClientContext> context;
    std::string name;  // SNI and what the certificate is checked against; an address is checked and not sent
    std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION_free>> session;
  };
  static Result<std::shared_ptr<TlsClientContext>> make(std::shared_ptr<const TlsClientMaterial> material);
  // An endpoint whose host name as written is `host`.
  std::shared_ptr<Peer> peer(std::string_view host);

 private:
  friend Task<Result<Socket>> connect_tls(Socket raw, std::shared_ptr<Peer> peer, Instant deadline, TlsFacts& facts);
  explicit TlsClientContext(std::shared_ptr<const TlsClientMaterial> material) : material_(std::move(material)) {}
  static int keep_session(SSL* ssl, SSL_SESSION* session);

  std::shared_ptr<const TlsClientMaterial> material_;
  ContextPointer context_;
};

// Makes one connection's handshake. By `deadline`, else Code::connect_timeout; Code::refused with what is wrong with the
// other's certificate, or its alert; Code::reset or closed when it went away.
Task<Result<Socket>> connect_tls(Socket raw, std::shared_ptr<TlsClientContext::Peer> peer, Instant deadline, TlsFacts& facts);

}  // namespace portloom::io
