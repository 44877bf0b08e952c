// app/materials.cpp
//
// One listener after the other, then the services; each file is read once per use, errors are collected.
#include "app/materials.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace portloom::app {
namespace {

constexpr Duration expiry_warning = 24h * 14;
constexpr size_t registry_token_min = 16;
constexpr size_t sticky_key_min = 32;

class MaterialLoader {
 public:
  MaterialLoader(const config::Loaded& loaded, const Materials* in_force, Materials& into)
      : loaded_(loaded), document_(*loaded.document), in_force_(in_force), into_(into), problems_(*loaded.sources) {}

  data::Problems& run() {
    for (const auto& [name, listener] : document_.listeners)
      into_.listeners.push_back(listener.tls ? listener_material(name, listener, "listeners." + name + ".tls") : nullptr);
    for (const auto& [name, service] : document_.services) {
      digest_ = digest_begin;
      if (service.tls && service.tls->use != config::TlsUse::none)
        into_.services[name] = service_material(*service.tls, service.protocol, "services." + name + ".tls");
      if (service.sticky) sticky(name, service.sticky->key, "services." + name + ".sticky.key");
      if (digest_ != digest_begin) into_.digests[name] = digest_;
    }
    if (document_.discovery.registry) registry(*document_.discovery.registry, "discovery.registry");
    if (document_.discovery.etcd) etcd(*document_.discovery.etcd, "discovery.etcd");
    return problems_;
  }

 private:
  void error(const std::string& path, std::string message, std::string hint = {}) {
    problems_.error(loaded_.origins->nearest(path), path, std::move(message), std::move(hint));
  }
  void warning(const std::string& path, std::string message) {
    problems_.warning(loaded_.origins->nearest(path), path, std::move(message));
  }

  // A path is relative to the file that it is written in.
  std::string resolved(const std::string& written, const std::string& path) const {
    std::filesystem::path file(written);
    data::Position at = loaded_.origins->nearest(path);
    if (file.is_absolute() || !at.known() || at.file >= loaded_.sources->size()) return written;
    return (std::filesystem::path(loaded_.sources->name(at.file)).parent_path() / file).string();
  }

  std::optional<std::string> read(const std::string& written, const std::string& path) {
    std::string name = resolved(written, path);
    into_.files.push_back(name);
    std::error_code ignored;
    if (std::filesystem::is_directory(name, ignored)) {
      error(path, name + " is a folder");
      return std::nullopt;
    }
    errno = 0;
    std::ifstream file(name, std::ios::binary);
    if (!file) {
      error(path, "cannot read " + name + ": " + std::strerror(errno));
      return std::nullopt;
    }
    std::string text(io::pem_bytes_max + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(file.gcount()));
    for (char c : text) digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;  // FNV-1a: it tells apart, no more
    return text;
  }

  std::optional<std::string> read_secret(const data::Secret& secret, const std::string& path) {
    if (secret.source == data::Secret::Source::file) return read(secret.name, path);
    const char* value = std::getenv(secret.name.c_str());
    if (value == nullptr) {
      error(path, "the environment has no variable " + secret.name);
      return std::nullopt;
    }
    return std::string(value);
  }

  static void end_without_line_break(std::string& secret) {
    while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  }

  static std::string named(const data::Secret& secret) {
    return secret.source == data::Secret::Source::file ? secret.name : "the variable " + secret.name;
  }

  // Null after an error.
  std::shared_ptr<const io::Certificate> certificate(const std::string& cert, const data::Secret& secret, const std::string& ocsp,
                                                     const std::string& path) {
    std::optional<std::string> chain_pem = read(cert, path + ".cert");
    std::optional<std::string> key_pem = read_secret(secret, path + ".key");
    if (!chain_pem || !key_pem) return nullptr;
    Result<io::Certificate> parsed = io::parse_certificate(*chain_pem);
    if (!parsed) error(path + ".cert", cert + ": " + parsed.error().detail);
    Result<io::KeyPointer> key = io::parse_key(*key_pem);
    if (!key) error(path + ".key", named(secret) + ": " + key.error().detail);
    OPENSSL_cleanse(key_pem->data(), key_pem->size());
    if (!parsed || !key) return nullptr;
    if (!io::belongs_to(*parsed, **key)) {
      error(path + ".key", "the key in " + named(secret) + " does not belong to the certificate in " + cert);
      return nullptr;
    }
    parsed->key = std::move(*key);
    WallTime now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    std::string fingerprint = io::fingerprint_of(*parsed->chain.front());
    if (parsed->ends < now && in_force_ != nullptr && !in_force_->certificates.contains(fingerprint))
      error(path + ".cert", "the certificate in " + cert + " has expired", "the one in force stays until there is a valid one");
    else if (parsed->ends < now)
      warning(path + ".cert", "the certificate in " + cert + " has expired");
    else if (parsed->ends < now + expiry_warning)
      warning(path + ".cert", "the certificate in " + cert + " expires within 14 days");
    if (parsed->starts > now) warning(path + ".cert", "the certificate in " + cert + " is not valid yet");
    if (!ocsp.empty()) {
      std::optional<std::string> der = read(ocsp, path + ".ocsp");
      Result<void> good = der ? io::check_ocsp(*der, *parsed, now) : Result<void>{};
      if (!good)  // a client would refuse the staple: none is better
        warning(path + ".ocsp", ocsp + " is not used: " + good.error().detail);
      else if (der)
        parsed->ocsp = std::move(*der);
    }
    into_.certificates.insert(std::move(fingerprint));
    return std::make_shared<const io::Certificate>(std::move(*parsed));
  }

  std::shared_ptr<const io::Authorities> authorities(const std::string& file, const std::string& path) {
    std::optional<std::string> pem = read(file, path);
    if (!pem) return nullptr;
    Result<std::shared_ptr<const io::Authorities>> parsed = io::parse_authorities(*pem);
    if (parsed) return std::move(*parsed);
    error(path, file + ": " + parsed.error().detail);
    return nullptr;
  }

  io::TlsServerMaterial::Check check_of(const config::ListenerTls& tls, const config::Certificate& certificate, const std::string& path,
                                        const std::string& own_path) {
    bool own = !certificate.client_ca.empty();
    const std::string& ca = own ? certificate.client_ca : tls.client_ca;
    if (ca.empty()) return {};
    std::optional<config::ClientCertificate> demand = own ? certificate.client_certificate : tls.client_certificate;
    bool optional = demand && *demand == config::ClientCertificate::optional;
    return {optional ? io::ClientCertificate::optional : io::ClientCertificate::required,
            authorities(ca, (own ? own_path : path) + ".client_ca")};
  }

  std::shared_ptr<const io::TlsServerMaterial> listener_material(const std::string& name, const config::Listener& listener,
                                                                 const std::string& path) {
    const config::ListenerTls& tls = *listener.tls;
    auto made = std::make_shared<io::TlsServerMaterial>();
    made->protocols.clear();
    if (listener.speaks(config::Version::http2)) made->protocols.emplace_back("h2");
    if (listener.speaks(config::Version::http1)) made->protocols.emplace_back("http/1.1");
    made->name = name;
    made->version_min = tls.min_version == config::TlsVersion::tls1_3 ? io::TlsVersion::tls1_3 : io::TlsVersion::tls1_2;
    size_t errors = problems_.errors();
    for (size_t i = 0; i < tls.certificates.size(); ++i) {
      const config::Certificate& written = tls.certificates[i];
      std::string own_path = path + ".certificates[" + std::to_string(i) + "]";
      made->entries.push_back({certificate(written.cert, written.key, written.ocsp, own_path), check_of(tls, written, path, own_path)});
    }
    if (problems_.errors() > errors) return nullptr;
    made->index();
    // What OpenSSL refuses (a key that is too short, a digest that is too weak) is found now and not on the workers.
    if (auto tried = io::TlsServerContext::make(made, nullptr); !tried) {
      error(path, tried.error().detail);
      return nullptr;
    }
    return made;
  }

  std::shared_ptr<const io::TlsClientMaterial> service_material(const config::ServiceTls& tls, config::Protocol protocol,
                                                                const std::string& path) {
    auto made = std::make_shared<io::TlsClientMaterial>();
    made->server_name = tls.server_name;
    if (protocol != config::Protocol::http1) made->protocols = {"h2"};
    size_t errors = problems_.errors();
    if (!tls.ca.empty()) {
      made->authorities = authorities(tls.ca, path + ".ca");
    } else if (tls.verify) {
      if (!system_) system_ = io::system_authorities();
      if (*system_)
        made->authorities = **system_;
      else
        error(path, (*system_).error().detail, "write ca");
    }
    if (!tls.cert.empty()) made->certificate = certificate(tls.cert, tls.key, {}, path);
    if (problems_.errors() > errors) return nullptr;
    if (auto tried = io::TlsClientContext::make(made); !tried) {
      error(path, tried.error().detail);
      return nullptr;
    }
    return made;
  }

  void sticky(const std::string& name, const data::Secret& secret, const std::string& path) {
    std::optional<std::string> key = read_secret(secret, path);
    if (!key) return;
    while (!key->empty() && (key->back() == '\n' || key->back() == '\r')) key->pop_back();
    if (key->size() < sticky_key_min)
      error(path, named(secret) + " holds no key", "at least " + std::to_string(sticky_key_min) + " characters: openssl rand -hex 32");
    into_.sticky[name] = std::move(*key);
  }

  void registry(const config::RegistryPlace& place, const std::string& path) {
    if (place.token.source != data::Secret::Source::none) {
      std::optional<std::string> token = read_secret(place.token, path + ".token");
      if (!token) return;
      end_without_line_break(*token);
      bool plain = token->find_first_of(" \t\r\n") == std::string::npos;
      if (token->size() < registry_token_min || !plain)
        error(path + ".token", named(place.token) + " holds no token",
              "at least " + std::to_string(registry_token_min) + " characters without spaces: openssl rand -hex 16");
      into_.registry_token = std::move(*token);
    }
    if (!place.url.starts_with("https://")) return;
    config::ServiceTls tls;
    tls.ca = place.ca;
    digest_ = digest_begin;
    into_.registry_tls = service_material(tls, config::Protocol::http1, path);
    into_.registry_digest = digest_;
  }

  void etcd(const config::EtcdPlace& place, const std::string& path) {
    if (place.password.source != data::Secret::Source::none) {
      std::optional<std::string> password = read_secret(place.password, path + ".password");
      if (!password) return;
      end_without_line_break(*password);
      if (password->empty()) error(path + ".password", named(place.password) + " holds no password");
      into_.etcd_password = std::move(*password);
    }
    if (std::ranges::none_of(place.endpoints, [](const std::string& one) { return one.starts_with("https://"); })) return;
    config::ServiceTls tls;
    tls.ca = place.ca;
    tls.cert = place.cert;
    tls.key = place.key;
    digest_ = digest_begin;
    into_.etcd_tls = service_material(tls, config::Protocol::http1, path);
    into_.etcd_digest = digest_;
  }

  const config::Loaded& loaded_;
  const config::Document& document_;
  const Materials* in_force_;  // null: at start
  Materials& into_;
  data::Problems problems_;
  static constexpr uint64_t digest_begin = 0xcbf29ce484222325;
  uint64_t digest_ = digest_begin;  // of the files read since
  std::optional<Result<std::shared_ptr<const io::Authorities>>> system_;
};

}  // namespace

Materials load_materials(config::Loaded& loaded, const Materials* in_force) {
  Materials materials;
  if (!loaded) return materials;
  MaterialLoader loader(loaded, in_force, materials);
  data::Problems& problems = loader.run();
  bool failed = problems.failed();
  for (data::ConfigProblem& problem : problems.take()) loaded.problems.push_back(std::move(problem));
  if (failed) loaded.document = nullptr;
  return materials;
}

}  // namespace portloom::app
