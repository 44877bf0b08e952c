// Public vectors of HTTP/1 byte streams, read whole and byte by byte. Where PORTLOOM_VECTORS is not set the test is skipped.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <span>
#include <sstream>

#include "base/text.h"
#include "http/stream_for_tests.h"

namespace portloom::http {

namespace {

struct Vector {
  std::string name, type, bytes, outcome;
  size_t completed = 0;
};

// Where we differ, by name and bytes' beginning, each with its reason.
struct Exception {
  const char* name;
  const char* begins;  // of the bytes; tells cases of one name apart
  const char* reason;
};
constexpr Exception stricter[] = {
    {"M-SEARCH request", "M-SEARCH *", "RFC 9112 §3.2.4: asterisk-form is for OPTIONS only"},
    {"OPTIONS request with RTSP", "OPTIONS", "RFC 9112 §2.3: the protocol is named HTTP"},
    {"HTTP 304 with Content-Length", "HTTP/1.1 304", "RFC 9112 §2.2: an empty line is skipped before a request line, not a status line"},
    {"HTTP 100 first, then 400", "HTTP/1.1 100", "RFC 9112 §2.2: an empty line is skipped before a request line, not a status line"},
    {"Should parse multiple events", "HTTP/1.1 200", "RFC 9112 §2.2: as above"},
    {"ICE response", "ICE/1.1", "RFC 9112 §2.3: the protocol is named HTTP"},
    {"HTTP version 0.9", "HTTP/0.9", "RFC 9112 §2.3: HTTP/0.9 has no status line"},
    {"`chunked` before other transfer-encoding", "HTTP/1.1 200",
     "RFC 9112 §6.1: a coding that we cannot take off must not be passed on unlabelled"},
    {"multiple transfer-encoding where chunked is not the last one", "HTTP/1.1 200", "RFC 9112 §6.1: as above"},
};
constexpr Exception laxer[] = {
    {"HTTP protocol and ANNOUNCE method", "ANNOUNCE", "RFC 9110 §9.1: any token is a method; the suite's parser knows a closed list"},
    {"Invalid method", "MKCOLA", "RFC 9110 §9.1: any token is a method; the suite's parser knows a closed list"},
};
// Answers to requests that the suite's parser was told to be without body.
constexpr Exception to_head[] = {
    {"Content-Length reset when no body is received", "HTTP/1.1 200", "an answer to HEAD"},
};

const Exception* listed(std::span<const Exception> list, const Vector& vector) {
  for (const Exception& one : list)
    if (vector.name.find(one.name) != std::string::npos && vector.bytes.starts_with(one.begins)) return &one;
  return nullptr;
}

// As much JSON as the file has: an array of flat objects; nested arrays are skipped.
class Reader {
 public:
  explicit Reader(std::string text) : text_(std::move(text)) {}
  std::vector<Vector> all() {
    std::vector<Vector> vectors;
    while (find('{')) vectors.push_back(object());
    return vectors;
  }

 private:
  bool find(char c) {
    at_ = text_.find(c, at_);
    if (at_ == std::string::npos) return false;
    ++at_;
    return true;
  }
  void space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n,:").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  std::string string() {
    std::string value;
    for (++at_; text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;  // names only: no escapes that matter
      value.push_back(text_[at_]);
    }
    ++at_;
    return value;
  }
  std::string value() {
    space();
    if (text_[at_] == '"') return string();
    if (text_[at_] == '[') {
      for (++at_, space(); text_[at_] != ']'; space()) value();
      ++at_;
      return {};
    }
    size_t start = at_;
    while (std::string_view(",]} \n").find(text_[at_]) == std::string_view::npos) ++at_;
    return text_.substr(start, at_ - start);
  }
  static std::string base64(std::string_view text) {
    std::string bytes;
    uint32_t bits = 0;
    int count = 0;
    for (char c : text) {
      size_t value = std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").find(c);
      if (value == std::string_view::npos) break;
      bits = bits << 6 | static_cast<uint32_t>(value);
      if ((count += 6) >= 8) bytes.push_back(static_cast<char>(bits >> (count -= 8) & 0xff));
    }
    return bytes;
  }
  Vector object() {
    std::map<std::string, std::string> members;
    for (space(); text_[at_] != '}'; space()) {
      std::string key = value();
      members[key] = value();
    }
    return {members["name"], members["type"], base64(members["bytes_base64"]), members["strict_outcome"],
            static_cast<size_t>(parse_number(members["messages_completed"]).value_or(0))};
  }

  std::string text_;
  size_t at_ = 0;
};

void expect(const Vector& vector, size_t piece) {
  SCOPED_TRACE(vector.name + (piece == 1 ? ", byte by byte" : ", whole"));
  TestStream stream;
  stream.request = vector.type == "request";
  stream.check_host = false;  // the cases speak of the parser, one level below
  if (listed(to_head, vector)) stream.asked = Method::HEAD;
  stream.read(vector.bytes, piece);
  // At the end of the stream a head that is not whole is a fault.
  bool refused = stream.failed || stream.head_is_incomplete();
  bool due = vector.outcome == "error";
  if (listed(stricter, vector)) {
    EXPECT_TRUE(stream.failed) << "the exception is not needed";
  } else if (listed(laxer, vector)) {
    EXPECT_FALSE(refused) << "the exception is not needed";
  } else {
    EXPECT_EQ(refused, due) << (stream.failed ? stream.error.detail : "");
    if (!due) EXPECT_EQ(stream.messages.size(), vector.completed);
  }
}

}  // namespace

TEST(Vectors, Http1MessagesMeanWhatTheSuiteSays) {
  const char* folder = std::getenv("PORTLOOM_VECTORS");
  if (folder == nullptr) GTEST_SKIP() << "PORTLOOM_VECTORS is not set";
  std::ifstream file(std::string(folder) + "/http1/messages.json");
  std::stringstream text;
  text << file.rdbuf();
  std::vector<Vector> vectors = Reader(text.str()).all();
  ASSERT_GE(vectors.size(), 50U);
  for (const Vector& vector : vectors)
    for (size_t piece : {size_t{0}, size_t{1}}) expect(vector, piece);
}

}  // namespace portloom::http
