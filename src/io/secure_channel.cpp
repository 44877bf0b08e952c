// io/secure_channel.cpp
//
// Records in, plaintext out, and back. What comes is deciphered within the completion that brought it, straight from the
// engine's buffer; what goes is enciphered 64 KiB at a time into one buffer and sent with one call.
#include "io/secure_channel.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>

namespace portloom::io {
namespace {

constexpr size_t record_bytes = 16 * 1024;     // of plaintext (RFC 8446 §5.1)
constexpr size_t record_overhead = 64;         // header, nonce, tag, content type
constexpr size_t read_at_once = 64 * 1024;     // plaintext of one completion, in head mode
constexpr size_t write_at_once = 64 * 1024;    // plaintext of one send
constexpr size_t cipher_bulk_min = 18 * 1024;  // asked for below in body mode: a whole record
constexpr size_t cipher_bulk_max = 64 * 1024;
constexpr uint8_t handshakes_max = 32;     // KeyUpdate and refused renegotiation without plaintext between them
constexpr size_t output_max = 256 * 1024;  // unsent: only a peer that provokes answers and does not read them gets there

}  // namespace

// ---- What OpenSSL reads from and writes to ----

BIO_METHOD* SecureChannel::method() {
  static BIO_METHOD* const made = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "portloom channel");
    CHECK(method != nullptr);
    BIO_meth_set_read(method, read_cipher);
    BIO_meth_set_write(method, write_cipher);
    BIO_meth_set_ctrl(method, control);
    return method;
  }();
  return made;
}

SecureChannel::SecureChannel(SSL* ssl, Channel& inner, std::shared_ptr<const void> context)
    : Channel(inner.loop, *this), inner_(inner), ssl_(ssl), context_(std::move(context)) {
  descriptor = inner.descriptor;
  outgoing = inner.outgoing;
  BIO* bio = BIO_new(method());
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
}

SecureChannel::~SecureChannel() { SSL_free(ssl_); }

int SecureChannel::read_cipher(BIO* bio, char* to, int size) {
  BIO_clear_retry_flags(bio);
  size_t got = static_cast<SecureChannel*>(BIO_get_data(bio))->take_cipher(to, static_cast<size_t>(size));
  if (got > 0) return static_cast<int>(got);
  BIO_set_retry_read(bio);
  return -1;
}

int SecureChannel::write_cipher(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  bool fits = static_cast<SecureChannel*>(BIO_get_data(bio))->append_cipher({from, static_cast<size_t>(size)});
  return fits ? size : -1;
}

long SecureChannel::control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

// KeyUpdate (RFC 8446 §4.6.3), and in TLS 1.2 every record of a handshake: each makes us work and perhaps answer, for nothing.
void SecureChannel::note_message(int sent, int, int kind, const void* bytes, size_t size, SSL*, void* channel) {
  auto& self = *static_cast<SecureChannel*>(channel);
  if (sent != 0 || size == 0) return;
  int first = *static_cast<const unsigned char*>(bytes);
  bool update = kind == SSL3_RT_HANDSHAKE && first == SSL3_MT_KEY_UPDATE;
  bool record = kind == SSL3_RT_HEADER && first == SSL3_RT_HANDSHAKE;
  if ((update || record) && ++self.handshakes_ > handshakes_max) self.flooded_ = true;
}

size_t SecureChannel::take_cipher(char* to, size_t size) {
  if (flooded_) return 0;
  std::string_view input = inner_.input();
  if (!input.empty()) {
    size_t part = std::min(size, input.size());
    std::memcpy(to, input.data(), part);
    if (inner_.stash.empty())
      inner_.lent.remove_prefix(part);
    else
      inner_.stash.consume(part);
    return part;
  }
  if (inner_.bulk_out || inner_.bulk.empty()) return 0;
  size_t part = std::min(size, inner_.bulk.size());
  std::memcpy(to, inner_.bulk.data(), part);
  inner_.bulk.remove_prefix(part);
  if (inner_.bulk.empty()) inner_.bulk = {};
  return part;
}

bool SecureChannel::append_cipher(std::string_view bytes) {
  size_t needed = output_bytes_ + bytes.size();
  if (needed > output_max) return false;
  if (needed > output_.size()) {
    Bytes larger = Bytes::uninitialized((std::max(needed, 2 * output_.size()) + 63) / 64 * 64);
    if (output_bytes_ > 0) std::memcpy(larger.writable(), output_.data(), output_bytes_);
    output_ = std::move(larger);
  }
  std::memcpy(output_.writable() + output_bytes_, bytes.data(), bytes.size());
  output_bytes_ = static_cast<uint32_t>(needed);
  return true;
}

Bytes SecureChannel::take_output() {
  Bytes taken = std::exchange(output_, {});
  taken.truncate(std::exchange(output_bytes_, 0));
  return taken;
}

void SecureChannel::stand() {
  inner_.above = this;
  inner_.reader = inner_.writer = nullptr;
  SSL_set_msg_callback(ssl_, note_message);
  SSL_set_msg_callback_arg(ssl_, this);
  if (!inner_.departure.is_set()) return;
  peer_departed();
}

// ---- Reading ----

// Nothing is left below. A FIN without close_notify may have been made by anybody on the way (RFC 8446 §6.1).
void SecureChannel::note_end_below() {
  if (inner_.ended || inner_.broken) broken = true;
}

bool SecureChannel::read_plain(char* to, size_t size, size_t& got) {
  ERR_clear_error();
  int outcome = SSL_read_ex(ssl_, to, size, &got);
  if (flooded_) {
    broken = true;
    loop.announce_departure(*this);
    return false;
  }
  if (outcome == 1) {
    handshakes_ = 0;
    return true;
  }
  switch (SSL_get_error(ssl_, outcome)) {
    case SSL_ERROR_WANT_READ: note_end_below(); break;
    case SSL_ERROR_ZERO_RETURN:
      ended = true;
      loop.announce_departure(*this);
      break;
    default: broken = true; loop.announce_departure(*this);
  }
  return false;
}

bool SecureChannel::decipher_input() {
  char plain[record_bytes];
  bool came = false;
  for (size_t taken = 0; taken < read_at_once;) {
    size_t got = 0;
    if (!read_plain(plain, sizeof plain, got)) break;
    stash.append({plain, got});
    taken += got;
    came = true;
  }
  if (came) fresh = true;
  return came || ended || broken;
}

bool SecureChannel::decipher_bulk() {
  // What is there, and the record whose beginning OpenSSL holds: a full-sized buffer would stay half empty for most answers.
  Bytes plain = Bytes::uninitialized(std::clamp<size_t>(held_below() + record_bytes, 1, std::max<size_t>(bulk_max, 1)));
  size_t filled = 0;
  while (filled < plain.size()) {
    size_t got = 0;
    if (!read_plain(plain.writable() + filled, plain.size() - filled, got)) break;
    filled += got;
  }
  if (filled > 0) {
    plain.truncate(filled);
    bulk = std::move(plain);
  }
  return filled > 0 || ended || broken;
}

size_t SecureChannel::held_below() const {
  return inner_.input().size() + (inner_.bulk_out ? 0 : inner_.bulk.size()) + static_cast<size_t>(SSL_pending(ssl_));
}

bool SecureChannel::decipher(bool bulk_mode) {
  if (ended || broken) return true;
  if (held_below() == 0) {
    note_end_below();
    return broken;
  }
  return bulk_mode ? decipher_bulk() : decipher_input();
}

bool SecureChannel::poll(bool bulk_mode) {
  uint32_t unsent = output_bytes_;
  polling_ = true;  // an engine that finds the end while it is asked tells us at once; it is seen here
  bool told = decipher(bulk_mode);
  while (!told) {
    inner_.reader = &marker_;
    inner_.wants_bulk = bulk_mode;
    bool more = false;
    if (bulk_mode) {
      inner_.bulk_max = static_cast<uint32_t>(std::clamp<size_t>(bulk_max + cipher_bulk_min, cipher_bulk_min, cipher_bulk_max));
      more = inner_.transport.poll_bulk(inner_, inner_.bulk_max);
    } else {
      more = inner_.transport.poll_input(inner_);
    }
    if (!more) break;
    told = decipher(bulk_mode);
  }
  if (told) ask_nothing();
  polling_ = false;
  if (output_bytes_ > unsent && !broken && !ended) {  // OpenSSL has answered something, a renegotiation with "no"
    answering_ = true;
    pump();
  }
  return told;
}

bool SecureChannel::poll_input(Channel&) { return poll(false); }

bool SecureChannel::poll_bulk(Channel&, size_t) { return poll(true); }

void SecureChannel::input_came() {
  if (polling_) return;
  if (reader == nullptr || reader->linked()) return ask_nothing();  // it stays below, as it came
  if (poll(wants_bulk)) loop.wake_reader(*this);
}

void SecureChannel::peer_departed() {
  // Nobody reads: whether the end was an orderly one stands in what came before it.
  if (!polling_ && reader == nullptr && stash.view().size() < read_at_once) decipher(false);
  if (inner_.broken) broken = true;
  loop.announce_departure(*this);
}

void SecureChannel::shutdown_read(Channel&) {
  if (ended || broken) return;
  ended = true;
  loop.wake_reader(*this);
  loop.announce_departure(*this);
}

// ---- Writing ----

// Up to 64 KiB of what is to be sent; false: it cannot be sent.
bool SecureChannel::encipher() {
  size_t left = std::min(write_at_once, sending->pieces[0].size() + sending->pieces[1].size());
  size_t room = output_bytes_ + left + (left / record_bytes + 2) * record_overhead;
  if (output_.size() < room) {
    Bytes larger = Bytes::uninitialized(room);
    if (output_bytes_ > 0) std::memcpy(larger.writable(), output_.data(), output_bytes_);
    output_ = std::move(larger);
  }
  for (Bytes& piece : sending->pieces) {
    while (left > 0 && !piece.empty()) {
      size_t written = 0;
      ERR_clear_error();
      if (SSL_write_ex(ssl_, piece.data(), std::min({left, piece.size(), record_bytes}), &written) != 1) return false;
      piece.remove_prefix(written);
      left -= written;
    }
  }
  return true;
}

void SecureChannel::fail_send() {
  send_broken = true;
  if (sending != nullptr) loop.finish_send(*this, true);
}

void SecureChannel::pump() {
  if (pumping_) return;  // a send below ended at once: the loop goes on
  pumping_ = true;
  while (inner_.sending == nullptr) {
    if (inner_.send_broken) {
      fail_send();
      break;
    }
    bool more = sending != nullptr && !(sending->pieces[0].empty() && sending->pieces[1].empty());
    if (more && !encipher()) {
      fail_send();
      break;
    }
    if (!more && closing_ && !closed_) {
      closed_ = true;
      ERR_clear_error();
      SSL_shutdown(ssl_);
      if (has_output()) continue;
    }
    bool due = more || sending != nullptr || closing_ || answering_;  // session tickets wait for company
    if (has_output() && due) {
      answering_ = false;
      inner_.sending = new Sending{.pieces = {take_output(), {}}};
      inner_.transport.start_send(inner_);
      continue;
    }
    if (sending != nullptr) {
      loop.finish_send(*this, false);
      if (closing_) continue;
    }
    if (std::exchange(closing_, false)) {
      inner_.transport.shutdown_write(inner_);
      send_broken = true;
    }
    break;
  }
  pumping_ = false;
}

void SecureChannel::start_send(Channel&) { pump(); }

void SecureChannel::output_gone() { pump(); }

void SecureChannel::shutdown_write(Channel&) {
  if (closed_ || send_broken) return;
  closing_ = true;
  pump();
}

void SecureChannel::end_with_reset(Channel&) {
  resets_ = true;
  inner_.transport.end_with_reset(inner_);
}

void SecureChannel::release(Channel&) {
  reader = writer = nullptr;
  // A message that is cut off here must not end like a whole one.
  bool whole = sending == nullptr && inner_.sending == nullptr && !resets_ && !inner_.broken && !inner_.send_broken;
  if (whole) {
    ERR_clear_error();
    if (!broken && !closed_) SSL_shutdown(ssl_);
    if (has_output()) inner_.transport.send_now(inner_, take_output());  // close_notify, or the alert that says what was wrong
  }
  inner_.above = nullptr;
  ask_nothing();
  inner_.transport.release(inner_);
  delete this;
}

}  // namespace portloom::io
