// http/headers.h
//
// Headers: the fields of one head or one trailer section, in the order they came. All bytes live in one pool block: the
// lines as they go out ("Name: value\r\n") from the front, a small index from the back; so writing a head is a copy of
// runs, and a move is four words. Names keep their case; common ones are compared by id. One worker owns a Headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

namespace portloom::http {

enum class Name : uint8_t {
  other,
#define NAME(id, text) id,
#include "http/names.def"
#undef NAME
  end_
};
inline constexpr size_t name_count = static_cast<size_t>(Name::end_);
static_assert(name_count <= 63, "a set of names is one 64-bit word");

// `name` must be a token; `other` when it is not in names.def.
Name name_of_field(std::string_view name);
// "Content-Length"; empty for `other`.
std::string_view text_of(Name name);

// A set of known names, one bit each.
class NameSet {
 public:
  constexpr NameSet() = default;
  constexpr NameSet(std::initializer_list<Name> names) {
    for (Name name : names) bits_ |= bit(name);
  }
  constexpr bool contains(Name name) const { return (bits_ & bit(name)) != 0; }
  constexpr bool meets(NameSet other) const { return (bits_ & other.bits_) != 0; }
  constexpr void insert(Name name) { bits_ |= bit(name); }
  constexpr void erase(Name name) { bits_ &= ~bit(name); }

 private:
  static constexpr uint64_t bit(Name name) { return uint64_t{1} << static_cast<unsigned>(name); }
  uint64_t bits_ = 0;
};

class Headers {
 public:
  struct Field {
    Name id;
    std::string_view name;
    std::string_view value;
  };
  class Iterator;

  Headers() = default;
  Headers(const Headers& other);
  Headers(Headers&& other) noexcept { swap(other); }
  Headers& operator=(Headers other) noexcept {
    swap(other);
    return *this;
  }
  ~Headers() { release(); }
  void swap(Headers& other) noexcept;

  // Appends. `name` is a token (whoever reads names from outside checks them: grammar.h). CR, LF and NUL in `value`
  // become spaces (RFC 9110 §5.5), so that no caller can split a head; surrounding whitespace is cut off.
  void add(std::string_view name, std::string_view value);
  void add(Name name, std::string_view value);
  // For parsers: `id` belongs to `name`, and both texts have been validated and trimmed.
  void add_validated(Name id, std::string_view name, std::string_view value);

  // Replaces all fields of that name by one, at the end. `value` may point into this object.
  void set(std::string_view name, std::string_view value);
  void set(Name name, std::string_view value);

  // How many were removed.
  size_t remove(Name name);
  size_t remove(std::string_view name);
  size_t remove_all(NameSet names);
  // Removes the fields for which `wanted(const Field&)` is true.
  template <class Predicate>
  size_t remove_if(Predicate wanted);

  // The first value. Views are good until the next change of this object; a move keeps them.
  std::optional<std::string_view> find(Name name) const;
  std::optional<std::string_view> find(std::string_view name) const;
  // Calls f(value) for each, in order.
  template <class F>
  void for_each(Name name, F f) const;
  size_t count(Name name) const;
  bool contains(Name name) const { return present_.contains(name); }
  // Which known names are there.
  NameSet present() const { return present_; }

  Iterator begin() const;
  Iterator end() const;
  size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Bytes on the wire in HTTP/1: name, ": ", value, CRLF of every field.
  size_t byte_size() const { return live_; }
  size_t capacity() const { return capacity_; }  // bytes of the block: what a memory bound counts
  void clear();                                  // keeps the block
  // Room for `bytes` more bytes of lines and `fields` more fields.
  void reserve(size_t bytes, size_t fields);

  Field at(size_t index) const;
  // The bytes of field `index` as they stand on the wire, with CRLF.
  std::string_view line(size_t index) const;

 private:
  struct Entry {
    uint32_t offset;
    uint32_t value_length;
    uint32_t name_length : 24;
    uint32_t id : 8;
    uint32_t line_length() const { return name_length + value_length + 4; }  // ": " and CRLF
  };
  Entry& entry(size_t index) const { return reinterpret_cast<Entry*>(block_ + capacity_)[-1 - static_cast<ptrdiff_t>(index)]; }
  struct Old {
    char* block = nullptr;
    uint32_t capacity = 0;
  };
  char* append(Name id, std::string_view name, std::string_view value);
  Old grow(size_t more);
  void copy_into(char* block, uint32_t capacity) const;
  void rebuild_present();
  void release();

  char* block_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t used_ = 0;  // bytes of lines, removed ones included
  uint32_t live_ = 0;  // bytes of lines that count
  uint32_t count_ = 0;
  NameSet present_;
};

class Headers::Iterator {
 public:
  Iterator(const Headers* headers, size_t index) : headers_(headers), index_(index) {}
  Field operator*() const { return headers_->at(index_); }
  Iterator& operator++() {
    ++index_;
    return *this;
  }
  bool operator==(const Iterator&) const = default;

 private:
  const Headers* headers_;
  size_t index_;
};

inline Headers::Iterator Headers::begin() const { return {this, 0}; }
inline Headers::Iterator Headers::end() const { return {this, count_}; }

inline Headers::Field Headers::at(size_t index) const {
  const Entry& e = entry(index);
  const char* start = block_ + e.offset;
  return {static_cast<Name>(e.id), {start, e.name_length}, {start + e.name_length + 2, e.value_length}};
}
inline std::string_view Headers::line(size_t index) const {
  const Entry& e = entry(index);
  return {block_ + e.offset, e.line_length()};
}

template <class F>
void Headers::for_each(Name name, F f) const {
  if (!present_.contains(name)) return;
  for (size_t i = 0; i < count_; ++i)
    if (entry(i).id == static_cast<uint8_t>(name)) f(at(i).value);
}

template <class Predicate>
size_t Headers::remove_if(Predicate wanted) {
  size_t kept = 0;
  for (size_t i = 0; i < count_; ++i) {
    if (wanted(at(i))) {
      live_ -= entry(i).line_length();
      continue;
    }
    if (kept != i) entry(kept) = entry(i);
    ++kept;
  }
  size_t removed = count_ - kept;
  count_ = static_cast<uint32_t>(kept);
  if (removed != 0) rebuild_present();
  return removed;
}

}  // namespace portloom::http
