// pipeline/fork.cpp
//
// What goes along: who asks (credentials, cookies, forwarding, trace) and how (languages). What does not: the client's own body, its
// conditions and ranges, and its codings, since the answer is read here.
#include "pipeline/fork.h"

#include "base/check.h"
#include "pipeline/exchange.h"

namespace portloom::pipeline {

namespace {

using http::Name;

constexpr http::NameSet left_behind{
    Name::content_length,  Name::content_type, Name::content_encoding, Name::content_range, Name::transfer_encoding,
    Name::expect,          Name::te,           Name::trailer,          Name::upgrade,       Name::accept,
    Name::accept_encoding, Name::range,        Name::if_match,         Name::if_none_match, Name::if_modified_since,
    Name::grpc_timeout};

Record::Call& line_of(Record& record, Record::Call& spare) {
  if (record.subcalls.size() >= Record::calls_max) return spare;
  return *record.subcalls.emplace_back(std::make_unique<Record::Call>());
}

}  // namespace

Fork::Fork(Request& whole, std::string_view method) : request(whole.exchange, line_of(whole.exchange.record, spare_)) {
  bool good = whole.authority().empty() ? request.assign(method, whole.path_and_query())
                                        : request.assign(method, whole.scheme(), whole.authority(), whole.path_and_query());
  CHECK(good);  // a route has matched it, so its target is a path
  request.headers = whole.headers;
  request.headers.remove_all(left_behind);
  for (std::string_view name :
       {"If-Unmodified-Since", "If-Range", "Content-Language", "Content-Location", "Content-Disposition", "Content-MD5"})
    request.headers.remove(name);
  request.headers.add(Name::accept, "application/json");
  request.deadline = whole.deadline;
}

}  // namespace portloom::pipeline
