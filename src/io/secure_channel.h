// io/secure_channel.h
//
// SecureChannel: a TLS connection as a channel that stands on another channel. OpenSSL works on memory of ours and never
// sees a descriptor, so every engine serves TLS. What the reader does not take stays enciphered below: that is the
// back-pressure. An idle one holds no buffer. Made by accept_tls and connect_tls (io/tls.h), used through io::Socket.
#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "io/channel.h"
#include "io/loop.h"

namespace portloom::io {

class SecureChannel final : public Channel, public Transport, public Layer {
 public:
  // Takes `ssl`. `inner` carries its bytes and stays the caller's until stand(). `context`: what callbacks of `ssl` use.
  SecureChannel(SSL* ssl, Channel& inner, std::shared_ptr<const void> context);
  ~SecureChannel() override;
  SecureChannel(const SecureChannel&) = delete;

  SSL* ssl() const { return ssl_; }
  // While the handshake runs: what OpenSSL wants to be sent.
  bool has_output() const { return output_bytes_ > 0; }
  Bytes take_output();
  // The handshake is over: what was read and written through `inner` goes through this from now on. What is still to be
  // sent rides with the first message.
  void stand();

  // Transport: `channel` is always this one.
  bool poll_input(Channel& channel) override;
  bool poll_bulk(Channel& channel, size_t bytes) override;
  void expect_bulk(Channel&) override { inner_.transport.expect_bulk(inner_); }
  void watch(Channel&) override { inner_.transport.watch(inner_); }
  void start_send(Channel& channel) override;
  uint64_t taken(Channel&) override { return inner_.transport.taken(inner_); }
  void shutdown_write(Channel& channel) override;
  void shutdown_read(Channel& channel) override;
  void send_now(Channel&, std::string_view) override {}
  void end_with_reset(Channel& channel) override;
  void release(Channel& channel) override;

  // Layer
  void input_came() override;
  void output_gone() override;
  void peer_departed() override;
  bool awaits_output() const override { return writer != nullptr || sending != nullptr || closing_; }

 private:
  static BIO_METHOD* method();
  static int read_cipher(BIO* bio, char* to, int size);
  static int write_cipher(BIO* bio, const char* from, int size);
  static long control(BIO* bio, int command, long number, void* pointer);
  static void note_message(int sent, int version, int kind, const void* bytes, size_t size, SSL* ssl, void* self);
  size_t take_cipher(char* to, size_t size);
  bool append_cipher(std::string_view bytes);

  // Plaintext of what came, and more of it from below while that is to be had at once. True: the reader has something to be told.
  bool poll(bool bulk_mode);
  bool decipher(bool bulk_mode);
  bool decipher_input();
  bool decipher_bulk();
  size_t held_below() const;
  void note_end_below();
  // One read; false: no more for now, and ended or broken says whether for ever.
  bool read_plain(char* to, size_t size, size_t& got);
  void ask_nothing() {
    inner_.reader = nullptr;
    inner_.wants_bulk = false;
  }

  // Enciphers and sends what is to be sent, until the channel below is busy or all has gone.
  void pump();
  bool encipher();
  void fail_send();

  Channel& inner_;
  SSL* ssl_;
  std::shared_ptr<const void> context_;
  ReadyNode marker_;  // the reader of `inner_` as its engine sees it; never made ready
  Bytes output_;      // enciphered; its size is the capacity
  uint32_t output_bytes_ = 0;
  uint8_t handshakes_ = 0;  // messages since the last plaintext
  bool flooded_ = false;
  bool polling_ = false;
  bool pumping_ = false;
  bool answering_ = false;
  bool closing_ = false;  // close_notify, then FIN, once all has gone
  bool closed_ = false;   // close_notify was written
  bool resets_ = false;
};

}  // namespace portloom::io
