// policy/headers.cpp
//
// Sets, adds and removes header fields: of the request on its way in, of whatever answer comes back on its way out. Values are
// texts that compute, all of them before anything is changed: a field may be written from its own old value.
// `add` leaves out a value that is there already, so that a repeated call does not add it twice.
#include <optional>
#include <string>
#include <vector>

#include "base/text.h"
#include "http/grammar.h"
#include "pipeline/exchange.h"
#include "pipeline/inputs.h"
#include "policy/field_names.h"
#include "policy/kind.h"
#include "policy/refusal.h"

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

struct FieldChanges {
  data::Named<std::string> set;
  data::Named<std::string> add;
  std::vector<std::string> remove;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("set", self.set, computes, valid(is_changeable_field, changeable_field_name),
          "Fields that have this one value afterwards; none where a value that it is made of is missing.");
    field("add", self.add, computes, valid(is_changeable_field, changeable_field_name), "Values that stand beside those which are there.");
    field("remove", self.remove, valid(is_changeable_field, changeable_field_name),
          "Fields that are taken out, before the others are put in.");
  }
  void check(data::Checker& checker) const {
    for (const auto* fields : {&set, &add}) {
      std::string_view where = fields == &set ? "set" : "add";
      for (const auto& [name, value] : *fields) {
        std::expected<data::Template, data::TextFault> text = data::Template::parse(value);
        if (!text) continue;  // has been said
        for (const data::Template::Piece& piece : text->pieces)
          if (!http::is_field_value(piece.text))
            checker.error(where, "the value of " + name + " has characters that no header field may have");
      }
    }
  }
};

namespace {

// The same, as it is carried out.
class FieldChanger {
 public:
  explicit FieldChanger(const FieldChanges& written) : remove_(written.remove) {
    for (const auto& [name, value] : written.set) put(name, value, false);
    for (const auto& [name, value] : written.add) put(name, value, true);
  }
  bool empty() const { return puts_.empty() && remove_.empty(); }

  // Changes `headers`; or, where `strict`, leaves them alone and says which value cannot stand in a field.
  pipeline::Filling apply(const Request& request, http::Headers& headers, bool strict) const {
    std::vector<std::optional<Bytes>> values(computing_);
    size_t next = 0;
    for (const Put& put : puts_) {
      if (!put.computes) continue;
      http::Writer value(128);
      pipeline::Filling filling = pipeline::fill(*put.computes, pipeline::Place::header, request, value);
      if (!filling && filling.outcome != pipeline::Filling::Outcome::missing && strict) return filling;
      if (filling) values[next] = value.finish();
      ++next;
    }
    next = 0;
    for (const std::string& name : remove_) headers.remove(name);
    for (const Put& put : puts_) {
      std::optional<std::string_view> value = put.value;
      if (put.computes) {
        const std::optional<Bytes>& filled = values[next++];
        value = filled ? std::optional(trim(filled->view())) : std::nullopt;
      }
      if (!put.beside) headers.remove(put.name);
      if (value && !(put.beside && has(headers, put.name, *value))) headers.add(put.name, *value);
    }
    return {};
  }

 private:
  struct Put {
    std::string name;
    std::string value;
    std::optional<data::Template> computes;  // in place of it
    bool beside;                             // what is there stays
  };
  void put(const std::string& name, const std::string& written, bool beside) {
    data::Template text = *data::Template::parse(written);  // load() has refused anything else
    if (text.constant()) {
      std::string value;
      for (const data::Template::Piece& piece : text.pieces) value += piece.text;
      puts_.push_back({name, std::string(trim(value)), std::nullopt, beside});
    } else {
      puts_.push_back({name, {}, std::move(text), beside});
      ++computing_;
    }
  }
  static bool has(const http::Headers& headers, std::string_view name, std::string_view value) {
    for (http::Headers::Field field : headers)
      if (field.value == value && equals_ignoring_case(field.name, name)) return true;
    return false;
  }

  std::vector<std::string> remove_;
  std::vector<Put> puts_;
  size_t computing_ = 0;
};

}  // namespace

struct HeaderFields final : pipeline::Policy {
  struct Config {
    FieldChanges request;
    FieldChanges response;
    void visit(this auto& self, auto& field) {
      field("request", self.request, "Changes of the request, before it goes on.");
      field("response", self.response, "Changes of the answer, whoever gave it.");
    }
  };

  HeaderFields(const Config& config, const data::Part&, const Building& building)
      : request_(config.request), response_(config.response), refusal_("headers", building.config) {}
  std::string_view kind() const override { return "headers"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    if (pipeline::Filling filling = request_.apply(request, request.headers, true); !filling) {
      refusal_.note(request.exchange.record);
      return ready(pipeline::refuse(filling));
    }
    if (response_.empty()) return next(request);
    return with_response(request, next);
  }

 private:
  Task<Response> with_response(Request& request, Next next) {
    Response response = co_await next(request);
    response_.apply(request, response.headers, false);
    co_return response;
  }

  FieldChanger request_;
  FieldChanger response_;
  Refusal refusal_;
};

constinit const Kind headers_kind =
    kind_of<HeaderFields>("headers", "Sets, adds and removes header fields of the request and of the answer.");

}  // namespace portloom::policy
