// io/certificates.cpp
//
// What OpenSSL's parsers say, turned into facts. Nothing here asks a terminal for a passphrase.
#include "io/certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include "base/text.h"

namespace portloom::io {
namespace {

using BioPointer = std::unique_ptr<BIO, Freed<BIO_free>>;

std::unexpected<Error> invalid(std::string detail) { return failure(Code::invalid, Side::gateway, std::move(detail)); }

BioPointer text_of(std::string_view pem) { return BioPointer(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

int no_passphrase(char*, int, int, void*) { return -1; }

std::string lower(std::string_view text) {
  std::string made(text);
  for (char& c : made) c = to_lower(c);
  return made;
}

WallTime time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  // 9999-12-31 (RFC 5280 §4.1.2.5: no end) does not fit into nanoseconds.
  return WallTime(std::chrono::seconds(std::clamp<int64_t>(::timegm(&parts), 0, 9'000'000'000)));
}

// A text of a certificate; empty when it holds what no name has (a NUL would hide what stands behind it).
std::string text_of(const ASN1_STRING* string) {
  std::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)), static_cast<size_t>(ASN1_STRING_length(string)));
  for (char c : text)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return {};
  return std::string(text);
}

std::string subject_of(X509& certificate) {
  BioPointer out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(&certificate), 0,
                     XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
  char* text = nullptr;
  long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

std::string common_name_of(X509& certificate) {
  X509_NAME* name = X509_get_subject_name(&certificate);
  int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  return text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
}

// Every certificate of a text, at most `count_max`.
Result<std::vector<CertificatePointer>> parse_all(std::string_view pem, size_t count_max) {
  if (pem.size() > pem_bytes_max) return invalid("it is larger than 4 MiB");
  ERR_clear_error();
  BioPointer bio = text_of(pem);
  std::vector<CertificatePointer> found;
  while (CertificatePointer next{PEM_read_bio_X509_AUX(bio.get(), nullptr, no_passphrase, nullptr)}) {
    if (found.size() == count_max) return invalid("it holds more than " + std::to_string(count_max) + " certificates");
    found.push_back(std::move(next));
  }
  unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!end) return invalid("certificate " + std::to_string(found.size() + 1) + " in it is broken");
  if (found.empty()) return invalid("there is no PEM certificate in it");
  return found;
}

}  // namespace

CertificateNames names_of(X509& certificate) {
  CertificateNames names;
  names.subject = subject_of(certificate);
  std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> san(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; san && i < sk_GENERAL_NAME_num(san.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(san.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_URI && name->type != GEN_EMAIL) continue;
    std::string text = text_of(name->d.ia5);
    if (text.empty()) continue;
    if (name->type == GEN_DNS) names.hosts.push_back(lower(text));
    if (name->type == GEN_URI) names.uris.push_back(std::move(text));
    if (name->type == GEN_EMAIL) names.emails.push_back(std::move(text));
  }
  return names;
}

WallTime end_of(X509& certificate) { return time_of(X509_get0_notAfter(&certificate)); }

std::string fingerprint_of(X509& certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  std::string text;
  if (X509_digest(&certificate, EVP_sha256(), digest.data(), &size) != 1) return text;
  for (unsigned int i = 0; i < size; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

Result<Certificate> parse_certificate(std::string_view pem) {
  Result<std::vector<CertificatePointer>> chain = parse_all(pem, chain_max);
  if (!chain) return std::unexpected(std::move(chain.error()));
  Certificate made;
  X509& own = *chain->front();
  made.hosts = names_of(own).hosts;
  if (X509_get_ext_by_NID(&own, NID_subject_alt_name, -1) < 0)
    if (std::string name = common_name_of(own); !name.empty()) made.hosts.push_back(lower(name));
  made.starts = time_of(X509_get0_notBefore(&own));
  made.ends = end_of(own);
  made.chain = std::move(*chain);
  return made;
}

Result<KeyPointer> parse_key(std::string_view pem) {
  if (pem.size() > pem_bytes_max) return invalid("it is larger than 4 MiB");
  ERR_clear_error();
  BioPointer bio = text_of(pem);
  KeyPointer key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  if (key) return key;
  if (pem.find("ENCRYPTED") != std::string_view::npos) return invalid("the key is under a passphrase");
  if (pem.find("PRIVATE KEY-----") == std::string_view::npos) return invalid("there is no PEM private key in it");
  return invalid("the private key in it is broken");
}

bool belongs_to(const Certificate& certificate, const EVP_PKEY& key) {
  bool same = X509_check_private_key(certificate.chain.front().get(), &key) == 1;
  ERR_clear_error();
  return same;
}

Result<void> check_ocsp(std::string_view der, const Certificate& certificate, WallTime now) {
  const auto* begin = reinterpret_cast<const unsigned char*>(der.data());
  std::unique_ptr<OCSP_RESPONSE, Freed<OCSP_RESPONSE_free>> response(d2i_OCSP_RESPONSE(nullptr, &begin, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!response) return invalid("it is not an OCSP response in DER");
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return invalid("the OCSP responder did not answer");
  std::unique_ptr<OCSP_BASICRESP, Freed<OCSP_BASICRESP_free>> basic(OCSP_response_get1_basic(response.get()));
  if (!basic) return invalid("the OCSP response is of an unknown kind");
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate.chain.front().get());
  for (int i = 0; i < OCSP_resp_count(basic.get()); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic.get(), i);
    ASN1_INTEGER* about = nullptr;
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &about, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single)));
    if (ASN1_INTEGER_cmp(about, serial) != 0) continue;
    ASN1_GENERALIZEDTIME* next = nullptr;
    if (OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next) == V_OCSP_CERTSTATUS_REVOKED)
      return invalid("it says that the certificate is revoked");
    if (next != nullptr && time_of(next) < now) return invalid("it has expired");
    return {};
  }
  return invalid("it is about another certificate");
}

Result<std::shared_ptr<const Authorities>> parse_authorities(std::string_view pem) {
  Result<std::vector<CertificatePointer>> found = parse_all(pem, 4096);
  if (!found) return std::unexpected(std::move(found.error()));
  auto made = std::make_shared<Authorities>();
  made->certificates = std::move(*found);
  made->store.reset(X509_STORE_new());
  std::string all;
  for (const CertificatePointer& certificate : made->certificates) {
    X509_STORE_add_cert(made->store.get(), certificate.get());  // a second copy of one is no error
    all += fingerprint_of(*certificate);
  }
  ERR_clear_error();
  std::array<unsigned char, 32> digest{};
  EVP_Digest(all.data(), all.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  made->digest.assign(reinterpret_cast<const char*>(digest.data()), digest.size());
  return made;
}

Result<std::shared_ptr<const Authorities>> system_authorities() {
  const char* named = std::getenv(X509_get_default_cert_file_env());
  std::vector<std::string> places = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
                                     X509_get_default_cert_file()};
  if (named != nullptr && *named != '\0') places = {named};
  for (const std::string& place : places) {
    std::ifstream file(place, std::ios::binary);
    if (!file) continue;
    std::string text((std::istreambuf_iterator<char>(file)), {});
    Result<std::shared_ptr<const Authorities>> parsed = parse_authorities(text);
    if (!parsed) parsed.error().detail = place + ": " + parsed.error().detail;
    return parsed;
  }
  return invalid("the system has no file of certificate authorities (the package ca-certificates has one)");
}

bool covers(std::string_view pattern, std::string_view host) {
  if (!pattern.starts_with("*.")) return pattern == host;
  size_t dot = host.find('.');
  return dot != 0 && dot != std::string_view::npos && host.substr(dot) == pattern.substr(1);  // one label, and not an empty one
}

}  // namespace portloom::io
