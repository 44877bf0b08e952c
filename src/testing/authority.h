// testing/authority.h
//
// A certificate authority for tests: makes certificates with OpenSSL as they are needed, so that no key lies in the tree.
// Everything is PEM text, as users' files are. Times are of the wall clock.
#pragma once

#include <string>
#include <vector>

#include "io/certificates.h"
#include "io/tls.h"

namespace portloom::testing {

enum class KeyKind : uint8_t { ecdsa, rsa };

struct Issue {
  std::string common_name = "test";
  std::vector<std::string> names;  // of the SAN, as OpenSSL writes them: "DNS:a.example", "IP:127.0.0.1", "URI:…"; none: no SAN
  KeyKind kind = KeyKind::ecdsa;
  long starts = -3600;  // seconds from now
  long ends = 86400;
};

struct Pair {
  std::string certificate;
  std::string key;
};

class Authority {
 public:
  explicit Authority(std::string name = "test authority");
  const std::string& pem() const { return pem_; }
  Pair issue(const Issue& issue) const;
  // A good OCSP response about the certificate, DER.
  std::string staple(const std::string& certificate) const;

 private:
  io::KeyPointer key_;
  io::CertificatePointer certificate_;
  std::string pem_;
};

// As the loader would make it. CHECKs that it can be read.
std::shared_ptr<const io::Certificate> certificate_of(const Pair& pair);
std::shared_ptr<const io::Authorities> authorities_of(const std::string& pem);
// A listener with these certificates and no demands.
std::shared_ptr<io::TlsServerMaterial> material_of(const std::vector<Pair>& pairs);
std::shared_ptr<io::TlsServerContext> server_of(std::shared_ptr<io::TlsServerMaterial> material);
std::shared_ptr<io::TlsClientContext> client_of(io::TlsClientMaterial material);

}  // namespace portloom::testing
