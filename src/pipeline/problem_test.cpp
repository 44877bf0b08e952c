// The problem table, what strangers and operators see, agreement with docs/errors.md; and what the Router answers without a route.
#include "pipeline/problem.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "pipeline/plan.h"

namespace portloom::pipeline {

namespace {

constexpr auto codes = static_cast<size_t>(Code::invalid) + 1;

struct World {
  Plan plan{nullptr};
  Peer peer;
  Exchange exchange{plan, peer};
  Record::Call call;
  Request request{exchange, call};
  World() {
    std::ranges::copy(std::string_view("r-1"), exchange.record.request_id.begin());
    exchange.record.request_id_size = 3;
  }
  Response rendered(Response response, bool internal) {
    render(response, exchange, internal);
    return response;
  }
};

std::string body_of(const Response& response) { return std::string(response.body.bytes().view()); }

std::string errors_page() {
  std::ifstream file(ERRORS_FILE);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Answer final : public Service {
 public:
  [[clang::coro_wrapper]] Task<Response> call(Request&) override { return ready(Response(204)); }
};

}  // namespace

TEST(Problem, StatusByCodeAndSide) {
  struct Row {
    Code code;
    Side side;
    uint16_t status;
  };
  for (Row row : {Row{Code::internal, Side::gateway, 500},
                  Row{Code::bad_request, Side::client, 400},
                  Row{Code::bad_request, Side::upstream, 502},
                  Row{Code::unsupported_version, Side::client, 505},
                  Row{Code::unsupported_coding, Side::client, 501},
                  Row{Code::unsupported_expectation, Side::client, 417},
                  Row{Code::target_too_long, Side::client, 414},
                  Row{Code::headers_too_large, Side::client, 431},
                  Row{Code::headers_too_large, Side::upstream, 502},
                  Row{Code::body_too_large, Side::client, 413},
                  Row{Code::body_too_large, Side::upstream, 502},
                  Row{Code::request_timeout, Side::client, 408},
                  Row{Code::unauthenticated, Side::client, 401},
                  Row{Code::forbidden, Side::client, 403},
                  Row{Code::not_found, Side::client, 404},
                  Row{Code::method_not_allowed, Side::client, 405},
                  Row{Code::misdirected, Side::client, 421},
                  Row{Code::rate_limited, Side::client, 429},
                  Row{Code::abnormal_usage, Side::client, 429},
                  Row{Code::reduced_capacity, Side::gateway, 503},
                  Row{Code::overloaded, Side::gateway, 503},
                  Row{Code::refused, Side::upstream, 502},
                  Row{Code::reset, Side::upstream, 502},
                  Row{Code::reset, Side::client, 499},
                  Row{Code::closed, Side::upstream, 502},
                  Row{Code::closed, Side::client, 499},
                  Row{Code::connect_timeout, Side::upstream, 504},
                  Row{Code::upstream_timeout, Side::upstream, 504},
                  Row{Code::upstream_protocol, Side::upstream, 502},
                  Row{Code::no_endpoint, Side::upstream, 503},
                  Row{Code::client_gone, Side::client, 499},
                  Row{Code::draining, Side::gateway, 503},
                  Row{Code::unavailable, Side::gateway, 503},
                  Row{Code::exhausted, Side::gateway, 503},
                  Row{Code::invalid, Side::client, 400},
                  Row{Code::invalid, Side::upstream, 502}})
    EXPECT_EQ(status_of(row.code, row.side), row.status) << name_of(row.code) << ' ' << name_of(row.side);
}

TEST(Problem, NoUpstreamFaultBlamesTheClient) {
  for (Code code : {Code::bad_request, Code::unsupported_version, Code::unsupported_coding, Code::headers_too_large, Code::body_too_large,
                    Code::request_timeout, Code::invalid})
    EXPECT_GE(status_of(code, Side::upstream), 502) << name_of(code);
}

TEST(Problem, StrangersSeeNoInnards) {
  World world;
  Route route{.index = 0, .name = "r", .methods = 0, .skip = {}, .config = "portloom.yaml:7"};
  world.exchange.route = &route;
  world.exchange.record.call.service = "orders";
  world.exchange.record.policy = "breaker";
  world.exchange.record.limit = "limits.pending";
  auto fault = [] { return deny(Code::refused, Side::upstream, "orders at 10.0.0.7:80 refused"); };
  Response response = world.rendered(fault(), false);
  EXPECT_EQ(response.status, 502);
  EXPECT_EQ(response.headers.find(http::Name::content_type), "application/problem+json");
  EXPECT_EQ(body_of(response), R"({"type":"errors.md#refused","title":"Service not reachable","status":502,)"
                               R"("detail":"The service could not be reached.","request_id":"r-1"})");
  EXPECT_EQ(response.body.length(), body_of(response).size());
  response = world.rendered(fault(), true);
  EXPECT_EQ(body_of(response), R"({"type":"errors.md#refused","title":"Service not reachable","status":502,)"
                               R"("detail":"orders at 10.0.0.7:80 refused","request_id":"r-1","blame":"upstream","reason":"refused",)"
                               R"("service":"orders","policy":"breaker","limit":"limits.pending","config":"portloom.yaml:7"})");
}

TEST(Problem, ClientsLearnWhatWasMalformedButNoLimit) {
  World world;
  auto told = [&](Code code, Side side, std::string detail, bool internal) {
    return body_of(world.rendered(deny(code, side, std::move(detail)), internal));
  };
  EXPECT_EQ(
      told(Code::bad_request, Side::client, "two \"Host\" fields", false),
      R"({"type":"errors.md#bad_request","title":"Malformed request","status":400,"detail":"two \"Host\" fields","request_id":"r-1"})");
  EXPECT_EQ(told(Code::body_too_large, Side::client, "over 1 MiB", false),
            R"({"type":"errors.md#body_too_large","title":"Content too large","status":413,)"
            R"("detail":"The request's content is larger than allowed.","request_id":"r-1"})");
  EXPECT_EQ(told(Code::bad_request, Side::upstream, "bad chunk", true),
            R"({"type":"errors.md#upstream_protocol","title":"Unusable answer","status":502,"detail":"bad chunk","request_id":"r-1",)"
            R"("blame":"upstream","reason":"bad_request"})");
}

TEST(Problem, StatusIsTheResponsesOwn) {  // RFC 9457 §3.1.2
  World world;
  Response response = world.rendered(fault_response(451, Error{Code::forbidden, Side::client, {}, ""}), false);
  EXPECT_NE(body_of(response).find("\"status\":451"), std::string::npos);
}

TEST(Problem, HeadersThatAreThereStay) {
  World world;
  Response response = world.rendered(deny(Code::overloaded, Side::gateway), false);
  EXPECT_EQ(response.headers.find(http::Name::retry_after), "1");
  Response slower = deny(Code::overloaded, Side::gateway);
  slower.headers.add(http::Name::retry_after, "30");
  slower.headers.add(http::Name::www_authenticate, "Bearer");
  render(slower, world.exchange, false);
  EXPECT_EQ(slower.headers.find(http::Name::retry_after), "30");
  EXPECT_EQ(slower.headers.count(http::Name::retry_after), 1u);
  EXPECT_EQ(slower.headers.find(http::Name::www_authenticate), "Bearer");
}

TEST(Problem, OtherResponsesAreLeftAlone) {
  World world;
  Response response = world.rendered(Response(503), true);
  EXPECT_TRUE(response.headers.empty());
  EXPECT_EQ(body_of(response), "");
}

TEST(Problem, FailedCallsAreListed) {
  World world;
  world.exchange.record.failed_services = "product,stock";
  Response response = world.rendered(deny(Code::upstream_timeout, Side::upstream), false);
  EXPECT_TRUE(body_of(response).ends_with(R"("request_id":"r-1","failedServices":["product","stock"]})")) << body_of(response);
}

TEST(Problem, NamesTheLineOfThePolicyBeforeTheRoutes) {
  World world;
  Route route{.index = 0, .name = "r", .methods = 0, .skip = {}, .config = "portloom.yaml:7"};
  world.exchange.route = &route;
  world.exchange.record.config = "portloom.yaml:3";
  std::string body = body_of(world.rendered(deny(Code::forbidden, Side::client), true));
  EXPECT_NE(body.find(R"("config":"portloom.yaml:3")"), std::string::npos) << body;
}

TEST(Problem, ASpentLimitHasTheTypeAndMembersOfTheDraft) {
  World world;
  world.exchange.record.violated_policies = "burst,day";
  EXPECT_EQ(body_of(world.rendered(deny(Code::rate_limited, Side::client), false)),
            R"({"type":"errors.md#quota-exceeded","title":"Too many requests","status":429,)"
            R"("detail":"The caller has used up its allowance for now.","request_id":"r-1","violated-policies":["burst","day"]})");
  EXPECT_EQ(problem_type(Code::abnormal_usage).type(), "abnormal-usage-detected");
  EXPECT_EQ(problem_type(Code::reduced_capacity).type(), "temporary-reduced-capacity");
}

TEST(Problem, EveryCodeHasItsSectionInTheDocument) {
  std::string page = errors_page();
  ASSERT_FALSE(page.empty());
  std::set<std::string_view> titles;
  for (size_t i = 0; i < codes; ++i) {
    const ProblemType& type = problem_type(static_cast<Code>(i));
    size_t begin = page.find("\n## " + std::string(type.type()) + "\n");
    ASSERT_NE(begin, std::string::npos) << type.type();
    std::string section = page.substr(begin, page.find("\n## ", begin + 1) - begin);
    std::string opening = "**" + std::to_string(type.status) + " · " + std::string(type.title) + ".** " + std::string(type.sentence);
    EXPECT_NE(section.find(opening), std::string::npos) << name_of(type.code) << " should begin with\n" << opening;
    EXPECT_TRUE(titles.insert(type.title).second) << type.title;
    for (std::string_view part : {"\n- *Who acts:* ", "\n- *What to do:* ", "\n- *Look at:* "})
      EXPECT_NE(section.find(part), std::string::npos) << type.type() << " lacks" << part;
  }
  size_t sections = 0;
  for (size_t at = page.find("\n## "); at != std::string::npos; at = page.find("\n## ", at + 1)) ++sections;
  EXPECT_EQ(sections, codes);
}

TEST(Router, HandsToTheRoutesDestination) {
  World world;
  Answer answer;
  world.plan.routes.push_back(&answer);
  Route route;
  world.exchange.route = &route;
  Router router;
  Task<Response> task = router.call(world.request);
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.take().status, 204);
}

TEST(Router, NotFound) {
  World world;
  Router router;
  Task<Response> task = router.call(world.request);
  ASSERT_TRUE(task.done());
  Response response = task.take();
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.fault->code, Code::not_found);
  EXPECT_FALSE(response.headers.contains(http::Name::allow));
}

TEST(Router, MethodNotAllowedSaysWhichAre) {
  World world;
  world.exchange.allowed_methods = 0b1'0000'0111;  // GET, HEAD, POST, PATCH
  Router router;
  Task<Response> task = router.call(world.request);
  ASSERT_TRUE(task.done());
  Response response = task.take();
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.find(http::Name::allow), "GET, HEAD, POST, PATCH");
}

}  // namespace portloom::pipeline
