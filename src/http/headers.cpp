// http/headers.cpp
//
// Known names are found by a perfect hash over length, three characters; its multiplier is searched for
// when this file is compiled. The block is copied and compacted when it is full: removed lines cost nothing until then.
#include "http/headers.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/pool.h"
#include "base/text.h"

namespace portloom::http {

namespace {

constexpr std::string_view canonical[] = {
    "",
#define NAME(id, text) text,
#include "http/names.def"
#undef NAME
};
constexpr size_t slots = 512;
constexpr size_t longest = 30;

constexpr uint32_t key_of(const char* name, size_t size) {
  auto lower = [&](size_t at) { return static_cast<uint32_t>(static_cast<uint8_t>(name[at]) | 0x20); };
  return static_cast<uint32_t>(size) | lower(0) << 8 | lower(size * 3 / 4) << 16 | lower(size - 1) << 24;
}
constexpr size_t slot_of(uint32_t key, uint32_t multiplier) { return (key * multiplier) >> 23; }

struct Table {
  uint32_t multiplier = 0;
  std::array<uint8_t, slots> ids{};
};
constexpr Table table = [] {
  uint32_t multiplier = 0x9e3779b1;
  for (int attempt = 0; attempt < 1000; ++attempt, multiplier += 0x61c88646) {
    Table built{multiplier, {}};
    bool clash = false;
    for (size_t i = 1; i < name_count && !clash; ++i) {
      uint8_t& id = built.ids[slot_of(key_of(canonical[i].data(), canonical[i].size()), multiplier)];
      clash = id != 0;
      id = static_cast<uint8_t>(i);
    }
    if (!clash) return built;
  }
  return Table{};
}();
static_assert(table.multiplier != 0, "no perfect hash was found");
static_assert([] {
  for (std::string_view name : canonical)
    if (name.size() > longest) return false;
  return true;
}());

template <class Word>
bool same_word(const char* a, const char* b) {
  constexpr Word bit5 = static_cast<Word>(0x2020202020202020);
  Word left;
  Word right;
  std::memcpy(&left, a, sizeof left);
  std::memcpy(&right, b, sizeof right);
  return (left | bit5) == (right | bit5);
}
// Token characters that differ only in bit 5 differ only in case, but for "^~", "_" and DEL, "`@", which no known name has.
// The last word overlaps the one before it.
bool same_token(const char* a, const char* b, size_t size) {
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8)
      if (!same_word<uint64_t>(a + i, b + i)) return false;
    return same_word<uint64_t>(a + size - 8, b + size - 8);
  }
  if (size >= 4) return same_word<uint32_t>(a, b) && same_word<uint32_t>(a + size - 4, b + size - 4);
  for (size_t i = 0; i < size; ++i)
    if (to_lower(a[i]) != to_lower(b[i])) return false;
  return true;
}

constexpr size_t first_block = 1024;

}  // namespace

Name name_of_field(std::string_view name) {
  if (name.empty() || name.size() > longest) return Name::other;
  uint8_t id = table.ids[slot_of(key_of(name.data(), name.size()), table.multiplier)];
  std::string_view candidate = canonical[id];
  if (candidate.size() != name.size() || !same_token(candidate.data(), name.data(), name.size())) return Name::other;
  return static_cast<Name>(id);
}

std::string_view text_of(Name name) { return canonical[static_cast<size_t>(name)]; }

Headers::Headers(const Headers& other) : live_(other.live_), count_(other.count_), present_(other.present_) {
  if (count_ == 0) return;
  size_t size = (other.live_ + other.count_ * sizeof(Entry) + 63) / 64 * 64;
  block_ = static_cast<char*>(pool_allocate(size));
  capacity_ = used_ = 0;
  other.copy_into(block_, static_cast<uint32_t>(size));
  capacity_ = static_cast<uint32_t>(size);
  used_ = live_;
}

void Headers::swap(Headers& other) noexcept {
  std::swap(block_, other.block_);
  std::swap(capacity_, other.capacity_);
  std::swap(used_, other.used_);
  std::swap(live_, other.live_);
  std::swap(count_, other.count_);
  std::swap(present_, other.present_);
}

void Headers::release() {
  if (block_ != nullptr) pool_release(block_, capacity_);
}

// Lines and index, without the gaps, into another block.
void Headers::copy_into(char* block, uint32_t capacity) const {
  uint32_t at = 0;
  auto* index = reinterpret_cast<Entry*>(block + capacity);
  for (size_t i = 0; i < count_; ++i) {
    Entry moved = entry(i);
    std::memcpy(block + at, block_ + moved.offset, moved.line_length());
    moved.offset = at;
    at += moved.line_length();
    index[-1 - static_cast<ptrdiff_t>(i)] = moved;
  }
}

// Room for `more` bytes of lines and index together; returns the old block for the caller to release, since what is being
// added may point into it.
Headers::Old Headers::grow(size_t more) {
  size_t needed = live_ + count_ * sizeof(Entry) + more;
  size_t size = std::max({first_block, size_t{capacity_} * 2, (needed + 63) / 64 * 64});
  if (needed * 2 < capacity_) size = capacity_;  // mostly gaps
  CHECK(size < (size_t{1} << 31));
  Old old{block_, capacity_};
  auto* block = static_cast<char*>(pool_allocate(size));
  if (block_ != nullptr) copy_into(block, static_cast<uint32_t>(size));
  block_ = block;
  capacity_ = static_cast<uint32_t>(size);
  used_ = live_;
  return old;
}

char* Headers::append(Name id, std::string_view name, std::string_view value) {
  CHECK(name.size() < (size_t{1} << 24) && value.size() < (size_t{1} << 30));
  size_t line = name.size() + value.size() + 4;
  Old old;
  if (used_ + line + (count_ + size_t{1}) * sizeof(Entry) > capacity_) old = grow(line + sizeof(Entry));
  char* at = block_ + used_;
  std::memcpy(at, name.data(), name.size());
  at += name.size();
  *at++ = ':';
  *at++ = ' ';
  char* placed = at;
  if (!value.empty()) std::memcpy(at, value.data(), value.size());
  at += value.size();
  *at++ = '\r';
  *at++ = '\n';
  entry(count_) =
      Entry{used_, static_cast<uint32_t>(value.size()), static_cast<uint32_t>(name.size()) & 0xffffff, static_cast<uint32_t>(id)};
  ++count_;
  used_ += static_cast<uint32_t>(line);
  live_ += static_cast<uint32_t>(line);
  present_.insert(id);
  if (old.block != nullptr) pool_release(old.block, old.capacity);
  return placed;
}

void Headers::add_validated(Name id, std::string_view name, std::string_view value) { append(id, name, value); }

void Headers::add(std::string_view name, std::string_view value) {
  std::string_view trimmed = trim(value);
  char* placed = append(name_of_field(name), name, trimmed);
  for (size_t i = 0; i < trimmed.size(); ++i)  // RFC 9110 §5.5: replaced by SP rather than passed on
    if (placed[i] == '\r' || placed[i] == '\n' || placed[i] == '\0') placed[i] = ' ';
}
void Headers::add(Name name, std::string_view value) { add(text_of(name), value); }

void Headers::set(std::string_view name, std::string_view value) {
  add(name, value);
  Field last = at(count_ - size_t{1});
  size_t index = 0;
  size_t newest = count_ - size_t{1};
  remove_if([&](const Field& field) {
    return index++ != newest && field.id == last.id && (field.id != Name::other || equals_ignoring_case(field.name, last.name));
  });
}
void Headers::set(Name name, std::string_view value) { set(text_of(name), value); }

size_t Headers::remove(Name name) {
  if (!present_.contains(name)) return 0;
  return remove_if([name](const Field& field) { return field.id == name; });
}
size_t Headers::remove(std::string_view name) {
  if (Name id = name_of_field(name); id != Name::other) return remove(id);
  return remove_if([name](const Field& field) { return field.id == Name::other && equals_ignoring_case(field.name, name); });
}
size_t Headers::remove_all(NameSet names) {
  if (!present_.meets(names)) return 0;
  return remove_if([names](const Field& field) { return names.contains(field.id); });
}

std::optional<std::string_view> Headers::find(Name name) const {
  if (!present_.contains(name)) return std::nullopt;
  for (size_t i = 0; i < count_; ++i)
    if (entry(i).id == static_cast<uint8_t>(name)) return at(i).value;
  return std::nullopt;
}
std::optional<std::string_view> Headers::find(std::string_view name) const {
  if (Name id = name_of_field(name); id != Name::other) return find(id);
  for (size_t i = 0; i < count_; ++i)
    if (entry(i).name_length == name.size() && equals_ignoring_case(at(i).name, name)) return at(i).value;
  return std::nullopt;
}

size_t Headers::count(Name name) const {
  size_t found = 0;
  for_each(name, [&](std::string_view) { ++found; });
  return found;
}

void Headers::clear() {
  used_ = live_ = count_ = 0;
  present_ = {};
}

void Headers::reserve(size_t bytes, size_t fields) {
  size_t more = bytes + fields * sizeof(Entry);
  if (used_ + count_ * sizeof(Entry) + more <= capacity_) return;
  Old old = grow(more);
  if (old.block != nullptr) pool_release(old.block, old.capacity);
}

void Headers::rebuild_present() {
  present_ = {};
  for (size_t i = 0; i < count_; ++i) present_.insert(static_cast<Name>(entry(i).id));
}

}  // namespace portloom::http
