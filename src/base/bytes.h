// base/bytes.h
//
// Bytes: a counted, read-only slice of a block of memory. Copying one copies a pointer; slicing shares the block. The
// count is not atomic: a Bytes lives on the worker that made it. Bytes over a literal have no block and cost nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/pool.h"

namespace portloom {

class Bytes {
 public:
  Bytes() = default;
  Bytes(const Bytes& other) noexcept : block_(other.block_), data_(other.data_), size_(other.size_) {
    if (block_ != nullptr) ++block_->references;
  }
  Bytes(Bytes&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Bytes& operator=(Bytes other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Bytes() { release(); }

  // A copy of `text` in a block of its own.
  static Bytes copy(std::string_view text) {
    if (text.empty()) return {};
    Bytes bytes = uninitialized(text.size());
    std::memcpy(bytes.block_->memory(), text.data(), text.size());
    return bytes;
  }
  // Text that outlives everything: a literal.
  static Bytes literal(std::string_view text) {
    Bytes bytes;
    bytes.data_ = text.data();
    bytes.size_ = text.size();
    return bytes;
  }
  // `size` bytes to be filled through writable() before the Bytes is shared.
  static Bytes uninitialized(size_t size) {
    Bytes bytes;
    bytes.block_ = static_cast<Block*>(pool_allocate(sizeof(Block) + size));
    bytes.block_->references = 1;
    bytes.block_->capacity = static_cast<uint32_t>(size);
    bytes.data_ = bytes.block_->memory();
    bytes.size_ = size;
    return bytes;
  }

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {data_, size_}; }
  operator std::string_view() const { return view(); }  // NOLINT: Bytes are text wherever text is read

  // Only while nobody else holds the block.
  char* writable() {
    CHECK(block_ != nullptr && block_->references == 1);
    return block_->memory() + (data_ - block_->memory());
  }
  Bytes slice(size_t from, size_t count) const {
    CHECK(from <= size_ && count <= size_ - from);
    Bytes part(*this);
    part.data_ += from;
    part.size_ = count;
    return part;
  }
  void remove_prefix(size_t count) {
    CHECK(count <= size_);
    data_ += count;
    size_ -= count;
  }
  // Shortens to `size`; the block keeps its memory.
  void truncate(size_t size) {
    CHECK(size <= size_);
    size_ = size;
  }
  // Memory that this slice keeps alive: what a memory bound counts.
  size_t held() const { return block_ == nullptr ? 0 : block_->capacity; }

 private:
  struct Block {
    uint32_t references;
    uint32_t capacity;
    char* memory() { return reinterpret_cast<char*>(this + 1); }
  };
  void release() {
    if (block_ != nullptr && --block_->references == 0) pool_release(block_, sizeof(Block) + block_->capacity);
  }
  Block* block_ = nullptr;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace portloom
