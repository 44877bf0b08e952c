// base/pool.h
//
// Memory for small things that live as long as a request: coroutine frames, buffers, header blocks. One set of free
// lists per thread, by size class; no lock, no malloc in the steady state. What is allocated on a thread is freed on it.
// Under sanitizers it is plain malloc, so that use after free is seen.
#pragma once

#include <cstddef>

namespace portloom {

// Never null: running out of memory ends the process (buffered bytes are bounded elsewhere, by name).
void* pool_allocate(size_t bytes);
// `bytes` is what was asked for.
void pool_release(void* memory, size_t bytes) noexcept;

// Gives what this thread keeps for later back to malloc.
void pool_trim() noexcept;

struct Pooled {  // base class: objects of this type come from the pool
  static void* operator new(size_t bytes) { return pool_allocate(bytes); }
  static void operator delete(void* memory, size_t bytes) noexcept { pool_release(memory, bytes); }
};

}  // namespace portloom
