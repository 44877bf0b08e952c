// Tests of server: HTTP/2 frames out of place, over size and after the end; heads that break the rules of RFC 9113 §8.
#include <gtest/gtest.h>

#include "testing/exchanges.h"
#include "testing/http2_frames.h"

namespace portloom::server {
namespace {

using namespace testing;       // NOLINT: the bench, its fixtures and its texts
using namespace testing::raw;  // NOLINT: frames

class Frames : public Single {
 protected:
  Wire& wire = bench.client();
  // Whether a frame of this kind with this error code is heard.
  bool hears(uint8_t type, uint32_t stream, int64_t error) {
    return bench.until([&] {
      std::vector<Heard> frames = frames_of(wire.heard);
      const Heard* found = last_of(frames, type, stream);
      return found != nullptr && found->error() == error;
    });
  }
  // Whether the stream's answer comes and says "hello".
  bool answers(uint32_t stream) {
    return bench.until([&] {
      std::string text;
      for (const Heard& one : frames_of(wire.heard))
        if (one.type == body && one.stream == stream) text += one.payload;
      return text == "hello";
    });
  }
  std::string what_was_heard() {
    std::string text;
    for (const Heard& one : frames_of(wire.heard))
      text += "type " + std::to_string(one.type) + " stream " + std::to_string(one.stream) + " error " + std::to_string(one.error()) + "\n";
    return text;
  }
  void TearDown() override {
    wire.close();
    Single::TearDown();
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Frames, modes);

enum Error : uint8_t {
  no_error,
  protocol_error,
  internal_error,
  flow_control_error,
  settings_timeout,
  stream_closed,
  frame_size_error,
  refused_stream,
  cancel,
  compression_error
};

TEST_P(Frames, ConnectionEndsAtWhatCannotBe) {
  struct Case {
    const char* name;
    std::string bytes;
    Error error;
  };
  const std::string open = frame(headers, end_headers, 1, get_block());  // a request whose body is still to come
  for (const Case& one : {
           Case{"DATA on stream 0", frame(body, 0, 0, "x"), protocol_error},
           Case{"DATA on an idle stream", frame(body, 0, 5, "x"), protocol_error},
           Case{"HEADERS on stream 0", frame(headers, end_headers, 0, get_block()), protocol_error},
           Case{"HEADERS on an even stream", frame(headers, end_headers, 2, get_block()), protocol_error},
           Case{"HEADERS with padding over its size", frame(headers, end_headers | padded, 1, "\xff" + get_block()), protocol_error},
           Case{"HEADERS that HPACK cannot read", frame(headers, end_headers | end_stream, 1, "\xff\xff\xff\xff\xff\xff"),
                compression_error},
           Case{"CONTINUATION of nothing", frame(continuation, end_headers, 1, get_block()), protocol_error},
           Case{"PING inside a head", frame(headers, 0, 1, get_block()) + frame(ping, 0, 0, "12345678"), protocol_error},
           Case{"CONTINUATION of another head", frame(headers, 0, 1, get_block()) + frame(continuation, 4, 3, ""), protocol_error},
           Case{"RST_STREAM of an idle stream", frame(rst_stream, 0, 7, number(8, 4)), protocol_error},
           Case{"RST_STREAM on stream 0", frame(rst_stream, 0, 0, number(8, 4)), protocol_error},
           Case{"RST_STREAM of another size", open + frame(rst_stream, 0, 1, "abc"), frame_size_error},
           Case{"SETTINGS on a stream", frame(settings, 0, 1), protocol_error},
           Case{"SETTINGS of another size", frame(settings, 0, 0, "12345"), frame_size_error},
           Case{"SETTINGS ACK that says something", frame(settings, ack, 0, setting(3, 1)), frame_size_error},
           Case{"ENABLE_PUSH 2", frame(settings, 0, 0, setting(2, 2)), protocol_error},
           Case{"INITIAL_WINDOW_SIZE over its bound", frame(settings, 0, 0, setting(4, 0x80000000U)), flow_control_error},
           Case{"MAX_FRAME_SIZE below its bound", frame(settings, 0, 0, setting(5, 1)), protocol_error},
           Case{"PUSH_PROMISE", open + frame(push_promise, end_headers, 1, number(2, 4) + get_block()), protocol_error},
           Case{"PING of another size", frame(ping, 0, 0, "1234567"), frame_size_error},
           Case{"PING on a stream", frame(ping, 0, 1, "12345678"), protocol_error},
           Case{"GOAWAY on a stream", frame(goaway, 0, 1, number(0, 8)), protocol_error},
           Case{"GOAWAY too short", frame(goaway, 0, 0, "1234567"), frame_size_error},
           Case{"WINDOW_UPDATE of nothing", frame(window_update, 0, 0, number(0, 4)), protocol_error},
           Case{"WINDOW_UPDATE too large", frame(window_update, 0, 0, number(0x7fffffff, 4)), flow_control_error},
           Case{"WINDOW_UPDATE of another size", frame(window_update, 0, 0, "abc"), frame_size_error},
           Case{"WINDOW_UPDATE of an idle stream", frame(window_update, 0, 9, number(1, 4)), protocol_error},
           Case{"a frame over its bound", open + frame(body, 0, 1, std::string(16'385, 'x')), frame_size_error},
       }) {
    SCOPED_TRACE(one.name);
    Wire& client = bench.client(hello() + one.bytes);
    // nghttp2 1.52 counts a frame header that comes in pieces in place of a CONTINUATION as several.
    bool calm = GetParam().bytewise && one.bytes.find(frame(headers, 0, 1, get_block())) == 0;
    EXPECT_TRUE(bench.until([&] {
      std::vector<Heard> frames = frames_of(client.heard);
      const Heard* last = last_of(frames, goaway, 0);
      return last != nullptr && (last->error() == one.error || calm);
    })) << "heard "
        << frames_of(client.heard).size() << " frames, error "
        << (last_of(frames_of(client.heard), goaway, 0) ? last_of(frames_of(client.heard), goaway, 0)->error() : -1);
    EXPECT_TRUE(bench.is_over(client));
    client.close();
  }
}

TEST_P(Frames, WhatIsNoPrefaceEndsTheConnection) {
  Wire& client = bench.client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(ping, 0, 0, "12345678"));
  EXPECT_TRUE(bench.is_over(client));
  const std::vector<Heard> frames = frames_of(client.heard);
  ASSERT_NE(last_of(frames, goaway, 0), nullptr);
  EXPECT_EQ(last_of(frames, goaway, 0)->error(), protocol_error);
  client.close();
}

TEST_P(Frames, UnknownFramesAndSettingsPass) {
  wire.say(hello(setting(0x7777, 1)) + frame(0x77, 0xff, 0, "what") + frame(0x78, 0, 5, "ever") + request(1));
  bench.origin().say(small_answer);
  EXPECT_TRUE(answers(1)) << what_was_heard();
}

TEST_P(Frames, DataAfterTheEndResetsItsStream) {
  wire.say(hello() + request(1) + frame(body, 0, 1, "more"));
  EXPECT_TRUE(hears(rst_stream, 1, stream_closed) || hears(goaway, 0, stream_closed)) << what_was_heard();
}

TEST_P(Frames, PrioritiesAreHarmless) {
  std::string block = get_block("/", {{"priority", "u=0, i"}});
  wire.say(hello() + frame(priority, 0, 1, number(0, 4) + "\x10") + frame(0x10, 0, 0, number(1, 4) + "u=1") +
           frame(headers, end_stream | end_headers | with_priority, 1, number(0, 4) + "\xff" + block));
  Wire& upstream = bench.origin();
  EXPECT_TRUE(upstream.has("priority: u=0, i\r\n")) << upstream.heard;
  upstream.say(small_answer);
  EXPECT_TRUE(answers(1)) << what_was_heard();
}

// ---- Heads ----

struct Bad {
  const char* name;
  Fields fields;
};
const Fields usual = {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop"}, {":path", "/"}};
Fields with(std::pair<std::string_view, std::string_view> more) {
  Fields fields = usual;
  fields.push_back(more);
  return fields;
}

TEST_P(Frames, MalformedHeadsAreAnsweredResetAndRecorded) {
  const std::vector<Bad> all = {
      {"upper-case name", with({"X-A", "b"})},
      {"line break in a value", with({"x-a", "b\r\nx-b: c"})},
      {"line break in a name", with({"x-a\r\nx-b", "c"})},
      {"colon in a name", with({"x-a:", "c"})},
      {"empty name", with({"", "c"})},
      {"connection", with({"connection", "close"})},
      {"keep-alive", with({"keep-alive", "1"})},
      {"transfer-encoding", with({"transfer-encoding", "chunked"})},
      {"upgrade", with({"upgrade", "websocket"})},
      {"te", with({"te", "gzip"})},
      {"space before a value", with({"x-a", " b"})},
      {"unknown pseudo-header field", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "shop"}, {":what", "x"}}},
      {":status", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "shop"}, {":status", "200"}}},
      {"pseudo-header field behind others",
       {{":method", "GET"}, {":scheme", "http"}, {"x-a", "b"}, {":path", "/"}, {":authority", "shop"}}},
      {"no :method", {{":scheme", "http"}, {":path", "/"}, {":authority", "shop"}}},
      {"no :scheme", {{":method", "GET"}, {":path", "/"}, {":authority", "shop"}}},
      {"no :path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop"}}},
      {"empty :path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop"}, {":path", ""}}},
      {"space in :path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop"}, {":path", "/a b"}}},
      {"line break in :path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop"}, {":path", "/ HTTP/1.1\r\nx: y"}}},
      {":path twice", {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop"}, {":path", "/"}, {":path", "/b"}}},
      {"space in :method", {{":method", "GET /x"}, {":scheme", "http"}, {":authority", "shop"}, {":path", "/"}}},
      {"no :authority", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}}},
      {"userinfo in :authority", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a@shop"}, {":path", "/"}}},
      {"another Host", with({"host", "other"})},
      {"unknown :scheme", {{":method", "GET"}, {":scheme", "ftp"}, {":authority", "shop"}, {":path", "/"}}},
      {"CONNECT with a path", {{":method", "CONNECT"}, {":authority", "shop:1"}, {":path", "/"}}},
      {":protocol without CONNECT", with({":protocol", "websocket"})},
      {"Content-Length of no number", with({"content-length", "1x"})},
      {"Content-Length without a body", with({"content-length", "1"})},
  };
  wire.say(hello());
  uint32_t stream = 1;
  for (const Bad& one : all) {
    SCOPED_TRACE(one.name);
    size_t before = bench.accounts.list.size();
    wire.say(frame(headers, end_stream | end_headers, stream, block(one.fields)));
    EXPECT_TRUE(hears(rst_stream, stream, protocol_error)) << what_was_heard();
    EXPECT_NE(last_of(frames_of(wire.heard), headers, stream), nullptr);
    ASSERT_EQ(bench.accounts.list.size(), before + 1);
    EXPECT_EQ(bench.accounts.list.back().status, 400);
    stream += 2;
  }
  EXPECT_EQ(bench.origins[0]->count(), 0u);
  wire.say(request(stream));  // the connection lives
  bench.origin().say(small_answer);
  EXPECT_TRUE(answers(stream));
}

TEST_P(Frames, BodyThatIsNotAsLongAsItSaysIsReset) {
  wire.say(hello());
  uint32_t stream = 1;
  for (auto [first, second] : {std::pair{"xyz", "uvwt"}, {"x", "y"}}) {
    std::string block = get_block("/", {{"content-length", "5"}});
    wire.say(frame(headers, end_headers, stream, block) + frame(body, 0, stream, first));
    Wire& upstream = bench.origin(stream / 2, first);
    wire.say(frame(body, end_stream, stream, second));
    EXPECT_TRUE(hears(rst_stream, stream, protocol_error)) << what_was_heard();
    EXPECT_TRUE(bench.is_over(upstream));  // what is cut off does not look complete
    // Of bytes that come one by one, five may have gone on before a sixth was seen.
    EXPECT_FALSE(upstream.has(GetParam().bytewise ? "xyzuvw" : "xyzuv"));
    stream += 2;
  }
}

TEST_P(Frames, TrailersThatDoNotEndTheRequestReset) {
  wire.say(hello() + frame(headers, end_headers, 1, get_block()) + frame(body, 0, 1, "x"));
  Wire& upstream = bench.origin(0, "x");
  wire.say(frame(headers, end_headers, 1, field("x-a", "b")));
  EXPECT_TRUE(hears(rst_stream, 1, protocol_error)) << what_was_heard();
  EXPECT_TRUE(bench.is_over(upstream));
}

}  // namespace
}  // namespace portloom::server
