# tests/e2e/bad_input_test.py
#
# What is malformed, too large, too slow or ambiguous, from clients and from services: the answer, its form, and what becomes
# of the connection.
import json
import time
import unittest

from gateway import GatewayTest, ok


class BadRequests(GatewayTest):
    """All over one gateway whose service counts what reaches it."""

    @classmethod
    def setUpClass(cls):
        from gateway import Gateway, Origin
        cls.origin_behind = Origin(lambda request: ok("reached"))
        cls.edge = Gateway(f"""
            version: 1
            limits: {{headers: 2KiB, uri: 512B, body: 1000B}}
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin, timeouts: {{headers: 300ms, body: 300ms}}}}}}
            services: {{origin: {{endpoints: ["{cls.origin_behind.address}"]}}}}
        """)

    @classmethod
    def tearDownClass(cls):
        cls.origin_behind.close()
        cls.edge.stop()

    def refused(self, text, status, reason=None):
        """The request is answered with that problem, never reaches the service, and the connection ends."""
        before = len(self.origin_behind.requests)
        client = self.client(self.edge)
        reply = client.ask(text)
        problem = self.assert_problem(reply, status, close=True)
        if reason:
            self.assertEqual(problem["reason"], reason)
        self.assertTrue(client.ended(), "the connection stays open")
        self.assertEqual(len(self.origin_behind.requests), before)
        return problem

    def test_malformed_heads(self):
        for text in ("hello\r\n\r\n",
                     "GET\r\n\r\n",
                     "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                     "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
                     "GET / HTTX/1.1\r\nHost: a\r\n\r\n",
                     "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
                     "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n",
                     "GET / HTTP/1.1\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
                     "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls hello\r\n\r\n"):
            with self.subTest(text):
                self.refused(text, 400, "bad_request")

    def test_bad_targets_are_answered(self):
        for target in ("/%zz", "/a%", "/a%00b", "/..;x/"):
            with self.subTest(target):
                self.assert_problem(self.client(self.edge).get(target), 400)

    def test_smuggling(self):
        smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        for fields, body in (("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
                             ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
                             ("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
                             ("Content-Length: 3, 4\r\n", "abc"),
                             ("Content-Length: +3\r\n", "abc"),
                             ("Content-Length: 3x\r\n", "abc"),
                             ("Content-Length: 0x3\r\n", "abc"),
                             ("Content-Length: -1\r\n", ""),
                             ("Content-Length: 99999999999999999999\r\n", ""),
                             ("Content-Length:\r\n", ""),
                             ("Content-Length : 3\r\n", "abc"),
                             ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
                             ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
                             ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
                             ("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
                             ("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
                             ("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
                             ("X: a\r\n folded\r\n", ""),
                             ("X: a\r\n\tfolded\r\n", "")):
            with self.subTest(fields):
                self.refused(f"POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}{smuggled}", 400, "bad_request")

    def test_bare_line_feeds(self):
        for text in ("GET / HTTP/1.1\nHost: a\n\n",
                     "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a\r\n\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"):
            with self.subTest(text):
                self.refused(text, 400, "bad_request")

    def test_transfer_encoding_in_http_1_0(self):
        self.refused("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request")

    def test_equal_lengths_count_as_one(self):
        reply = self.client(self.edge).ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.origin_behind.requests[-1].all("content-length"), ["3"])

    def test_bad_chunks(self):
        for body in ("x\r\nabc\r\n0\r\n\r\n",
                     "-3\r\nabc\r\n0\r\n\r\n",
                     "+3\r\nabc\r\n0\r\n\r\n",
                     "0x3\r\nabc\r\n0\r\n\r\n",
                     " 3\r\nabc\r\n0\r\n\r\n",
                     "3\nabc\r\n0\r\n\r\n",
                     "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n",
                     "10000000000000003\r\nabc\r\n0\r\n\r\n",
                     "3\r\nabcd\r\n0\r\n\r\n",
                     "3\r\nabc0\r\n\r\n",
                     "3;" + "e" * 20000 + "\r\nabc\r\n0\r\n\r\n",
                     "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n"):
            with self.subTest(body[:40]):
                client = self.client(self.edge)
                before = len(self.origin_behind.requests)
                reply = client.ask(f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
                self.assert_problem(reply, 400, close=True)
                self.assertTrue(client.ended())
                self.assertEqual(len(self.origin_behind.requests), before)

    def test_too_large(self):
        self.refused("GET /" + "a" * 600 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long")
        self.refused("GET /" + "a" * 100_000, 414, "target_too_long")
        self.refused("GET / HTTP/1.1\r\nHost: a\r\nX: " + "a" * 3000 + "\r\n\r\n", 431, "headers_too_large")
        self.refused("GET / HTTP/1.1\r\nHost: a\r\nX: " + "a" * 100_000, 431, "headers_too_large")
        self.refused("GET / HTTP/1.1\r\nHost: a\r\n" + "x:\r\n" * 600 + "\r\n", 431, "headers_too_large")
        self.refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + "x" * 1001, 413, "body_too_large")
        self.refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n", 413, "body_too_large")

    def test_too_large_while_it_comes(self):
        client = self.client(self.edge)
        chunk = "1f4\r\n" + "x" * 500 + "\r\n"
        reply = client.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 3 + "0\r\n\r\n")
        self.assert_problem(reply, 413, close=True)
        self.assertTrue(client.ended())

    def test_unsupported(self):
        for version in ("2.0", "1.2", "3.0", "0.9"):
            with self.subTest(version):
                self.refused(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n", 505, "unsupported_version")
        self.refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "unsupported_coding")
        self.refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: miracles\r\n\r\nx", 417, "unsupported_expectation")

    def test_connect_is_not_served(self):
        reply = self.client(self.edge).ask("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        self.assert_problem(reply, 405)

    def test_slow_head(self):
        client = self.client(self.edge)
        client.send("GET / HT")
        time.sleep(0.15)
        client.send("TP/1.1\r\nHost: a\r\nX: ")
        reply = client.reply()
        self.assert_problem(reply, 408, close=True)
        self.assertTrue(client.ended())

    def test_head_that_trickles_for_ever(self):
        client = self.client(self.edge)
        client.send("GET / HTTP/1.1\r\n")
        end = time.monotonic() + 10
        client.socket.settimeout(0.05)
        while time.monotonic() < end:
            try:
                client.send("X: y\r\n")
                client.more()
                break
            except TimeoutError:
                pass
        client.socket.settimeout(10)
        self.assert_problem(client.reply(), 408, close=True)

    def test_slow_body(self):
        for framing in ("Content-Length: 10", "Transfer-Encoding: chunked"):
            with self.subTest(framing):
                client = self.client(self.edge)
                reply = client.ask(f"POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n3\r\nab")
                self.assert_problem(reply, 408, close=True)
                self.assertTrue(client.ended())

    def test_silent_client_is_not_answered(self):
        client = self.client(self.edge)
        client.socket.settimeout(0.5)
        with self.assertRaises(TimeoutError):  # idle, not slow: it has not begun
            client.more()

    def test_cut_off(self):
        import socket
        client = self.client(self.edge)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        self.assert_problem(client.reply(), 400, close=True)
        client = self.client(self.edge)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        client.socket.shutdown(socket.SHUT_WR)
        self.assertNotIn(b" 200 ", client.rest()[:20])

    def test_public_errors_tell_no_secrets(self):
        gateway = self.gateway("""
            version: 1
            limits: {uri: 512B}
            listeners: {edge: {address: "127.0.0.1:0", errors: public, to: origin}}
            services: {origin: {endpoints: ["127.0.0.1:1"]}}
        """)
        for text, status in (("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 502), ("GET /" + "a" * 600 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414)):
            problem = self.assert_problem(self.client(gateway).ask(text), status)
            self.assertEqual(list(problem), ["type", "title", "status", "detail", "request_id"])
        records = gateway.records(2)
        self.assertEqual([(r["status"], r["blame"], r["reason"]) for r in records],
                         [(502, "upstream", "refused"), (414, "client", "target_too_long")])

    def test_idle_connection_ends_silently(self):
        gateway = self.gateway("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0", timeouts: {idle: 200ms}}}
            routes: [{match: {path_prefix: /}, to: {response: {status: 200}}}]
        """)
        client = self.client(gateway)
        self.assertEqual(client.get().status, 200)
        self.assertTrue(client.ended())


class BadAnswers(GatewayTest):
    def through(self, script, service=""):
        self.behind = self.origin(script=script)
        return self.gateway(f"""
            version: 1
            limits: {{headers: 4KiB}}
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["{self.behind.address}"], policies: [retry: {{attempts: 1}}]{service}}}}}
        """)

    def test_garbage_is_502_and_the_connection_is_not_used_again(self):
        answers = ["hello\r\n\r\n",
                   "HTTP/1.1 abc OK\r\n\r\n",
                   "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
                   "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
                   "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
                   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
                   "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nX: " + "a" * 5000 + "\r\nContent-Length: 0\r\n\r\n",
                   "HTTP/1.1 100 Continue\r\n\r\n" * 50,
                   "HTTP/1.1 200 O"]
        def script(wire):
            number = int(wire.request().target[1:])
            wire.send(answers[number])
            if number == len(answers) - 1:
                return
            wire.request()  # nothing may come on this connection any more
            wire.send(ok("used again"))
        gateway = self.through(script)
        client = self.client(gateway)
        for number, text in enumerate(answers):
            with self.subTest(text[:60]):
                reply = client.get(f"/{number}")
                while reply.status < 200:
                    reply = client.reply()
                problem = self.assert_problem(reply, 502, close=False)
                self.assertEqual((problem["blame"], problem["reason"]), ("upstream", "upstream_protocol"))
        self.assertEqual(self.behind.connections, len(answers))

    def test_bytes_behind_an_answer_are_never_the_next_answer(self):
        def script(wire):
            wire.request()
            wire.send(ok("first") + ok("smuggled"))
            wire.request()
            wire.send(ok("on the same connection"))
        client = self.client(self.through(script))
        for _ in range(3):
            self.assertEqual(client.get().body, b"first")
            time.sleep(0.02)

    def test_truncated_body_never_looks_complete(self):
        for head, body in (("Content-Length: 100", "only this"),
                           ("Content-Length: 200000", "x" * 100_000),
                           ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
                           ("Transfer-Encoding: chunked", "5\r\nhel"),
                           ("Transfer-Encoding: chunked", "5\r\nhello\r\nnonsense\r\n"),
                           ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
                           ("Transfer-Encoding: chunked", "5\r\nhello\r\nffffffffffffffff1\r\n")):
            with self.subTest(head + body[:20]):
                def script(wire):
                    wire.request()
                    wire.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")
                gateway = self.through(script)
                client = self.client(gateway)
                reply = client.get()
                if reply.status == 200:
                    self.assertFalse(reply.complete, reply.raw)
                    self.assertTrue(client.ended())
                else:
                    self.assert_problem(reply, 502)
                record = gateway.records(1)[0]
                self.assertEqual(record["blame"], "upstream", record)

    def test_truncated_body_for_an_http_1_0_client_ends_in_a_reset(self):
        def script(wire):
            wire.request()
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        client = self.client(self.through(script))
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        with self.assertRaises(ConnectionResetError):  # without a length only a reset says "incomplete"
            while client.socket.recv(65536):
                pass

    def test_no_answer(self):
        for behaviour, reason in ((lambda wire: wire.request(), "closed"), (lambda wire: None, None)):
            client = self.client(self.through(behaviour))
            problem = self.assert_problem(client.get(), 502, close=False)
            if reason:
                self.assertEqual(problem["reason"], reason)

    def test_silent_service_is_504(self):
        def script(wire):
            wire.request()
            time.sleep(20)
        gateway = self.through(script, ", first_byte_timeout: 200ms")
        client = self.client(gateway)
        problem = self.assert_problem(client.get(), 504, close=False)
        self.assertEqual((problem["blame"], problem["reason"], problem["service"]), ("upstream", "upstream_timeout", "origin"))
        self.assertEqual(gateway.records(1)[0]["status"], 504)

    def test_body_that_stands_still_is_cut(self):
        def script(wire):
            wire.request()
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            time.sleep(20)
        client = self.client(self.through(script, ", idle_timeout: 200ms"))
        reply = client.get()
        self.assertFalse(reply.complete)
        self.assertEqual(reply.body, b"abc")

    def test_nobody_there(self):
        gateway = self.gateway("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0", to: origin}}
            services: {origin: {endpoints: ["127.0.0.1:1"]}}
        """)
        client = self.client(gateway)
        for _ in range(3):
            problem = self.assert_problem(client.get(), 502, close=False)
            self.assertEqual((problem["blame"], problem["reason"], problem["service"]), ("upstream", "refused", "origin"))
        record = gateway.records(3)[0]
        self.assertEqual((record["status"], record["service"], record["reason"]), (502, "origin", "refused"))


if __name__ == "__main__":
    unittest.main()
