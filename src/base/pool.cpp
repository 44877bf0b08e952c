// base/pool.cpp
//
// Size classes: every 16 bytes up to 4 KiB, 8 past a multiple so that glibc's own 8 bytes make a whole one; then powers of two
// up to 128 KiB; larger goes to malloc. A class keeps at most `kept_bytes` of free memory, so that a burst of large buffers is given back.
#include "base/pool.h"

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "base/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PORTLOOM_PLAIN_MALLOC 1
#endif
#endif

namespace portloom {

#ifdef PORTLOOM_PLAIN_MALLOC

void* pool_allocate(size_t bytes) {
  void* memory = std::malloc(bytes);
  CHECK(memory != nullptr);
  return memory;
}
void pool_release(void* memory, size_t) noexcept { std::free(memory); }
void pool_trim() noexcept {}

#else

namespace {

constexpr size_t step = 16;
constexpr size_t header = 8;  // of glibc's malloc
constexpr size_t fine_max = 4096;
constexpr size_t coarse_max = 128 * 1024;
constexpr size_t fine_classes = fine_max / step + 1;
constexpr size_t classes = fine_classes + 5;  // 8, 16, 32, 64, 128 KiB
constexpr size_t kept_bytes = 4 * 1024 * 1024;

struct FreeNode {
  FreeNode* next;
};
struct FreeList {
  FreeNode* head = nullptr;
  uint32_t count = 0;
};

struct FreeLists {
  FreeList lists[classes];
  ~FreeLists() { clear(); }
  void clear() {
    for (FreeList& list : lists) {
      while (list.head != nullptr) std::free(std::exchange(list.head, list.head->next));
      list.count = 0;
    }
  }
};

size_t class_of(size_t bytes) {
  if (bytes <= fine_max) return (bytes + header - 1) / step;
  return fine_classes + static_cast<size_t>(std::bit_width(bytes - 1)) - 13;
}
size_t size_of(size_t index) { return index < fine_classes ? index * step + header : size_t{8192} << (index - fine_classes); }

constinit thread_local FreeLists* pool = nullptr;

FreeLists& this_thread() {
  if (pool == nullptr) [[unlikely]] {
    static thread_local FreeLists lists;
    pool = &lists;
  }
  return *pool;
}

}  // namespace

void* pool_allocate(size_t bytes) {
  if (bytes <= coarse_max) [[likely]] {
    size_t index = class_of(bytes);
    FreeList& list = this_thread().lists[index];
    if (list.head != nullptr) [[likely]] {
      FreeNode* node = list.head;
      list.head = node->next;
      --list.count;
      return node;
    }
    bytes = size_of(index);
  }
  void* memory = std::malloc(bytes);
  CHECK(memory != nullptr);
  return memory;
}

void pool_release(void* memory, size_t bytes) noexcept {
  if (memory == nullptr) return;
  if (bytes <= coarse_max) [[likely]] {
    size_t index = class_of(bytes);
    FreeList& list = this_thread().lists[index];
    if (list.count * size_of(index) < kept_bytes) [[likely]] {
      auto* node = static_cast<FreeNode*>(memory);
      node->next = list.head;
      list.head = node;
      ++list.count;
      return;
    }
  }
  std::free(memory);
}

void pool_trim() noexcept { this_thread().clear(); }

#endif

}  // namespace portloom
