// upstream/affinity.cpp
//
// A value is hashed as it came, with its escapes: whoever may choose a value may choose any. An instance's name is a message authentication
// code of it (HMAC, RFC 2104): a client can show one that it was given and no other, so looking for it among those that exist is all there
// is to check, and a request costs no cryptography.
#include "upstream/affinity.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "pipeline/exchange.h"
#include "pipeline/inputs.h"

namespace portloom::upstream {

namespace {
constexpr size_t token_bytes = 16;
constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
}  // namespace

Affinity::Affinity(const config::Balancing& written) {
  if (!config::hashes(written.algorithm)) return;
  std::vector<std::string> texts = written.by;
  if (texts.empty()) texts.emplace_back("client.address");
  for (const std::string& text : texts) {
    std::expected<data::Expression, data::TextFault> made = data::Expression::parse(text);
    CHECK(made.has_value());
    by_.push_back(std::move(*made));
  }
}

std::optional<uint64_t> Affinity::hash(const pipeline::Request& request) const {
  for (const data::Expression& expression : by_) {
    std::optional<pipeline::Input> input = pipeline::find_input(expression, request);
    if (input && !input->text.empty()) return XXH3_64bits(input->text.data(), input->text.size());
  }
  return std::nullopt;
}

void Affinity::stick(const config::Sticky& written, std::string_view service, std::string_view key) {
  cookie_ = !written.cookie.empty();
  name_ = cookie_ ? written.cookie : written.header;
  operand_.root = cookie_ ? data::Operand::Root::cookie : data::Operand::Root::header;
  operand_.name = name_;
  service_ = service;
  key_ = key;
  attributes_ = "; Path=" + written.path;
  if (written.max_age) attributes_ += "; Max-Age=" + std::to_string(*written.max_age / 1s);
  attributes_ += "; HttpOnly";
  if (written.secure) attributes_ += "; Secure";
  attributes_ += written.same_site == config::SameSite::lax      ? "; SameSite=Lax"
                 : written.same_site == config::SameSite::strict ? "; SameSite=Strict"
                                                                 : "; SameSite=None";
}

std::string Affinity::token(std::string_view instance) const {
  std::string message = service_ + '\n' + std::string(instance);
  unsigned char code[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  CHECK(HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), reinterpret_cast<const unsigned char*>(message.data()),
             message.size(), code, &length) != nullptr);
  std::string text;
  for (size_t bit = 0; bit < token_bytes * 8; bit += 6) {
    unsigned two = static_cast<unsigned>(code[bit / 8]) << 8;
    if (bit / 8 + 1 < token_bytes) two |= code[bit / 8 + 1];
    text += letters[two >> (10 - bit % 8) & 63];
  }
  return text;
}

std::optional<std::string_view> Affinity::shown(const pipeline::Request& request) const {
  std::optional<pipeline::Input> input = pipeline::find_input(operand_, request);
  if (!input) return std::nullopt;
  return input->text;
}

void Affinity::tell(http::Headers& answer, std::string_view token) const {
  if (!cookie_) return answer.set(name_, token);
  std::string cookie = name_;
  cookie.append("=").append(token).append(attributes_);
  answer.add("set-cookie", cookie);
}

}  // namespace portloom::upstream
