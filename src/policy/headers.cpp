// policy/headers.cpp
//
// Sets, adds and removes header fields: of the request on its way in, of whatever answer comes back on its way out.
// `add` leaves out a value that is there already, so that a repeated call does not add it twice.
#include <string>
#include <vector>

#include "base/text.h"
#include "http/grammar.h"
#include "pipeline/exchange.h"
#include "policy/field_names.h"
#include "policy/kind.h"

namespace portloom::policy {

using http::Name;
using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

bool is_changeable_field(std::string_view name) {
  static constexpr http::NameSet own{Name::connection,
                                     Name::keep_alive,
                                     Name::proxy_connection,
                                     Name::te,
                                     Name::trailer,
                                     Name::upgrade,
                                     Name::transfer_encoding,
                                     Name::content_length,
                                     Name::expect,
                                     Name::host,
                                     Name::proxy_authorization,
                                     Name::proxy_authenticate,
                                     Name::via,
                                     Name::forwarded,
                                     Name::x_forwarded_for,
                                     Name::x_forwarded_proto,
                                     Name::x_forwarded_host,
                                     Name::x_forwarded_port,
                                     Name::http2_settings,
                                     Name::max_forwards};
  return http::is_token(name) && !own.contains(http::name_of_field(name));
}

namespace {

// A text of the configuration without its escapes: "{{" is a brace (DESIGN: braces compute).
std::string literal(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    plain += text[i];
    if (i + 1 < text.size() && text[i] == text[i + 1] && (text[i] == '{' || text[i] == '}')) ++i;
  }
  return plain;
}

bool has_template(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{') continue;
    if (i + 1 == text.size() || text[i + 1] != '{') return true;
    ++i;
  }
  return false;
}

}  // namespace

struct FieldChanges {
  data::Named<std::string> set;
  data::Named<std::string> add;
  std::vector<std::string> remove;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("set", self.set, valid(is_changeable_field, changeable_field_name), "Fields that have this one value afterwards.");
    field("add", self.add, valid(is_changeable_field, changeable_field_name), "Values that stand beside those which are there.");
    field("remove", self.remove, valid(is_changeable_field, changeable_field_name),
          "Fields that are taken out, before the others are put in.");
  }
  void check(data::Checker& checker) const {
    for (const auto* fields : {&set, &add}) {
      std::string_view where = fields == &set ? "set" : "add";
      for (const auto& [name, value] : *fields) {
        if (has_template(value))
          checker.error(where, "braces in the value of " + name + " (templates in header fields) are not in this version",
                        "write {{ for a brace");
        if (!http::is_field_value(value)) checker.error(where, "the value of " + name + " has characters that no header field may have");
      }
    }
  }
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

struct HeaderFields final : pipeline::Policy {
  struct Config {
    FieldChanges request;
    FieldChanges response;
    void visit(this auto& self, auto& field) {
      field("request", self.request, "Changes of the request, before it goes on.");
      field("response", self.response, "Changes of the answer, whoever gave it.");
    }
  };

  HeaderFields(const Config& config, const data::Part&, const Building&)
      : request_(literally(config.request)), response_(literally(config.response)) {}
  std::string_view kind() const override { return "headers"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    apply(request_, request.headers);
    if (response_.empty()) return next(request);
    return with_response(request, next);
  }

 private:
  Task<Response> with_response(Request& request, Next next) {
    Response response = co_await next(request);
    apply(response_, response.headers);
    co_return response;
  }

  static FieldChanges literally(const FieldChanges& written) {
    FieldChanges changes;
    for (const auto& [name, value] : written.set) changes.set.add(name) = literal(value);
    for (const auto& [name, value] : written.add) changes.add.add(name) = literal(value);
    changes.remove = written.remove;
    return changes;
  }

  static void apply(const FieldChanges& changes, http::Headers& headers) {
    for (const std::string& name : changes.remove) headers.remove(name);
    for (const auto& [name, value] : changes.set) headers.set(name, value);
    for (const auto& [name, value] : changes.add)
      if (!has(headers, name, trim(value))) headers.add(name, value);
  }

  static bool has(const http::Headers& headers, std::string_view name, std::string_view value) {
    for (http::Headers::Field field : headers)
      if (field.value == value && equals_ignoring_case(field.name, name)) return true;
    return false;
  }

  FieldChanges request_;
  FieldChanges response_;
};

constinit const Kind headers_kind =
    kind_of<HeaderFields>("headers", "Sets, adds and removes header fields of the request and of the answer.");

}  // namespace portloom::policy
