// testing/authority.cpp
//
// X.509 by hand: the few calls that `openssl req -x509` and `openssl ca` would make.
#include "testing/authority.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

namespace portloom::testing {
namespace {

template <class Write>
std::string pem_of(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  CHECK(write(bio) == 1);
  char* text = nullptr;
  long size = BIO_get_mem_data(bio, &text);
  std::string made(text, static_cast<size_t>(size));
  BIO_free(bio);
  return made;
}

void extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

io::CertificatePointer blank(const std::string& name, EVP_PKEY* key, long starts, long ends) {
  static long serial = 1000;
  io::CertificatePointer made(X509_new());
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), starts);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), ends);
  X509_set_pubkey(made.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()),
                             -1, -1, 0);
  return made;
}

}  // namespace

Authority::Authority(std::string name) : key_(EVP_EC_gen("P-256")), certificate_(blank(name, key_.get(), -86400, 864000)) {
  X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
  extend(certificate_.get(), certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  extend(certificate_.get(), certificate_.get(), NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
  extend(certificate_.get(), certificate_.get(), NID_subject_key_identifier, "hash");
  CHECK(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0);
  pem_ = pem_of([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

Pair Authority::issue(const Issue& issue) const {
  io::KeyPointer key(issue.kind == KeyKind::rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  io::CertificatePointer made = blank(issue.common_name, key.get(), issue.starts, issue.ends);
  X509_set_issuer_name(made.get(), X509_get_subject_name(certificate_.get()));
  std::string names;
  for (const std::string& name : issue.names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) extend(made.get(), certificate_.get(), NID_subject_alt_name, names);
  extend(made.get(), certificate_.get(), NID_basic_constraints, "CA:FALSE");
  CHECK(X509_sign(made.get(), key_.get(), EVP_sha256()) > 0);
  return {pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, made.get()); }),
          pem_of([&](BIO* bio) { return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr); })};
}

std::string Authority::staple(const std::string& certificate) const {
  Result<io::Certificate> about = io::parse_certificate(certificate);
  CHECK(about.has_value());
  OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), about->chain.front().get(), certificate_.get());
  ASN1_TIME* now = X509_gmtime_adj(nullptr, 0);
  ASN1_TIME* next = X509_gmtime_adj(nullptr, 86400);
  OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, now, next);
  CHECK(OCSP_basic_sign(basic, certificate_.get(), key_.get(), EVP_sha256(), nullptr, 0) == 1);
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  unsigned char* der = nullptr;
  int size = i2d_OCSP_RESPONSE(response, &der);
  std::string made(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  OCSP_RESPONSE_free(response);
  ASN1_TIME_free(now);
  ASN1_TIME_free(next);
  OCSP_CERTID_free(id);
  OCSP_BASICRESP_free(basic);
  return made;
}

std::shared_ptr<const io::Certificate> certificate_of(const Pair& pair) {
  Result<io::Certificate> parsed = io::parse_certificate(pair.certificate);
  CHECK(parsed.has_value());
  Result<io::KeyPointer> key = io::parse_key(pair.key);
  CHECK(key.has_value() && io::belongs_to(*parsed, **key));
  parsed->key = std::move(*key);
  return std::make_shared<const io::Certificate>(std::move(*parsed));
}

std::shared_ptr<const io::Authorities> authorities_of(const std::string& pem) {
  Result<std::shared_ptr<const io::Authorities>> parsed = io::parse_authorities(pem);
  CHECK(parsed.has_value());
  return *parsed;
}

std::shared_ptr<io::TlsServerMaterial> material_of(const std::vector<Pair>& pairs) {
  auto material = std::make_shared<io::TlsServerMaterial>();
  material->name = "edge";
  for (const Pair& pair : pairs) material->entries.push_back({certificate_of(pair), {}});
  return material;
}

std::shared_ptr<io::TlsServerContext> server_of(std::shared_ptr<io::TlsServerMaterial> material) {
  material->index();
  auto made = io::TlsServerContext::make(std::move(material), io::TicketKeys::make());
  CHECK(made.has_value());
  return *made;
}

std::shared_ptr<io::TlsClientContext> client_of(io::TlsClientMaterial material) {
  auto made = io::TlsClientContext::make(std::make_shared<const io::TlsClientMaterial>(std::move(material)));
  CHECK(made.has_value());
  return *made;
}

}  // namespace portloom::testing
