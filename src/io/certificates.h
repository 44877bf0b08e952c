// io/certificates.h
//
// Certificates, keys and authorities as they stand in PEM files. Parsed on the control thread, immutable afterwards,
// shared by all workers. Errors say what is wrong in words for people; the caller knows which file it was.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/error.h"

namespace portloom::io {

// Frees with the C function that belongs to the type.
template <auto free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using CertificatePointer = std::unique_ptr<X509, Freed<X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using StorePointer = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;

// Names that a certificate is for. Host names in lower case; `*.` in front stands for one label.
struct CertificateNames {
  std::string subject;             // RFC 2253
  std::vector<std::string> hosts;  // DNS names of the SAN
  std::vector<std::string> uris;
  std::vector<std::string> emails;
};

// One certificate, those that lead from it to a root, and its key.
struct Certificate {
  std::vector<CertificatePointer> chain;  // its own first
  KeyPointer key;
  std::string ocsp;                // a DER response to staple; may be empty
  std::vector<std::string> hosts;  // from the SAN; from the common name when there is no SAN
  WallTime starts;
  WallTime ends;
};

// Whom to trust.
struct Authorities {
  std::vector<CertificatePointer> certificates;
  StorePointer store;
  std::string digest;  // SHA-256 over all of them: two with the same digest trust the same
};

constexpr size_t pem_bytes_max = 4 * 1024 * 1024;  // of one file
constexpr size_t chain_max = 16;                   // certificates in a chain

// The chain of a certificate file; Code::invalid when there is no certificate in it, or one that is broken.
Result<Certificate> parse_certificate(std::string_view pem);
// The first private key of a text. A key under a passphrase is refused.
Result<KeyPointer> parse_key(std::string_view pem);
// Whether the key belongs to the certificate.
bool belongs_to(const Certificate& certificate, const EVP_PKEY& key);
// An OCSP response in DER, as `openssl ocsp -respout` writes it, that is good for this certificate now; else why not.
Result<void> check_ocsp(std::string_view der, const Certificate& certificate, WallTime now);
Result<std::shared_ptr<const Authorities>> parse_authorities(std::string_view pem);
// What the system trusts ($SSL_CERT_FILE, else the distribution's bundle).
Result<std::shared_ptr<const Authorities>> system_authorities();

CertificateNames names_of(X509& certificate);
WallTime end_of(X509& certificate);
// SHA-256 of the certificate, lower-case hex.
std::string fingerprint_of(X509& certificate);

// Whether a certificate's name covers a host name; both in lower case.
bool covers(std::string_view pattern, std::string_view host);

}  // namespace portloom::io
