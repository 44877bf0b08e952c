// http/http2_stream.cpp
//
// Reading and sending on one stream. One piece is on its way while the next is read.
#include "http/http2_stream.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "async/race.h"
#include "http/http2_session.h"

namespace portloom::http {
namespace {
constexpr size_t piece_max = 64 * 1024;
}

Http2Stream::Http2Stream(Http2Session& session, int32_t id) : session_(session), id_(id), drop_error_(NGHTTP2_CANCEL) {
  framed_.stream = this;
  session_.streams_.push_back(*this);
  ++session_.open_;
}

Http2Stream::~Http2Stream() {
  --session_.open_;
  if (!input_.empty()) session_.read_off(*this, input_.view().size(), false);
  if (!closed_ && id_ > 0) {
    // END_STREAM that is still to be sent, as of a tunnel, is left to the session; and then the stream is over.
    bool serves = session_.role_ == Http2Session::Role::server;
    bool farewell = (serves || tunnel_) && !lost_ && output_begun_ && output_ended_ && output_.empty() && output_trailers_ == nullptr &&
                    !output_framed_;
    nghttp2_session_set_stream_user_data(session_.native(), id_, farewell ? &session_ : nullptr);
    if (farewell)
      push();
    else if (!lost_)
      reset(serves && output_framed_ ? uint32_t{NGHTTP2_NO_ERROR} : drop_error_);
  }
  unlink();
  session_.on_stream_over();
}

void Http2Stream::on_malformed(std::string_view what) {
  if (wrong_.empty()) wrong_ = what;
  reset(NGHTTP2_PROTOCOL_ERROR);
}

// What is longer or shorter than it says is malformed (RFC 9113 §8.1.1), and must not look complete to whoever reads it.
void Http2Stream::on_data(std::string_view bytes) {
  came_ += bytes.size();
  if (declared_ && came_ > *declared_) return on_malformed("the body is longer than Content-Length says");
  session_.uncredit(bytes.size());
  input_.append(bytes);
  input_came_.set();
}

void Http2Stream::on_input_end() {
  if (declared_ && came_ != *declared_) return on_malformed("the body is not as long as Content-Length says");
  input_ended_ = true;
  input_came_.set();
}

void Http2Stream::on_close(uint32_t error) {
  closed_ = true;
  close_error_ = error;
  if (!output_framed_) on_gone();
  input_came_.set();
  output_went_.set();
}

void Http2Stream::on_loss() {
  lost_ = true;
  if (!output_flushed_) on_gone();
  input_came_.set();
  output_went_.set();
}

void Http2Stream::on_departure() {
  if (!input_ended_) return on_loss();  // what is still to come of it will not
  departure_.set();
}

void Http2Stream::on_gone() {
  gone_.set();
  departure_.set();
}

void Http2Stream::on_flushed() {
  output_flushed_ = true;
  output_went_.set();
}

Headers& Http2Stream::make_trailers() {
  if (!trailers_) trailers_ = std::make_unique<Headers>();
  return *trailers_;
}

Bytes Http2Stream::take(size_t bytes_max) {
  Bytes bytes = input_.take(bytes_max);
  session_.read_off(*this, bytes.size(), !over() && !input_ended_);
  return bytes;
}

void Http2Stream::discard_input() {
  size_t size = input_.view().size();
  input_.consume(size);
  session_.read_off(*this, size, false);
}

// What stands still is cut off; not the silent side of a stream whose other direction goes on.
Task<Result<Bytes>> Http2Stream::read_body() {
  Instant begun = Agenda::current().now();
  while (true) {
    if (!input_.empty()) {
      Bytes bytes = take(piece_max);
      Result<void> taken = took(bytes.size());
      if (!taken) co_return std::unexpected(std::move(taken.error()));
      co_return bytes;
    }
    if (input_whole()) co_return Bytes();
    if (over()) co_return cut_off(false);
    before_waiting();
    input_came_.reset();
    bool came = co_await input_came_.wait_until(std::max(begun, progress_) + session_.settings_.io_timeout);
    bool still = std::max(begun, progress_) + session_.settings_.io_timeout <= Agenda::current().now();
    if (!came && still && input_.empty()) co_return cut_off(true);
  }
}

void Http2Stream::push() {
  if (over()) return;
  if (std::exchange(output_deferred_, false)) nghttp2_session_resume_data(session_.native(), id_);
  session_.wake();
}

void Http2Stream::give_whole(Bytes bytes) {
  output_ = std::move(bytes);
  output_ended_ = true;
  progress_ = Agenda::current().now();
}

Task<Http2Stream::Sent> Http2Stream::drained() {
  if (!output_.empty()) push();
  while (!output_.empty()) {
    if (over()) co_return Sent::gone;
    output_went_.reset();
    Instant deadline = progress_ + session_.settings_.io_timeout;
    bool went = co_await output_went_.wait_until(deadline);
    if (!went && progress_ + session_.settings_.io_timeout <= Agenda::current().now()) co_return Sent::late;
  }
  co_return over() ? Sent::gone : Sent::whole;
}

Task<Http2Stream::Sent> Http2Stream::flushed() {
  while (!output_flushed_) {
    if (lost_ || (closed_ && !output_framed_)) co_return Sent::gone;
    output_went_.reset();
    bool went = co_await output_went_.wait_until(progress_ + session_.settings_.io_timeout);
    if (!went && progress_ + session_.settings_.io_timeout <= Agenda::current().now()) co_return Sent::late;
  }
  co_return Sent::whole;
}

Task<Http2Stream::Sent> Http2Stream::send_body(Body& body, Error& fault, uint64_t& count) {
  progress_ = Agenda::current().now();
  std::optional<uint64_t> length = body.length();
  uint64_t left = length.value_or(UINT64_MAX);
  while (true) {
    Task<Result<Bytes>> reading = body.read();
    if (!reading.start()) {  // nothing is there yet: what is there is not held back
      if (!begin_output()) co_return Sent::gone;
      push();
    }
    std::optional<Result<Bytes>> next = co_await unless(gone_, reading);
    if (!next) co_return Sent::gone;
    Result<Bytes> piece = std::move(*next);
    if (piece && piece->size() > left) {
      piece = failure(Code::upstream_protocol, Side::upstream, "the body is longer than declared", Progress::body);
    } else if (piece && piece->empty() && length && left > 0) {
      piece = failure(Code::upstream_protocol, Side::upstream, "the body is shorter than declared", Progress::body);
    }
    if (!piece) {
      fault = std::move(piece.error());
      co_return Sent::failed;
    }
    if (piece->empty()) break;
    left -= piece->size();
    count += piece->size();
    if (!output_.empty() && !begin_output()) co_return Sent::gone;  // two small pieces were there at once: the head waits no longer
    Sent room = co_await drained();
    if (room != Sent::whole) co_return room;
    output_ = std::move(*piece);
    progress_ = Agenda::current().now();
    passed_on(output_.size());
    if (output_.size() >= piece_max / 4) {
      if (!begin_output()) co_return Sent::gone;
      push();
    }
  }
  output_trailers_ = body.trailers();
  output_ended_ = true;
  passed_on(0);
  if (!begin_output()) co_return Sent::gone;
  push();
  Sent sent = co_await flushed();
  output_trailers_ = nullptr;
  co_return sent;
}

void Http2Stream::reset(uint32_t error) {
  if (over()) return;
  nghttp2_submit_rst_stream(session_.native(), NGHTTP2_FLAG_NONE, id_, error);
  session_.wake();
}

// ---- Tunnels ----

Task<io::Bulk> Http2Bytes::read(size_t bytes_max, Instant deadline) {
  while (true) {
    if (!stream_.input_.empty()) co_return io::Bulk{io::Arrival::bytes, stream_.take(bytes_max)};
    if (stream_.over() && !(stream_.closed_ && stream_.close_error_ == NGHTTP2_NO_ERROR && stream_.input_ended_))
      co_return io::Bulk{io::Arrival::broken, {}};
    if (stream_.input_ended_) co_return io::Bulk{io::Arrival::end, {}};
    stream_.input_came_.reset();
    bool came = co_await stream_.input_came_.wait_until(deadline);
    if (!came) co_return io::Bulk{io::Arrival::late, {}};
  }
}

Task<bool> Http2Bytes::write(Bytes bytes, Instant deadline) {
  if (bytes.empty()) {
    co_return !stream_.over();
  }
  stream_.output_ = std::move(bytes);
  stream_.progress_ = Agenda::current().now();
  stream_.push();
  while (!stream_.output_.empty()) {
    if (stream_.over()) co_return false;
    stream_.output_went_.reset();
    bool went = co_await stream_.output_went_.wait_until(deadline);
    if (!went) co_return false;
  }
  co_return true;
}

void Http2Bytes::end() {
  stream_.output_ended_ = true;
  stream_.push();
}

void Http2Bytes::abort() {
  stream_.output_ended_ = true;
  stream_.reset(NGHTTP2_CANCEL);
  stream_.on_loss();  // whoever waits is told now
}

}  // namespace portloom::http
