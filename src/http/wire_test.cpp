// The wire tables of tests/wire: every case is read whole, one byte at a time and in sevens, and must mean the same. A table says
//   == name of the case        (R7 letters of the field notes in brackets)
//   ~ HEAD                     for responses: what was asked
//   > bytes with \r \n \t \0 \xHH \\ and {N*x} for N times x
//   = meaning of a message, or "error CODE", or "incomplete", or "waits ..." for a body that is not whole
//   + Name: value              all fields of the message above, if any is listed
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "http/stream_for_tests.h"

namespace portloom::http {

namespace {

struct WireCase {
  std::string file;
  std::string name;
  Method asked = Method::GET;
  std::string bytes;
  std::vector<ReadMessage> due;
};

std::string unescape(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{' && i + 1 < text.size() && is_digit(text[i + 1])) {
      size_t star = text.find('*', i);
      size_t close = text.find('}', star);
      std::string unit = unescape(text.substr(star + 1, close - star - 1));
      for (uint64_t n = parse_number(text.substr(i + 1, star - i - 1)).value(); n > 0; --n) bytes.append(unit);
      i = close;
    } else if (text[i] == '\\') {
      char c = text[++i];
      if (c == 'x') {
        bytes.push_back(static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2])));
        i += 2;
      } else {
        bytes.push_back(c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? '\0' : c);
      }
    } else {
      bytes.push_back(text[i]);
    }
  }
  return bytes;
}

std::vector<WireCase> load(const std::string& file) {
  std::vector<WireCase> cases;
  std::ifstream table(std::filesystem::path(WIRE_FOLDER) / file);
  for (std::string line; std::getline(table, line);) {
    std::string_view rest = line;
    if (rest.size() < 2 || rest.starts_with('#')) continue;
    rest.remove_prefix(rest.starts_with("== ") ? 3 : 2);
    switch (line[0]) {
      case '=':
        if (line[1] == '=')
          cases.push_back({file, std::string(rest), Method::GET, {}, {}});
        else
          cases.back().due.push_back({unescape(rest), {}});
        break;
      case '~': cases.back().asked = method_of(rest); break;
      case '>': cases.back().bytes.append(unescape(rest)); break;
      case '+': cases.back().due.back().fields.push_back(std::string(rest)); break;
      default: ADD_FAILURE() << file << ": " << line;
    }
  }
  return cases;
}

// `request` by the file's name.
std::vector<ReadMessage> meaning_of(const WireCase& wire, size_t piece) {
  TestStream stream;
  stream.request = wire.file.starts_with("request");
  stream.asked = wire.asked;
  stream.read(wire.bytes, piece);
  std::vector<ReadMessage> found = stream.messages;
  if (stream.failed)
    found.push_back({"error " + std::string(name_of(stream.error.code)), {}});
  else if (stream.head_is_incomplete())
    found.push_back({"incomplete", {}});
  else if (stream.body_is_incomplete() || stream.reads_until_close())
    found.push_back({"waits " + stream.unfinished().meaning, stream.unfinished().fields});
  return found;
}

void expect_all(const std::string& file, size_t at_least) {
  std::vector<WireCase> cases = load(file);
  EXPECT_GE(cases.size(), at_least) << "the table is not whole";
  for (const WireCase& wire : cases) {
    for (size_t piece : {size_t{0}, size_t{1}, size_t{7}}) {
      if (piece == 1 && wire.bytes.size() > 20000) continue;  // limits: the sevens do
      SCOPED_TRACE(wire.name + ", pieces of " + std::to_string(piece));
      std::vector<ReadMessage> found = meaning_of(wire, piece);
      ASSERT_EQ(found.size(), wire.due.size()) << (found.empty() ? "nothing" : found.back().meaning);
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].meaning, wire.due[i].meaning);
        if (!wire.due[i].fields.empty()) EXPECT_EQ(found[i].fields, wire.due[i].fields);
      }
    }
  }
}

}  // namespace

TEST(Wire, Requests) { expect_all("requests.txt", 90); }
TEST(Wire, Responses) { expect_all("responses.txt", 35); }

}  // namespace portloom::http
