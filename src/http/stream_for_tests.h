// http/stream_for_tests.h
//
// Reads a whole byte stream the way a connection does (head, framing, body, next head) and says in one line per message what it
// meant. For the wire tables and the public vectors; only tests include it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/chunked.h"
#include "http/framing.h"
#include "http/message.h"
#include "http/parser.h"

namespace portloom::http {

struct ReadMessage {
  std::string meaning;              // "POST /a 1.1 chunked keep body=\"x\""
  std::vector<std::string> fields;  // "Name: value", trailers as "trailer Name: value"
};

class TestStream {
 public:
  bool request = true;
  bool check_host = true;
  Method asked = Method::GET;  // what a response answers
  bool eof_ends_bodies = true;

  // `piece` bytes at a time; 0: all at once.
  void read(std::string_view bytes, size_t piece) {
    while (!bytes.empty() && !failed) {
      size_t count = piece == 0 ? bytes.size() : std::min(piece, bytes.size());
      buffer_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      while (!failed && turn()) {
      }
    }
  }
  // After the last byte.
  bool head_is_incomplete() const { return !failed && !in_body_ && !closed_ && parser_.begun(); }
  bool body_is_incomplete() const { return !failed && in_body_ && framing_.kind != Framing::Kind::until_close; }
  bool reads_until_close() const { return in_body_ && framing_.kind == Framing::Kind::until_close; }
  ReadMessage unfinished() const { return describe(); }

  std::vector<ReadMessage> messages;
  bool failed = false;
  Error error;

 private:
  bool refuse(Error why) {
    failed = true;
    error = std::move(why);
    return false;
  }
  // One step; false when more bytes are needed.
  bool turn() {
    if (closed_) return buffer_.empty() ? false : refuse(Error{Code::closed, Side::client, Progress::nothing, "data behind the end"});
    return in_body_ ? body() : head();
  }
  bool head() {
    size_t consumed = 0;
    HeadParser::State state =
        request ? parser_.parse_request(buffer_, request_, consumed) : parser_.parse_response(buffer_, response_, consumed);
    if (state == HeadParser::State::failed) return refuse(parser_.error());
    if (state == HeadParser::State::incomplete) return false;
    buffer_.erase(0, consumed);
    Result<Framing> framing = !request     ? response_framing(response_, asked)
                              : check_host ? request_framing(request_)
                                           : request_body_framing(request_);
    if (!framing) return refuse(framing.error());
    framing_ = *framing;
    left_ = framing_.kind == Framing::Kind::length ? framing_.length : 0;
    body_.clear();
    decoder_ = {};
    in_body_ = true;
    return true;
  }
  bool body() {
    switch (framing_.kind) {
      case Framing::Kind::none: return finish();
      case Framing::Kind::length: {
        auto count = static_cast<size_t>(std::min<uint64_t>(left_, buffer_.size()));
        body_.append(buffer_, 0, count);
        buffer_.erase(0, count);
        left_ -= count;
        return left_ == 0 ? finish() : false;
      }
      case Framing::Kind::chunked: {
        ChunkDecoder::Step step = decoder_.decode(buffer_);
        body_.append(step.data);
        buffer_.erase(0, step.consumed);
        if (decoder_.failed())
          return refuse(
              Error{request ? Code::bad_request : Code::upstream_protocol, request ? Side::client : Side::upstream, {}, decoder_.fault()});
        return decoder_.done() ? finish() : step.consumed != 0;
      }
      case Framing::Kind::until_close:
      case Framing::Kind::tunnel:
        body_.append(buffer_);
        buffer_.clear();
        return false;
    }
    return false;
  }
  bool finish() {
    messages.push_back(describe());
    in_body_ = false;
    // An interim answer is followed by another on the same connection whatever it says.
    bool interim = !request && response_.informational();
    closed_ = !framing_.keep_alive && !interim;
    return !buffer_.empty();
  }
  ReadMessage describe() const {
    static constexpr const char* kinds[] = {"none", "length", "chunked", "until_close", "tunnel"};
    ReadMessage message;
    std::string& text = message.meaning;
    if (request)
      text.append(request_.method_text()).append(" ").append(request_.target());
    else
      text.append(std::to_string(response_.status)).append(" \"").append(response_.reason).append("\"");
    text.append(request_.minor == 0 && request ? " 1.0 " : !request && response_.minor == 0 ? " 1.0 " : " 1.1 ");
    text.append(kinds[static_cast<size_t>(framing_.kind)]).append(framing_.keep_alive ? " keep" : " close");
    if (framing_.expect_continue) text.append(" continue");
    if (framing_.upgrade) text.append(" upgrade");
    if (framing_.declares_length) text.append(" declares ").append(std::to_string(framing_.length));
    if (!body_.empty()) text.append(" body=\"").append(body_).append("\"");
    if (request && !request_.authority().empty()) text.append(" authority=").append(request_.authority());
    for (auto field : request ? request_.headers : response_.headers)
      message.fields.push_back(std::string(field.name) + ": " + std::string(field.value));
    ChunkDecoder copy = decoder_;
    for (auto field : copy.trailers()) message.fields.push_back("trailer " + std::string(field.name) + ": " + std::string(field.value));
    return message;
  }

  std::string buffer_;
  HeadParser parser_;
  RequestHead request_;
  ResponseHead response_;
  Framing framing_;
  ChunkDecoder decoder_;
  std::string body_;
  uint64_t left_ = 0;
  bool in_body_ = false;
  bool closed_ = false;
};

}  // namespace portloom::http
