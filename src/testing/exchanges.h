// testing/exchanges.h
//
// Exchanges, Single: fixtures for tests of whole exchanges on a Bench, under several seeds, whole and byte by byte.
#pragma once

#include "testing/bench.h"

namespace portloom::testing {

inline constexpr std::string_view get = "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n";
inline constexpr std::string_view small_answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

struct Mode {
  uint64_t seed;
  bool bytewise;
};
inline void PrintTo(const Mode& mode, std::ostream* out) { *out << "seed " << mode.seed << (mode.bytewise ? " byte by byte" : ""); }

class Exchanges : public ::testing::TestWithParam<Mode> {
 protected:
  Exchanges() { bench.loop.network.one_byte_at_a_time = GetParam().bytewise; }
  // Nothing is left behind: every lease came back.
  void TearDown() override {
    bench.drop_server();
    EXPECT_EQ(bench.active(), 0u);
  }
  void expect(const Account& account, uint16_t status, bool complete, std::optional<Code> fault = {}) {
    EXPECT_EQ(account.status, status);
    EXPECT_EQ(account.complete, complete);
    EXPECT_EQ(account.fault.has_value(), fault.has_value());
    if (account.fault && fault) {
      EXPECT_EQ(name_of(*account.fault), name_of(*fault));
    }
  }
  Bench bench{GetParam().seed, 2};
  // How `text` leaves the gateway when it came as one chunk.
  static std::string chunk(std::string_view text) {
    if (!GetParam().bytewise) return std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
    std::string chunks;
    for (char c : text) chunks += std::string("1\r\n") + c + "\r\n";
    return chunks;
  }
  // One endpoint unless a test wants two: the second refuses to be chosen by not being there.
  void one_origin() { bench.origins.resize(1); }
};
inline const auto modes = ::testing::Values(Mode{0, false}, Mode{1, false}, Mode{2, false}, Mode{3, false}, Mode{0, true}, Mode{4, true});

class Single : public Exchanges {
 protected:
  Single() { one_origin(); }
};
}  // namespace portloom::testing
