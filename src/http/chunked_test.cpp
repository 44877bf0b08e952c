// Tests of ChunkDecoder beyond the wire tables: slices are not copied, nothing behind the end is taken, sizes are written back.
#include "http/chunked.h"

#include <gtest/gtest.h>

namespace portloom::http {

TEST(ChunkDecoder, HandsOutSlicesOfItsInput) {
  std::string_view input = "5\r\nhello\r\n3;x\r\n wo\r\n0\r\n\r\nGET";
  std::string_view rest = input;
  ChunkDecoder decoder;
  std::string body;
  while (!decoder.done()) {
    ChunkDecoder::Step step = decoder.decode(rest);
    ASSERT_FALSE(decoder.failed());
    if (!step.data.empty()) {
      EXPECT_GE(step.data.data(), input.data());
      EXPECT_LT(step.data.data(), input.data() + input.size());
    }
    body.append(step.data);
    rest.remove_prefix(step.consumed);
  }
  EXPECT_EQ(body, "hello wo");
  EXPECT_EQ(rest, "GET") << "bytes of the next message were taken";
  EXPECT_EQ(decoder.decode(rest).consumed, 0U);
}

TEST(ChunkDecoder, SaysHowMuchOfAChunkIsLeft) {
  ChunkDecoder decoder;
  decoder.decode("10\r\n");
  EXPECT_EQ(decoder.chunk_left(), 16U);
  decoder.decode("abc");
  EXPECT_EQ(decoder.chunk_left(), 13U);
}

TEST(ChunkDecoder, ReadsWhatIsWritten) {
  for (uint64_t size : {uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{65536}, ChunkDecoder::size_max}) {
    char head[chunk_head_max];
    size_t count = write_chunk_head(head, size);
    ChunkDecoder decoder;
    EXPECT_EQ(decoder.decode({head, count}).consumed, count);
    EXPECT_EQ(decoder.chunk_left(), size);
  }
}

TEST(ChunkDecoder, TrailersInPieces) {
  ChunkDecoder decoder;
  for (char c : std::string_view("0\r\nA: b\r\nTransfer-Encoding: x\r\nC: d\r\n\r\n")) decoder.decode({&c, 1});
  ASSERT_TRUE(decoder.done());
  EXPECT_EQ(decoder.trailers().size(), 2U);
  EXPECT_EQ(decoder.trailers().find("c"), "d");
}

TEST(ChunkDecoder, TooManyTrailers) {
  ChunkDecoder decoder;
  decoder.decode("0\r\n");
  for (size_t i = 0; i <= ChunkDecoder::trailer_count_max; ++i) decoder.decode("A: b\r\n");
  EXPECT_TRUE(decoder.failed());
}

}  // namespace portloom::http
