// discovery/etcd_wire.cpp
//
// Members that are unknown are passed over: etcd's versions add some.
#include "discovery/etcd_wire.h"

#include <algorithm>
#include <functional>

#include "base/base64.h"
#include "base/text.h"
#include "data/json.h"
#include "data/json_members.h"
#include "data/json_text.h"
#include "data/slicer.h"

namespace portloom::discovery::etcd {
namespace {

constexpr size_t text_max = 1024;  // bytes of what an error says

using See = std::function<void(std::string_view name, std::string_view value)>;

// Sees the members of an object that slice() has found; false where it is none.
bool members(std::string_view object, const See& see) {
  if (data::kind_of_json(object) != data::JsonKind::object) return false;
  data::each_json_member(object, [&see](std::string_view name, std::string_view member) { see(name, data::json_value_of(name, member)); });
  return true;
}

bool whole(std::string_view text, const See& see) {
  std::expected<data::JsonSpan, data::JsonFault> span = data::slice(text, {.bytes = size_t{1} << 30, .depth = 64});
  return span && members(span->in(text), see);
}

std::string text_of(std::string_view value) {
  std::string text;
  bool good = data::kind_of_json(value) == data::JsonKind::string && data::decode_json_string(value.substr(1, value.size() - 2), text);
  return good ? text : std::string();
}

// A 64-bit number is a text, a smaller one a number; what is none counts as 0, as what is left out does.
uint64_t number_of(std::string_view value) {
  if (data::kind_of_json(value) == data::JsonKind::string) value = value.substr(1, value.size() - 2);
  return parse_number(value).value_or(0);
}

// False: it is no base64.
bool bytes_of(std::string_view value, std::string& to) {
  std::optional<std::string> bytes = from_base64(text_of(value));
  if (bytes) to = std::move(*bytes);
  return bytes.has_value();
}

Header header_of(std::string_view value) {
  Header header;
  members(value, [&header](std::string_view name, std::string_view number) {
    if (name == "cluster_id") header.cluster = number_of(number);
    if (name == "revision") header.revision = number_of(number);
  });
  return header;
}

bool read_pair(std::string_view value, Pair& pair) {
  bool good = true;
  bool object = members(value, [&](std::string_view name, std::string_view part) {
    if (name == "key") good &= bytes_of(part, pair.key);
    if (name == "value") good &= bytes_of(part, pair.value);
    if (name == "mod_revision") pair.revision = number_of(part);
  });
  return object && good && !pair.key.empty();
}

bool read_event(std::string_view value, News::Event& event) {
  bool good = false;
  members(value, [&](std::string_view name, std::string_view part) {
    if (name == "type") event.deleted = part == "\"DELETE\"";
    if (name == "kv") good = read_pair(part, event.pair);
  });
  return good;
}

bool read_result(std::string_view value, News& news) {
  bool good = true;
  bool object = members(value, [&](std::string_view name, std::string_view part) {
    if (name == "header") news.header = header_of(part);
    if (name == "watch_id") news.id = number_of(part);
    if (name == "created") news.created = part == "true";
    if (name == "canceled") news.canceled = part == "true";
    if (name == "compact_revision") news.compacted = number_of(part);
    if (name == "cancel_reason") news.why = text_of(part).substr(0, text_max);
    if (name != "events" || data::kind_of_json(part) != data::JsonKind::array) return;
    data::each_json_item(part, [&](std::string_view item) { good &= read_event(item, news.events.emplace_back()); });
  });
  return object && good;
}

// `"TTL": "15"` and `"ID": "7587…"`, wherever they stand.
std::optional<Lease> read_lease(std::string_view text, std::string_view within) {
  Lease lease;
  bool there = false;
  See see = [&](std::string_view name, std::string_view value) {
    if (name == "ID") {
      lease.id = number_of(value);
      there = lease.id != 0;
    }
    if (name == "TTL") lease.ttl = std::chrono::seconds(std::min<uint64_t>(number_of(value), 1U << 30));
  };
  bool good = whole(text, [&](std::string_view name, std::string_view value) {
    if (within.empty()) see(name, value);
    if (!within.empty() && name == within) members(value, see);
  });
  if (!good || !there) return std::nullopt;
  return lease;
}

}  // namespace

std::string end_of(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return std::string(1, '\0');
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

std::string write_range(const Range& range) {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().member("key", to_base64(range.key));
  if (!range.end.empty()) json.member("range_end", to_base64(range.end));
  if (range.limit != 0) json.member("limit", std::to_string(range.limit));
  if (range.revision != 0) json.member("revision", std::to_string(range.revision));
  if (range.keys_only) json.member("keys_only", true);
  json.end_object();
  return text;
}

std::string write_watch(const Watch& watch) {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().key("create_request").begin_object().member("key", to_base64(watch.key));
  json.member("range_end", to_base64(watch.end)).member("start_revision", std::to_string(watch.revision));
  json.member("watch_id", std::to_string(watch.id)).member("progress_notify", true).end_object().end_object();
  return text + '\n';
}

std::string write_put(std::string_view key, std::string_view value, uint64_t lease) {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().member("key", to_base64(key)).member("value", to_base64(value)).member("lease", std::to_string(lease)).end_object();
  return text;
}

std::string write_grant(Duration ttl) {
  return "{\"TTL\":\"" + std::to_string(std::max<int64_t>(std::chrono::ceil<std::chrono::seconds>(ttl).count(), 1)) + "\"}";
}

std::string write_lease(uint64_t id) { return "{\"ID\":\"" + std::to_string(id) + "\"}"; }

std::string write_login(std::string_view user, std::string_view password) {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().member("name", user).member("password", password).end_object();
  return text;
}

std::optional<Pairs> read_range(std::string_view text) {
  Pairs read;
  bool good = true;
  bool object = whole(text, [&](std::string_view name, std::string_view value) {
    if (name == "header") read.header = header_of(value);
    if (name == "more") read.more = value == "true";
    if (name != "kvs" || data::kind_of_json(value) != data::JsonKind::array) return;
    data::each_json_item(value, [&](std::string_view item) { good &= read_pair(item, read.pairs.emplace_back()); });
  });
  if (!object || !good || read.header.revision == 0) return std::nullopt;
  return read;
}

std::optional<std::string> read_token(std::string_view text) {
  std::string token;
  bool object = whole(text, [&token](std::string_view name, std::string_view value) {
    if (name == "token") token = text_of(value);
  });
  bool plain = std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; });
  if (!object || token.empty() || !plain) return std::nullopt;
  return token;
}

std::optional<Lease> read_grant(std::string_view text) { return read_lease(text, {}); }
std::optional<Lease> read_keepalive(std::string_view text) { return read_lease(text, "result"); }

std::optional<News> read_news(std::string_view line) {
  News news;
  bool good = false;
  whole(line, [&](std::string_view name, std::string_view value) {
    if (name == "result") good = read_result(value, news);
    if (name != "error") return;
    good = news.failed = true;
    news.why = text_of(value);
    members(value, [&news](std::string_view member, std::string_view part) {
      if (member == "message") news.why = text_of(part).substr(0, text_max);
    });
  });
  if (!good) return std::nullopt;
  return news;
}

std::string read_error(std::string_view text) {
  std::string said;
  whole(text, [&said](std::string_view name, std::string_view value) {
    if (name == "message" || (name == "error" && said.empty())) said = text_of(value).substr(0, text_max);
  });
  return said;
}

}  // namespace portloom::discovery::etcd
