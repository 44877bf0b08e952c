// http/chunked.cpp
//
// A state machine over bytes for chunk heads, and slices for data. Stricter than RFC 9112 §7.1 has it: no whitespace between a
// size and its extensions, and extensions must be well formed though they are ignored.
#include "http/chunked.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "http/grammar.h"
#include "http/parser.h"

namespace portloom::http {

namespace {

constexpr uint8_t digits_max = 16;  // leading zeros are legal; they are not endless

constexpr NameSet never_in_trailers{Name::host,
                                    Name::content_length,
                                    Name::transfer_encoding,
                                    Name::connection,
                                    Name::keep_alive,
                                    Name::proxy_connection,
                                    Name::upgrade,
                                    Name::te,
                                    Name::trailer,
                                    Name::expect,
                                    Name::via,
                                    Name::forwarded,
                                    Name::x_forwarded_for,
                                    Name::x_forwarded_proto,
                                    Name::x_forwarded_host,
                                    Name::x_forwarded_port,
                                    Name::x_real_ip,
                                    Name::max_forwards,
                                    Name::authorization,
                                    Name::proxy_authorization,
                                    Name::proxy_authenticate,
                                    Name::www_authenticate,
                                    Name::cookie,
                                    Name::set_cookie,
                                    Name::cache_control,
                                    Name::content_encoding,
                                    Name::content_range,
                                    Name::content_type,
                                    Name::http2_settings,
                                    Name::if_match,
                                    Name::if_modified_since,
                                    Name::if_none_match,
                                    Name::location,
                                    Name::origin,
                                    Name::pragma,
                                    Name::range,
                                    Name::retry_after,
                                    Name::vary,
                                    Name::age,
                                    Name::expires,
                                    Name::date,
                                    Name::idempotency_key,
                                    Name::traceparent,
                                    Name::tracestate,
                                    Name::x_request_id};

}  // namespace

bool allowed_in_trailer(const Headers::Field& field) { return !never_in_trailers.contains(field.id); }

size_t write_chunk_head(char* out, uint64_t size) {
  auto [end, fault] = std::to_chars(out, out + 16, size, 16);
  *end++ = '\r';
  *end++ = '\n';
  return static_cast<size_t>(end - out);
}

void ChunkDecoder::fail(const char* fault) {
  state_ = State::failed;
  fault_ = fault;
}

void ChunkDecoder::size_byte(char c) {
  int digit = hex_value(c);
  if (digit >= 0) {
    left_ = left_ * 16 + static_cast<uint64_t>(digit);
    if (++digits_ > digits_max || left_ > size_max) return fail("a chunk size is too large");  // RFC 9112 §7.1: guard against overflow
    state_ = State::size;
    return;
  }
  if (state_ == State::size && c == '\r') {
    state_ = State::size_lf;
  } else if (state_ == State::size && c == ';') {
    state_ = State::extension;
    extension_ = Extension::name_due;
    extension_bytes_ = 1;
  } else {
    fail("a chunk size is malformed");
  }
}

// chunk-ext of RFC 9112 §7.1.1.
void ChunkDecoder::extension_byte(char c) {
  if (++extension_bytes_ > extension_max || ++extension_total_ > extension_total_max) return fail("chunk extensions are too long");
  bool token = is_token_char(c);
  auto bad = [this] { fail("a chunk extension is malformed"); };
  auto next_or_end = [&] {
    if (c == ';')
      extension_ = Extension::name_due;
    else if (c == '\r')
      state_ = State::size_lf;
    else
      bad();
  };
  switch (extension_) {
    case Extension::name_due:
      if (token)
        extension_ = Extension::name;
      else if (c != ' ' && c != '\t')
        bad();
      return;
    case Extension::name:
      if (c == '=')
        extension_ = Extension::value_due;
      else if (!token)
        next_or_end();
      return;
    case Extension::value_due:
      if (token)
        extension_ = Extension::value;
      else if (c == '"')
        extension_ = Extension::quoted;
      else
        bad();
      return;
    case Extension::value:
      if (!token) next_or_end();
      return;
    case Extension::quoted:
      if (c == '"')
        extension_ = Extension::after_quoted;
      else if (c == '\\')
        extension_ = Extension::escaped;
      else if (!is_field_value({&c, 1}))
        bad();
      return;
    case Extension::escaped:
      if (!is_field_value({&c, 1})) return bad();
      extension_ = Extension::quoted;
      return;
    case Extension::after_quoted: next_or_end(); return;
  }
}

bool ChunkDecoder::trailer_line(std::string_view line) {
  if (line.empty()) {
    state_ = State::done;
    return true;
  }
  const char* fault = nullptr;
  if (++trailer_count_ > trailer_count_max) {
    fail("too many trailer fields");
    return false;
  }
  if (!parse_field_line(line, trailers_, true, fault)) {
    fail(fault);
    return false;
  }
  // RFC 9110 §6.5.1: never merged, and those that would be dangerous where they are merged do not get further.
  trailers_.remove_all(never_in_trailers);
  return true;
}

size_t ChunkDecoder::trailer_bytes(std::string_view input) {
  const void* found = std::memchr(input.data(), '\n', input.size());
  size_t count = found == nullptr ? input.size() : static_cast<size_t>(static_cast<const char*>(found) - input.data()) + 1;
  trailer_total_ += count;
  if (trailer_total_ > trailers_max) {
    fail("the trailer section is too large");
    return count;
  }
  if (found == nullptr) {
    line_.append(input);
    return count;
  }
  std::string_view line = input.substr(0, count);
  if (!line_.empty()) line = line_.append(line);
  if (line.size() < 2 || line[line.size() - 2] != '\r') {
    fail("a line ends without CR");
    return count;
  }
  trailer_line(line.substr(0, line.size() - 2));
  line_.clear();
  return count;
}

ChunkDecoder::Step ChunkDecoder::decode(std::string_view input) {
  Step step;
  auto expect = [this](char c, char due, State next) {
    if (c == due)
      state_ = next;
    else
      fail("a chunk does not end where its size says");
  };
  while (step.consumed < input.size()) {
    switch (state_) {
      case State::size_first:
      case State::size: size_byte(input[step.consumed++]); break;
      case State::extension: extension_byte(input[step.consumed++]); break;
      case State::size_lf:
        if (input[step.consumed++] != '\n')
          fail("a bare CR in a chunk head");
        else
          state_ = left_ == 0 ? State::trailer : State::data;
        break;
      case State::data: {
        size_t count = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - step.consumed));
        step.data = input.substr(step.consumed, count);
        step.consumed += count;
        left_ -= count;
        if (left_ == 0) state_ = State::data_cr;
        return step;
      }
      case State::data_cr: expect(input[step.consumed++], '\r', State::data_lf); break;
      case State::data_lf:
        expect(input[step.consumed++], '\n', State::size_first);
        digits_ = 0;
        break;
      case State::trailer: step.consumed += trailer_bytes(input.substr(step.consumed)); break;
      case State::done:
      case State::failed: return step;
    }
  }
  return step;
}

}  // namespace portloom::http
