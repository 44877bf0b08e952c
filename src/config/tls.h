// config/tls.h
//
// TLS as a user writes it: a listener's certificates and what it asks of clients; what we expect of a service's endpoints.
// Paths are relative to the file that names them. What they hold is read by app/, so that `check` and `run` say the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/place.h"

namespace portloom::config {

enum class ClientCertificate : uint8_t { optional, required };
inline std::vector<data::Choice> choices_of(ClientCertificate) {
  return {{"required", ClientCertificate::required}, {"optional", ClientCertificate::optional}};
}

enum class TlsVersion : uint8_t { tls1_2, tls1_3 };
inline std::vector<data::Choice> choices_of(TlsVersion) { return {{"1.2", TlsVersion::tls1_2}, {"1.3", TlsVersion::tls1_3}}; }

struct Certificate {
  std::string cert;
  data::Secret key;
  std::string ocsp;
  std::string client_ca;
  std::optional<ClientCertificate> client_certificate;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("cert", self.cert, required, at_least(1), "A PEM file: the certificate, then those that lead to its root.");
    field("key", self.key, required, "Its private key, PEM.");
    field("ocsp", self.ocsp, "A DER file with the OCSP response to staple.");
    field("client_ca", self.client_ca, "Instead of the listener's.");
    field("client_certificate", self.client_certificate, "Instead of the listener's.");
  }
  void check(data::Checker& checker) const;
};

struct ListenerTls {
  std::vector<Certificate> certificates;
  std::string client_ca;
  std::optional<ClientCertificate> client_certificate;
  TlsVersion min_version = TlsVersion::tls1_2;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("certificates", self.certificates, required, at_least(1),
          "Chosen by the name that a client asks for: exact, then wildcard, else the first. RSA and ECDSA may serve one name.");
    field("client_ca", self.client_ca, "A PEM file of authorities: clients show a certificate by one of them.");
    field("client_certificate", self.client_certificate, "required: no connection without one. optional: one that is shown must be good.");
    field("min_version", self.min_version, "The oldest TLS version.");
  }
  void check(data::Checker& checker) const;
};

enum class TlsUse : uint8_t { none, verified };
inline std::vector<data::Choice> choices_of(TlsUse) { return {{"true", TlsUse::verified}, {"false", TlsUse::none}, data::Choice("mesh")}; }

struct ServiceTls {
  TlsUse use = TlsUse::verified;
  std::string ca;
  std::string server_name;
  std::string cert;
  data::Secret key;
  bool verify = true;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("use", self.use, short_form, "`tls: true` is TLS with everything as below; `tls: false` is none.");
    field("ca", self.ca, "A PEM file of authorities to believe. Without it: the system's.");
    field("server_name", self.server_name, "The name asked for and checked, instead of the endpoint's host.");
    field("cert", self.cert, "A PEM file: our own certificate, for endpoints that ask for one.");
    field("key", self.key, "Its private key, PEM.");
    field("verify", self.verify, "false believes any certificate: whoever is on the way can read along.");
  }
  void check(data::Checker& checker) const;
};

}  // namespace portloom::config
