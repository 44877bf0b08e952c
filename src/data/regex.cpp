// data/regex.cpp
//
// Regex by RE2. Texts are bytes: what is matched here is ASCII, or escaped.
#include "data/regex.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

namespace portloom::data {

Regex::Regex(std::unique_ptr<re2::RE2> compiled) : compiled_(std::move(compiled)) {
  for (const auto& [number, name] : compiled_->CapturingGroupNames()) groups_.push_back({number, name});
}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view text) {
  auto refuse = [](std::string why) { return failure(Code::invalid, Side::gateway, std::move(why)); };
  if (text.size() > text_bytes_max) return refuse("it is longer than " + std::to_string(text_bytes_max) + " characters");
  re2::RE2::Options options(re2::RE2::Latin1);
  options.set_log_errors(false);
  options.set_max_mem(memory_max);
  options.set_dot_nl(true);
  auto compiled = std::make_unique<re2::RE2>(re2::StringPiece(text.data(), text.size()), options);
  if (!compiled->ok()) return refuse(compiled->error());
  if (compiled->NumberOfCapturingGroups() > static_cast<int>(groups_max))
    return refuse("it has more than " + std::to_string(groups_max) + " groups; (?:...) is a group that is not counted");
  Regex regex(std::move(compiled));
  return regex;
}

bool Regex::matches(std::string_view text) const {
  re2::StringPiece piece(text.data(), text.size());
  return compiled_->Match(piece, 0, text.size(), re2::RE2::ANCHOR_BOTH, nullptr, 0);
}

void Regex::capture(std::string_view text, std::string_view (&values)[groups_max]) const {
  std::array<re2::StringPiece, 1 + groups_max> found;
  int last = groups_.empty() ? 0 : groups_.back().number;
  for (std::string_view& value : values) value = {};
  if (last == 0) return;
  re2::StringPiece piece(text.data(), text.size());
  if (!compiled_->Match(piece, 0, text.size(), re2::RE2::ANCHOR_BOTH, found.data(), last + 1)) return;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const re2::StringPiece& part = found[static_cast<size_t>(groups_[i].number)];
    values[i] = {part.data(), part.size()};
  }
}

std::string Regex::literal_prefix() const {
  // Asked of the anchored form: RE2 gives no range for one that may begin anywhere.
  re2::RE2 anchored("^(?:" + compiled_->pattern() + ")", compiled_->options());
  std::string least, most;
  if (!anchored.ok() || !anchored.PossibleMatchRange(&least, &most, 256)) return {};
  size_t length = std::min(least.size(), most.size());
  size_t same = 0;
  while (same < length && least[same] == most[same]) ++same;
  return least.substr(0, same);
}

}  // namespace portloom::data
