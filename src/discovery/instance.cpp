// discovery/instance.cpp
//
// Strict about what clients write, lenient about what another version of us wrote.
#include "discovery/instance.h"

#include "base/text.h"
#include "config/place.h"
#include "data/json_members.h"
#include "data/json_text.h"
#include "data/slicer.h"

namespace portloom::discovery {
namespace {

// The members of one registration or instance, one after the other. The first fault is kept.
class Reading {
 public:
  Registration read;
  std::string fault;
  bool strict = true;

  void object(std::string_view text) {
    data::each_json_member(text, [this](std::string_view name, std::string_view whole) {
      if (fault.empty()) member(name, data::json_value_of(name, whole));
    });
    if (!fault.empty()) return;
    if (port_ == 0) return complain("\"port\" is missing");
    if (!host_.empty()) {
      std::optional<io::Address> address = io::Address::parse((host_.find(':') == std::string::npos ? host_ : "[" + host_ + "]") + ":1");
      bool numbers = host_ != "localhost" && address && !address->is_unix();
      if (!numbers) return complain("\"address\": expected an IP address, found \"" + host_ + "\"");
      read.instance.address = address->with_port(port_);
      read.has_address = true;
    } else {
      read.instance.address = io::Address::loopback(port_);
    }
  }

 private:
  void complain(std::string what) {
    if (fault.empty()) fault = std::move(what);
  }

  void member(std::string_view name, std::string_view value) {
    Instance& one = read.instance;
    if (name == "id") return text(name, value, one.id);
    if (name == "address") return text(name, value, host_);
    if (name == "zone") return text(name, value, one.zone);
    if (name == "version") return text(name, value, one.version);
    if (name == "port") return number(name, value, 65535, port_);
    if (name == "weight") return number(name, value, weight_max, one.weight);
    if (name == "metadata") return metadata(value);
    if (name == "ttl" && strict) return ttl(value);
    if (name == "state") return state(value);
    if (strict) complain("unknown member \"" + std::string(name.substr(0, 64)) + "\"");
  }

  void text(std::string_view name, std::string_view value, std::string& to) {
    to.clear();
    bool good = data::kind_of_json(value) == data::JsonKind::string && data::decode_json_string(value.substr(1, value.size() - 2), to);
    if (!good) return complain("\"" + std::string(name) + "\": expected a text");
    if (to.size() > text_max) return complain("\"" + std::string(name) + "\": at most " + std::to_string(text_max) + " bytes");
    for (char c : to)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return complain("\"" + std::string(name) + "\": control characters");
  }

  template <class N>
  void number(std::string_view name, std::string_view value, uint32_t most, N& to) {
    std::optional<uint64_t> read_number = parse_number(value);
    if (!read_number || *read_number == 0 || *read_number > most)
      return complain("\"" + std::string(name) + "\": expected a whole number from 1 to " + std::to_string(most));
    to = static_cast<N>(*read_number);
  }

  void metadata(std::string_view value) {
    if (data::kind_of_json(value) != data::JsonKind::object) return complain("\"metadata\": expected an object");
    if (value.size() > metadata_max) return complain("\"metadata\": at most " + std::to_string(metadata_max) + " bytes");
    read.instance.metadata = value == "{}" ? std::string() : std::string(value);
  }

  void ttl(std::string_view value) {
    std::string written;
    text("ttl", value, written);
    std::optional<Duration> parsed = parse_duration(written);
    if (!parsed) return complain("\"ttl\": expected a duration with its unit, for instance \"15s\"");
    if (*parsed < ttl_least || *parsed > ttl_most)
      return complain("\"ttl\": from " + format_duration(ttl_least) + " to " + format_duration(ttl_most));
    read.ttl = *parsed;
  }

  void state(std::string_view value) {
    if (value != "\"up\"" && value != "\"draining\"") return complain("\"state\": expected \"up\" or \"draining\"");
    read.instance.draining = value == "\"draining\"";
  }

  std::string host_;
  uint16_t port_ = 0;
};

}  // namespace

void write_instance(data::JsonWriter& json, const Instance& instance) {
  json.begin_object();
  json.member("id", instance.id).member("address", instance.address.host()).member("port", instance.address.port());
  json.member("weight", instance.weight).member("state", instance.draining ? "draining" : "up");
  if (!instance.zone.empty()) json.member("zone", instance.zone);
  if (!instance.version.empty()) json.member("version", instance.version);
  if (!instance.metadata.empty()) json.key("metadata").raw(instance.metadata);
  json.end_object();
}

std::expected<Instance, std::string> read_instance(std::string_view object) {
  Reading reading;
  reading.strict = false;
  reading.object(object);
  if (reading.fault.empty() && (!reading.read.has_address || !config::is_name(reading.read.instance.id))) reading.fault = "no instance";
  if (!reading.fault.empty()) return std::unexpected(std::move(reading.fault));
  return std::move(reading.read.instance);
}

namespace {

std::expected<std::string_view, std::string> object_of(std::string_view text) {
  std::expected<data::JsonSpan, data::JsonFault> span = data::slice(text, {.bytes = 64 * 1024, .depth = 32});
  if (!span) return std::unexpected("not JSON: " + std::string(span.error().message) + " at byte " + std::to_string(span.error().at));
  std::string_view object = span->in(text);
  if (data::kind_of_json(object) != data::JsonKind::object) return std::unexpected("expected a JSON object");
  return object;
}

}  // namespace

std::expected<Instance, std::string> read_value(std::string_view text) {
  std::expected<std::string_view, std::string> object = object_of(text);
  if (!object) return std::unexpected(std::move(object.error()));
  Reading reading;
  reading.strict = false;
  reading.object(*object);
  if (reading.fault.empty() && !reading.read.has_address) reading.fault = "\"address\" is missing";
  if (!reading.fault.empty()) return std::unexpected(std::move(reading.fault));
  return std::move(reading.read.instance);
}

std::expected<Registration, std::string> read_registration(std::string_view text) {
  std::expected<std::string_view, std::string> object = object_of(text);
  if (!object) return std::unexpected(std::move(object.error()));
  Reading reading;
  reading.object(*object);
  if (!reading.fault.empty()) return std::unexpected(std::move(reading.fault));
  return std::move(reading.read);
}

}  // namespace portloom::discovery
