// Tests of addresses, of who is believed, and of what the next hop is told.
#include "http/forwarding.h"

#include <gtest/gtest.h>

namespace portloom::http {

namespace {

Address address(std::string_view text) { return Address::parse(text).value(); }
CidrSet trusted() { return CidrSet({Cidr::parse("10.0.0.0/8").value(), Cidr::parse("fd00::/8").value()}); }

std::string client_of(std::string_view x_forwarded_for, std::string_view peer = "10.0.0.1") {
  Headers headers;
  headers.add(Name::x_forwarded_for, x_forwarded_for);
  return believed_client(headers, address(peer), trusted()).text();
}

}  // namespace

TEST(Address, ReadsAndWrites) {
  for (const char* text : {"192.0.2.1", "2001:db8::1", "::", "::1"}) EXPECT_EQ(address(text).text(), text);
  EXPECT_EQ(address("::ffff:192.0.2.1").text(), "192.0.2.1");
  EXPECT_EQ(address("2001:DB8:0:0::1").text(), "2001:db8::1");
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "[::1]", "::1%eth0", "1.2.3.4:80", "unknown"})
    EXPECT_EQ(Address::parse(text), std::nullopt) << text;
}

TEST(Cidr, Contains) {
  EXPECT_TRUE(Cidr::parse("10.0.0.0/8")->contains(address("10.255.1.2")));
  EXPECT_FALSE(Cidr::parse("10.0.0.0/8")->contains(address("11.0.0.1")));
  EXPECT_TRUE(Cidr::parse("192.0.2.128/25")->contains(address("192.0.2.200")));
  EXPECT_FALSE(Cidr::parse("192.0.2.128/25")->contains(address("192.0.2.100")));
  EXPECT_TRUE(Cidr::parse("10.0.0.0/8")->contains(address("::ffff:10.1.1.1")));
  EXPECT_TRUE(Cidr::parse("0.0.0.0/0")->contains(address("1.2.3.4")));
  EXPECT_FALSE(Cidr::parse("0.0.0.0/0")->contains(address("::1")));
  EXPECT_TRUE(Cidr::parse("::/0")->contains(address("2001:db8::1")));
  EXPECT_FALSE(Cidr::parse("::/0")->contains(address("1.2.3.4")));
  EXPECT_TRUE(Cidr::parse("192.0.2.1")->contains(address("192.0.2.1")));
  EXPECT_FALSE(Cidr::parse("192.0.2.1")->contains(address("192.0.2.2")));
  for (const char* text : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "a/8", ""})
    EXPECT_EQ(Cidr::parse(text), std::nullopt) << text;
}

TEST(BelievedClient, TheRightmostUntrusted) {
  EXPECT_EQ(client_of("1.1.1.1, 2.2.2.2, 10.0.0.9"), "2.2.2.2");
  EXPECT_EQ(client_of("1.1.1.1, 2.2.2.2, 10.0.0.9", "3.3.3.3"), "3.3.3.3");  // an untrusted peer is the client
  EXPECT_EQ(client_of("10.0.0.8, 10.0.0.9"), "10.0.0.8");
  EXPECT_EQ(client_of("1.1.1.1, rubbish, 10.0.0.9"), "10.0.0.9");
  EXPECT_EQ(client_of("rubbish"), "10.0.0.1");
  EXPECT_EQ(client_of("1.1.1.1:4711"), "1.1.1.1");
  EXPECT_EQ(client_of("[2001:db8::1]:4711"), "2001:db8::1");
  EXPECT_EQ(client_of("2001:db8::1, fd00::2"), "2001:db8::1");
  EXPECT_EQ(client_of(""), "10.0.0.1");
}

TEST(BelievedClient, SeveralFieldsAreOneListAndForwardedServesToo) {
  Headers headers;
  headers.add(Name::x_forwarded_for, "1.1.1.1");
  headers.add(Name::x_forwarded_for, "10.0.0.9");
  EXPECT_EQ(believed_client(headers, address("10.0.0.1"), trusted()).text(), "1.1.1.1");
  Headers forwarded;
  forwarded.add(Name::forwarded, "for=9.9.9.9, proto=https;For=\"[2001:db8::7]:80\", for=10.0.0.9;by=x");
  EXPECT_EQ(believed_client(forwarded, address("10.0.0.1"), trusted()).text(), "2001:db8::7");
}

TEST(Forwarding, AnUntrustedPeersWordIsReplaced) {
  Headers headers;
  for (Name name :
       {Name::x_forwarded_for, Name::x_forwarded_proto, Name::x_forwarded_host, Name::x_forwarded_port, Name::x_real_ip, Name::forwarded})
    headers.add(name, "forged");
  write_forwarding(headers, {.peer = address("192.0.2.1"), .scheme = "https", .host = "a:8443", .forwarded = true});
  EXPECT_EQ(headers.size(), 4U);
  EXPECT_EQ(headers.find(Name::x_forwarded_for), "192.0.2.1");
  EXPECT_EQ(headers.find(Name::x_forwarded_proto), "https");
  EXPECT_EQ(headers.find(Name::x_forwarded_host), "a:8443");
  EXPECT_EQ(headers.find(Name::forwarded), "for=192.0.2.1;host=\"a:8443\";proto=https");
}

TEST(Forwarding, ATrustedPeersWordIsKept) {
  Headers headers;
  headers.add(Name::x_forwarded_for, "1.1.1.1");
  headers.add(Name::x_forwarded_for, "2.2.2.2");
  headers.add(Name::x_forwarded_proto, "https");
  headers.add(Name::forwarded, "for=1.1.1.1");
  write_forwarding(headers, {.peer = address("2001:db8::1"), .scheme = "http", .host = "a", .trusted = true, .forwarded = true});
  EXPECT_EQ(headers.count(Name::x_forwarded_for), 1U);
  EXPECT_EQ(headers.find(Name::x_forwarded_for), "1.1.1.1, 2.2.2.2, 2001:db8::1");
  EXPECT_EQ(headers.find(Name::x_forwarded_proto), "https");
  EXPECT_EQ(headers.find(Name::forwarded), "for=1.1.1.1, for=\"[2001:db8::1]\";host=a;proto=http");
}

TEST(Via, IsAppendedAndFound) {
  Headers headers;
  headers.add(Name::via, "1.0 fred, 1.1 p.example.net (Apache/1.1)");
  write_via(headers, "portloom", 1, 1);
  EXPECT_EQ(headers.find(Name::via), "1.0 fred, 1.1 p.example.net (Apache/1.1), 1.1 portloom");
  EXPECT_TRUE(via_contains(headers, "Portloom"));
  EXPECT_TRUE(via_contains(headers, "p.example.net"));
  EXPECT_FALSE(via_contains(headers, "port"));
  write_via(headers, "x", 2, 0);
  EXPECT_TRUE(headers.find(Name::via)->ends_with(", 2 x"));
}

TEST(MaxForwards, CountsDownToAnAnswer) {
  RequestHead head("TRACE", "/");
  EXPECT_EQ(count_down_max_forwards(head).value(), false);
  head.headers.add(Name::max_forwards, "1");
  EXPECT_EQ(count_down_max_forwards(head).value(), false);
  EXPECT_EQ(head.headers.find(Name::max_forwards), "0");
  EXPECT_EQ(count_down_max_forwards(head).value(), true);
  head.headers.set(Name::max_forwards, "x");
  EXPECT_EQ(count_down_max_forwards(head).error().code, Code::bad_request);
  RequestHead get("GET", "/");
  get.headers.add(Name::max_forwards, "0");
  EXPECT_EQ(count_down_max_forwards(get).value(), false);
}

}  // namespace portloom::http
