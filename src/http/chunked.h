// http/chunked.h
//
// ChunkDecoder: takes the chunked coding (RFC 9112 §7.1) off a stream of bytes without copying the data: it hands out slices of
// its input. Sizes, extensions and trailers are bounded, and so is their sum over a body made of tiny chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/headers.h"

namespace portloom::http {

class ChunkDecoder {
 public:
  static constexpr uint64_t size_max = (uint64_t{1} << 53) - 1;  // of one chunk
  static constexpr size_t extension_max = 1024;                  // bytes of one chunk's extensions; all are ignored
  static constexpr size_t extension_total_max = 16 * 1024;       // and of one body's
  static constexpr size_t trailers_max = 8 * 1024;
  static constexpr size_t trailer_count_max = 64;

  struct Step {
    size_t consumed = 0;    // bytes of the input that are done with, the data included
    std::string_view data;  // a slice of the input; may be empty
  };
  // Goes on until there is data, the end, an error or no more input; call until all input is consumed, done() or failed().
  // Never consumes a byte behind the end of the body.
  Step decode(std::string_view input);

  bool done() const { return state_ == State::done; }
  bool failed() const { return state_ == State::failed; }
  const char* fault() const { return fault_; }
  // Once done: the trailer fields, without those that may not come there (framing, routing, authentication; RFC 9110 §6.5.1).
  Headers& trailers() { return trailers_; }
  // How many bytes the current chunk still has, for whoever sizes a read.
  uint64_t chunk_left() const { return left_; }

 private:
  enum class State : uint8_t { size_first, size, extension, size_lf, data, data_cr, data_lf, trailer, done, failed };
  enum class Extension : uint8_t { name_due, name, value_due, value, quoted, escaped, after_quoted };
  void size_byte(char c);
  void extension_byte(char c);
  size_t trailer_bytes(std::string_view input);
  bool trailer_line(std::string_view line);
  void fail(const char* fault);

  State state_ = State::size_first;
  Extension extension_ = Extension::name_due;
  uint8_t digits_ = 0;
  uint64_t left_ = 0;
  size_t extension_bytes_ = 0;
  size_t extension_total_ = 0;
  size_t trailer_total_ = 0;
  size_t trailer_count_ = 0;
  std::string line_;  // a trailer line that came in pieces
  Headers trailers_;
  const char* fault_ = "";
};

// Whether a field may be in a trailer section at all; what may not is dropped, never merged.
bool allowed_in_trailer(const Headers::Field& field);

inline constexpr size_t chunk_head_max = 18;
// "1a\r\n" to `out`, which has room for chunk_head_max; returns its length. `size` is not 0.
size_t write_chunk_head(char* out, uint64_t size);
inline constexpr std::string_view chunk_tail = "\r\n";
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace portloom::http
