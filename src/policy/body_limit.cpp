// policy/body_limit.cpp
//
// Answers 413 to a request whose body is larger than allowed: at once when Content-Length says so, else as soon as what has
// come is too much. Then the call to the service ends in the middle of its body, so that it cannot take it for whole.
#include <memory>
#include <utility>

#include "policy/kind.h"
#include "policy/refusal.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

// A body whose length nobody has promised, counted while it is read. Rides on the request: the exchange outlives it.
class Counted final : public http::BodySource {
 public:
  Counted(http::Body body, uint64_t bytes_max, const Refusal& refusal, pipeline::Record& record)
      : body_(std::move(body)), left_(bytes_max), refusal_(refusal), record_(record) {}
  Task<Result<Bytes>> read() override {
    Result<Bytes> piece = co_await body_.read();
    if (!piece || piece->size() <= left_) {
      if (piece) left_ -= piece->size();
      co_return piece;
    }
    refusal_.note(record_);
    co_return failure(Code::body_too_large, Side::client, "the request's body exceeds the limit", Progress::body);
  }
  const http::Headers* trailers() const override { return body_.trailers(); }

 private:
  http::Body body_;
  uint64_t left_;
  const Refusal& refusal_;
  pipeline::Record& record_;
};

}  // namespace

struct BodyLimit final : pipeline::Policy {
  struct Config {
    data::Size bytes;
    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("bytes", self.bytes, required, short_form, "A request's body may have so much, as it comes over the wire, without framing.");
    }
  };

  BodyLimit(const Config& config, const data::Part&, const Building& building)
      : bytes_max_(config.bytes.bytes), refusal_("body_limit", building.config, "body_limit " + format_size(config.bytes)) {}
  std::string_view kind() const override { return "body_limit"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    std::optional<uint64_t> length = request.body.length();  // when it is known, the framing holds the body to it
    if (length && *length > bytes_max_) return ready(refusal_.answer(request, Code::body_too_large));
    if (!length) count(request);
    return next(request);
  }

 private:
  void count(Request& request) const {
    auto counted = std::make_unique<Counted>(std::move(request.body), bytes_max_, refusal_, request.exchange.record);
    request.body = http::Body(std::move(counted), std::nullopt);
  }

  uint64_t bytes_max_;
  Refusal refusal_;
};

constinit const Kind body_limit_kind = kind_of<BodyLimit>("body_limit", "Answers 413 to larger request bodies.");

}  // namespace portloom::policy
