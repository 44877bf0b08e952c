// http/http2_fields.h
//
// Http2Fields: a head on its way to nghttp2. Lives for the call that submits it.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <string_view>

#include "base/bytes.h"
#include "http/headers.h"

namespace portloom::http {

// Fields on their way to nghttp2, which copies them and makes the names lower-case.
class Http2Fields {
 public:
  Http2Fields();
  ~Http2Fields();
  // `never_indexed`: a value that is never the same again has no place in the compression table.
  void add(std::string_view name, std::string_view value, bool never_indexed = false);
  // All but those of one connection (RFC 9113 §8.2.2), Content-Length, what `without` names and the one called `nor`.
  void add_all(const Headers& headers, NameSet without = {}, std::string_view nor = {});
  const nghttp2_nv* data() const;
  size_t size() const { return count_; }

 private:
  static constexpr size_t inline_max = 40;
  static constexpr size_t field_size = 40;
  alignas(8) char inline_[inline_max * field_size];
  Bytes more_;
  nghttp2_nv* fields_;
  size_t capacity_ = inline_max;
  size_t count_ = 0;
};

}  // namespace portloom::http
