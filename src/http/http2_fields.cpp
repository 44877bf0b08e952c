// http/http2_fields.cpp
//
// A small array that grows; nothing is copied on the way to nghttp2.
#include "http/http2_fields.h"

#include <cstring>

#include <utility>
#include "base/text.h"

namespace portloom::http {
namespace {

constexpr NameSet connection_fields{Name::connection, Name::keep_alive, Name::proxy_connection,  Name::upgrade,
                                    Name::te,         Name::host,       Name::transfer_encoding, Name::http2_settings};

}  // namespace

Http2Fields::Http2Fields() : fields_(reinterpret_cast<nghttp2_nv*>(inline_)) { static_assert(sizeof(nghttp2_nv) <= field_size); }
Http2Fields::~Http2Fields() = default;

const nghttp2_nv* Http2Fields::data() const { return fields_; }

void Http2Fields::add(std::string_view name, std::string_view value, bool never_indexed) {
  if (count_ == capacity_) {
    Bytes larger = Bytes::uninitialized(capacity_ * 2 * sizeof(nghttp2_nv) + alignof(nghttp2_nv));
    auto* place = reinterpret_cast<nghttp2_nv*>((reinterpret_cast<uintptr_t>(larger.writable()) + 7) & ~uintptr_t{7});
    std::memcpy(place, fields_, count_ * sizeof(nghttp2_nv));
    fields_ = place;
    more_ = std::move(larger);
    capacity_ *= 2;
  }
  auto bytes = [](std::string_view text) { return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())); };
  fields_[count_++] = nghttp2_nv{bytes(name), bytes(value), name.size(), value.size(),
                                 static_cast<uint8_t>(never_indexed ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)};
}

void Http2Fields::add_all(const Headers& headers, NameSet without, std::string_view nor) {
  for (Headers::Field field : headers) {
    if (!nor.empty() && equals_ignoring_case(field.name, nor)) continue;
    if (connection_fields.contains(field.id) || field.id == Name::content_length || without.contains(field.id)) continue;
    add(field.name, field.value, field.id == Name::x_request_id);
  }
}

}  // namespace portloom::http
