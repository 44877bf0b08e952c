// Tests of the access log: the exact line, the ring, and the thread that writes it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "telemetry/access_log.h"
#include "telemetry/log_writer.h"
#include "telemetry/sinks.h"

namespace portloom::telemetry {
namespace {

pipeline::Record sample_record() {
  pipeline::Record record;
  record.time = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 1 / 31) + 23h + 59min + 58s + 7ms + 999us);
  std::string_view id = "0af7651916cd43dd8448eb211c80319c";
  std::copy(id.begin(), id.end(), record.request_id.begin());
  record.request_id_size = 32;
  record.client = "203.0.113.9";
  record.method = "GET";
  record.host = "shop.example";
  record.path = "/api/orders/7?full=1";
  record.listener = "edge";
  record.route = "GET /api/orders/{id}";
  record.route_index = 0;
  record.status = 200;
  record.bytes_in = 0;
  record.complete = true;
  record.bytes_out = 1024;
  record.duration = 12345678ns;
  record.call.service = "orders";
  record.call.endpoint = "10.0.0.1:8080";
  record.call.attempts = 1;
  record.call.answered = true;
  record.call.connect = 250us;
  record.call.first_byte = 11ms;
  return record;
}

std::string text_of(const LogRing& ring) {
  auto [first, second] = ring.readable();
  return std::string(first) + std::string(second);
}

TEST(AccessLog, TheLineIsTheContracts) {
  LogRing ring(65536);
  AccessLog log(ring);
  log.write(sample_record());
  EXPECT_EQ(text_of(ring),
            R"({"time":"2026-01-31T23:59:58.007Z","request_id":"0af7651916cd43dd8448eb211c80319c","client":"203.0.113.9","method":"GET",)"
            R"("host":"shop.example","path":"/api/orders/7?full=1","protocol":"HTTP/1.1","listener":"edge","route":"GET /api/orders/{id}",)"
            R"("service":"orders","endpoint":"10.0.0.1:8080","status":200,"blame":"","reason":"","bytes_in":0,"bytes_out":1024,)"
            R"("duration_ms":12.345,"queue_ms":0.000,"connect_ms":0.250,"first_byte_ms":11.000,"attempts":1,"degraded":false,)"
            R"("failed_services":[],"consumer":"","tenant":"","trace_id":"","policy":"","limit":"",)"
            R"("config":"","dry_run":""})"
            "\n");
}

TEST(AccessLog, EmptyRecordHasEveryKeyAndIsTheClientsDoing) {
  LogRing ring(65536);
  AccessLog log(ring);
  EXPECT_EQ(log.format(pipeline::Record()),
            R"({"time":"1970-01-01T00:00:00.000Z","request_id":"","client":"","method":"","host":"","path":"","protocol":"HTTP/1.1",)"
            R"("listener":"","route":"","service":"","endpoint":"","status":499,"blame":"client","reason":"client_gone","bytes_in":0,)"
            R"("bytes_out":0,"duration_ms":0.000,"queue_ms":0.000,"connect_ms":0.000,"first_byte_ms":0.000,"attempts":0,)"
            R"("degraded":false,"failed_services":[],"consumer":"","tenant":"","trace_id":"","policy":"","limit":"",)"
            R"("config":"","dry_run":""})"
            "\n");
}

TEST(AccessLog, FaultCallsAndFailedServices) {
  LogRing ring(65536);
  AccessLog log(ring);
  pipeline::Record record = sample_record();
  record.status = 504;
  record.fault = Error{Code::upstream_timeout, Side::upstream};
  record.degraded = true;
  record.failed_services = "reviews,similar";
  record.subcalls.push_back(std::make_unique<pipeline::Record::Call>());
  record.subcalls.back()->attempts = 2;
  std::string line(log.format(record));
  EXPECT_NE(line.find(R"("status":504,"blame":"upstream","reason":"upstream_timeout",)"), line.npos) << line;
  EXPECT_NE(line.find(R"("attempts":3,"degraded":true,"failed_services":["reviews","similar"],)"), line.npos) << line;
}

// Every byte at every offset of the eight that are looked at together.
TEST(AccessLog, BytesThatNeedItAreEscapedWhereverTheyStand) {
  LogRing ring(65536);
  AccessLog log(ring);
  for (size_t offset = 0; offset < 17; ++offset) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string path(17, 'a');
      path[offset] = static_cast<char>(byte);
      bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
      pipeline::Record record;
      record.path = path;
      std::string line(log.format(record));
      EXPECT_EQ(line.find("\"path\":\"" + path + "\"") != line.npos, plain) << offset << " " << byte;
    }
  }
  pipeline::Record record;
  record.path = "/\"\\\n\x01\xff\xc3\xa4";
  std::string line(log.format(record));
  EXPECT_NE(line.find(R"("path":"/\"\\\n\u0001)"
                      "\xef\xbf\xbd\xc3\xa4\""),
            line.npos)
      << line;
}

TEST(AccessLog, LongTextsAreCutAndFitWhateverTheyHold) {
  LogRing ring(1 << 20);
  AccessLog log(ring);
  pipeline::Record record;
  std::string huge(100000, '\x01');
  record.client = record.method = record.host = record.path = record.protocol = record.listener = record.route = huge;
  record.call.service = record.call.endpoint = huge;
  record.consumer = record.tenant = huge;
  record.failed_services = std::string(100000, ',');
  std::string line(log.format(record));
  std::string escaped;
  for (size_t i = 0; i < AccessLog::path_max; ++i) escaped += "\\u0001";
  EXPECT_NE(line.find("\"path\":\"" + escaped + "\""), line.npos);
}

TEST(AccessLog, TimeBeforeTheEpochAndNewSeconds) {
  LogRing ring(65536);
  AccessLog log(ring);
  pipeline::Record record;
  auto time_of = [&](WallTime time) {
    record.time = time;
    return std::string(log.format(record).substr(9, 24));
  };
  EXPECT_EQ(time_of(WallTime(-1ms)), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(time_of(WallTime(951782399999ms)), "2000-02-28T23:59:59.999Z");
  EXPECT_EQ(time_of(WallTime(951782400000ms)), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(time_of(WallTime(951782400001ms)), "2000-02-29T00:00:00.001Z");
}

size_t lines_of(AccessLog& log, LogRing& ring, const pipeline::Record& record, int count) {
  for (int i = 0; i < count; ++i) log.write(record);
  std::string text = text_of(ring);
  ring.release(text.size());
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(AccessLog, SamplesWhatWentWellApartFromWhatFailed) {
  LogRing ring(1 << 22);
  AccessLog log(ring, 7);
  config::AccessLog configured;
  configured.sample = {.ok = {0.1}, .failed = {1}};
  log.use(LogRules(configured));
  pipeline::Record good = sample_record();
  EXPECT_NEAR(static_cast<double>(lines_of(log, ring, good, 5000)), 500, 100);
  pipeline::Record denied = sample_record(), degraded = sample_record(), gone = sample_record(), cut = sample_record();
  denied.status = 404;
  degraded.degraded = true;
  gone.status = 0;
  cut.fault = Error{Code::reset, Side::upstream, Progress::body, {}};
  for (const pipeline::Record* failed : {&denied, &degraded, &gone, &cut}) EXPECT_EQ(lines_of(log, ring, *failed, 100), 100u);
  configured.sample = {.ok = {0}, .failed = {0}};
  log.use(LogRules(configured));
  EXPECT_EQ(lines_of(log, ring, good, 100) + lines_of(log, ring, denied, 100), 0u);
  EXPECT_EQ(ring.dropped(), 0u);  // what nobody asked for is not lost
}

TEST(AccessLog, NamedParametersAreNeverWritten) {
  LogRing ring(65536);
  AccessLog log(ring);
  config::AccessLog configured;
  configured.redact = {"headers.cookie", "query.token", "query.a key"};
  log.use(LogRules(configured));
  auto path_of = [&](std::string_view path) {
    pipeline::Record record = sample_record();
    record.path = path;
    std::string line(log.format(record));
    size_t begin = line.find("\"path\":\"") + 8;
    return line.substr(begin, line.find('"', begin) - begin);
  };
  EXPECT_EQ(path_of("/a?token=secret"), "/a?token=***");
  EXPECT_EQ(path_of("/a?x=1&token=secret&token=again&y=2"), "/a?x=1&token=***&token=***&y=2");
  EXPECT_EQ(path_of("/a?%74oken=secret&a+key=1&a%20key=22"), "/a?%74oken=***&a+key=***&a%20key=***");
  EXPECT_EQ(path_of("/a?token=&token&tokens=1&x=token"), "/a?token=&token&tokens=1&x=token");
  EXPECT_EQ(path_of("/token=1"), "/token=1");
  EXPECT_EQ(path_of("/a?b?token=1&token=s?&t"), "/a?b?token=1&token=***&t");
  std::string many = "/?";
  while (many.size() < 2 * AccessLog::path_max) many += "token=x&";
  std::string written = path_of(many);
  EXPECT_EQ(written.size(), AccessLog::path_max);
  EXPECT_EQ(written.find("=x"), written.npos);
  EXPECT_TRUE(path_of("/a?token=" + std::string(AccessLog::path_max, 's')) == "/a?token=***");
}

TEST(AccessLog, TheDefaultHidesWhatCarriesCredentials) {
  LogRing ring(65536);
  AccessLog log(ring);
  log.use(LogRules(config::AccessLog{}));
  pipeline::Record record = sample_record();
  record.path = "/a?access_token=secret&id=7";
  EXPECT_NE(log.format(record).find(R"("path":"/a?access_token=***&id=7")"), std::string_view::npos);
}

TEST(LogRing, WrapsAroundAndKeepsTheOrder) {
  LogRing ring(16);
  EXPECT_TRUE(ring.put("0123456789\n"));
  EXPECT_EQ(text_of(ring), "0123456789\n");
  ring.release(11);
  EXPECT_TRUE(ring.put("abcdefghi\n"));
  auto [first, second] = ring.readable();
  EXPECT_EQ(first, "abcde");
  EXPECT_EQ(second, "fghi\n");
  ring.release(10);
  EXPECT_EQ(text_of(ring), "");
}

TEST(LogRing, AFullRingDropsTheWholeLineAndCounts) {
  LogRing ring(16);
  EXPECT_TRUE(ring.put("0123456789\n"));
  EXPECT_FALSE(ring.put("abcdef\n"));
  EXPECT_TRUE(ring.put("abcd\n"));  // fits exactly
  EXPECT_EQ(text_of(ring), "0123456789\nabcd\n");
  EXPECT_EQ(ring.dropped(), 1u);
  EXPECT_FALSE(ring.put("a line that is longer than the ring\n"));
  EXPECT_EQ(ring.dropped(), 2u);
}

class LogFile : public testing::Test {
 protected:
  LogFile() : directory_(std::filesystem::temp_directory_path() / ("portloom_log_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(directory_);
  }
  ~LogFile() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ / name; }
  std::string read(const std::string& name) const {
    std::stringstream text;
    text << std::ifstream(path(name)).rdbuf();
    return text.str();
  }
  std::unique_ptr<LogWriter> open(const std::string& to, size_t workers, size_t ring_bytes = 4096) {
    auto writer = LogWriter::open(to, workers, ring_bytes);
    return writer ? std::move(*writer) : nullptr;
  }
  // Waits until `done`, which the writer's thread brings about.
  template <class Done>
  static bool eventually(Done done) {
    for (int i = 0; i < 5000 && !done(); ++i) std::this_thread::sleep_for(1ms);
    return done();
  }
  std::filesystem::path directory_;
};

TEST_F(LogFile, WritesAllRingsAndFlushesAtTheEnd) {
  auto writer = open(path("a.log"), 2);
  ASSERT_NE(writer, nullptr);
  writer->ring(0).put("one\n");
  writer->ring(1).put("two\n");
  writer->stop();
  EXPECT_EQ(read("a.log").size(), 8u);
  auto again = open(path("a.log"), 1);
  again->ring(0).put("three\n");
  again->stop();
  EXPECT_EQ(read("a.log").substr(8), "three\n");  // appended
}

TEST_F(LogFile, ReopensAfterARenameAndRedirects) {
  auto writer = open(path("a.log"), 1);
  writer->ring(0).put("one\n");
  ASSERT_TRUE(eventually([&] { return read("a.log") == "one\n"; }));
  std::filesystem::rename(path("a.log"), path("a.log.1"));
  writer->reopen();
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(path("a.log")); }));
  writer->ring(0).put("two\n");
  ASSERT_TRUE(eventually([&] { return read("a.log") == "two\n"; }));
  EXPECT_TRUE(writer->redirect(path("b.log")));
  writer->ring(0).put("three\n");
  writer->stop();
  EXPECT_EQ(read("a.log.1") + read("a.log") + read("b.log"), "one\ntwo\nthree\n");
  EXPECT_FALSE(writer->redirect(path("missing/c.log")));
  EXPECT_FALSE(LogWriter::open(path("missing/c.log"), 1));
  EXPECT_EQ(writer->dropped(), 0u);
}

TEST_F(LogFile, AFullDeviceCostsLinesAndIsCounted) {
  if (::access("/dev/full", W_OK) != 0) return;
  auto writer = open("/dev/full", 1);
  writer->ring(0).put("one\ntwo\n");
  writer->stop();
  EXPECT_EQ(writer->dropped(), 2u);
  std::string page;
  writer->write_metrics(page);
  EXPECT_NE(page.find("\nportloom_log_dropped_total 2\n"), page.npos);
  std::string json;
  writer->write_status(json);
  EXPECT_EQ(json, R"({"to":"/dev/full","dropped":2})");
}

TEST_F(LogFile, AReaderThatIsStuckCostsLinesAndDoesNotHoldUpTheEnd) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  int reader = ::open(path("pipe").c_str(), O_RDWR | O_NONBLOCK);
  int saved = ::dup(STDOUT_FILENO);
  int pipe = ::open(path("pipe").c_str(), O_WRONLY);
  ::dup2(pipe, STDOUT_FILENO);
  auto writer = open("stdout", 1, 1 << 20);
  ::dup2(saved, STDOUT_FILENO);
  std::string line(1023, 'x');
  line += '\n';
  for (int i = 0; i < 1000; ++i) writer->ring(0).put(line);
  Instant begun = SteadyClock::now();
  writer->stop();
  EXPECT_LT(SteadyClock::now() - begun, 10s);
  EXPECT_GT(writer->dropped(), 800u);  // a pipe holds 64 KiB
  ::close(pipe);
  ::close(saved);
  ::close(reader);
}

TEST_F(LogFile, APipeThatNobodyReadsIsAnErrorAndNoWait) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  auto opened = LogWriter::open(path("pipe"), 1);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().detail.find("nobody reads the pipe"), std::string::npos);
}

TEST_F(LogFile, AStuckReaderIsLeftForAnotherDestination) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  int reader = ::open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  auto writer = open(path("pipe"), 1, 1 << 20);
  ASSERT_NE(writer, nullptr);
  std::string line(1023, 'x');
  line += '\n';
  for (int i = 0; i < 600; ++i) writer->ring(0).put(line);
  ASSERT_TRUE(eventually([&] {
    int waiting = 0;
    return ::ioctl(reader, FIONREAD, &waiting) == 0 && waiting > 60'000;  // a pipe holds 64 KiB
  }));
  EXPECT_TRUE(writer->redirect(path("b.log")));
  ASSERT_TRUE(eventually([&] { return writer->ring(0).readable()[0].empty(); }));
  writer->ring(0).put("one\n");
  writer->stop();
  EXPECT_TRUE(read("b.log").ends_with("one\n"));
  EXPECT_GT(writer->dropped(), 0u);
  ::close(reader);
}

TEST_F(LogFile, ASocketWhoseReaderIsStuckHoldsNothingUp) {  // as a service manager's journal is
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  int saved = ::dup(STDOUT_FILENO);
  ::dup2(ends[0], STDOUT_FILENO);
  auto writer = open("stdout", 1, 1 << 21);
  std::string line(1023, 'x');
  line += '\n';
  for (int i = 0; i < 2000; ++i) writer->ring(0).put(line);
  Instant begun = SteadyClock::now();
  writer->stop();
  ::dup2(saved, STDOUT_FILENO);
  EXPECT_LT(SteadyClock::now() - begun, 10s);
  EXPECT_GT(writer->dropped(), 1000u);
  for (int descriptor : {ends[0], ends[1], saved}) ::close(descriptor);
}

TEST_F(LogFile, ManyLinesOfManyWorkersArriveWhole) {
  auto writer = open(path("a.log"), 2, 1 << 14);
  auto work = [&](size_t worker) {
    std::string line(99, static_cast<char>('a' + worker));
    line += '\n';
    for (int i = 0; i < 2000;) i += writer->ring(worker).put(line);
  };
  std::thread first(work, 0), second(work, 1);
  first.join();
  second.join();
  writer->stop();
  std::ifstream file(path("a.log"));
  size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) ASSERT_EQ(line, std::string(99, line[0]));
  EXPECT_EQ(lines, 4000u);
}

}  // namespace
}  // namespace portloom::telemetry
