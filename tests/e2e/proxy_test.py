# tests/e2e/proxy_test.py
#
# One request after the other through the gateway, byte by byte: framings, versions, interim answers, order, upgrades.
import base64
import hashlib
import os
import socket
import struct
import threading
import time
import unittest

from gateway import Client, Ended, GatewayTest, ok


def through(origin):
    return f"""
        version: 1
        listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
        services: {{origin: {{endpoints: ["{origin.address}"]}}}}
    """


class Versions(GatewayTest):
    def test_keep_alive_is_used_on_both_sides(self):
        origin = self.origin(ok("hello"))
        client = self.client(self.gateway(through(origin), workers=1))
        for _ in range(5):
            reply = client.get()
            self.assertEqual((reply.status, reply.body), (200, b"hello"))
            self.assertIsNone(reply.field("connection"))
        self.assertEqual(origin.connections, 1)

    def test_http_1_0_client_gets_an_answer_that_ends_with_the_connection(self):
        origin = self.origin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
        client = self.client(self.gateway(through(origin)))
        reply = client.ask("GET / HTTP/1.0\r\n\r\n")
        self.assertEqual((reply.status, reply.body), (200, b"abcdef"))
        self.assertIsNone(reply.field("transfer-encoding"))
        self.assertTrue(client.ended())
        self.assertEqual(origin.requests[0].start, "GET / HTTP/1.1")

    def test_http_1_0_client_with_keep_alive(self):
        client = self.client(self.gateway(through(self.origin(ok("x")))))
        for _ in range(2):
            reply = client.ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            self.assertEqual((reply.status, reply.body, reply.field("connection")), (200, b"x", "keep-alive"))

    def test_http_1_0_client_without_keep_alive_is_closed(self):
        client = self.client(self.gateway(through(self.origin(ok("x")))))
        reply = client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        self.assertEqual((reply.status, reply.body), (200, b"x"))
        self.assertTrue(client.ended())

    def test_http_1_0_origin(self):
        def script(wire):
            wire.request()
            wire.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold but good")
        origin = self.origin(script=script)
        client = self.client(self.gateway(through(origin)))
        for _ in range(2):
            reply = client.get()
            self.assertEqual((reply.start, reply.body), ("HTTP/1.1 200 OK", b"old but good"))
        self.assertEqual(origin.connections, 2)

    def test_connection_close_is_obeyed(self):
        client = self.client(self.gateway(through(self.origin(ok("x")))))
        reply = client.get("/", "Connection: close")
        self.assertEqual((reply.body, reply.field("connection")), (b"x", "close"))
        self.assertTrue(client.ended())


class Bodies(GatewayTest):
    def test_head_keeps_the_length_and_has_no_body(self):
        origin = self.origin(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"a\"\r\n\r\n")
        client = self.client(self.gateway(through(origin)))
        for _ in range(2):
            reply = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD")
            self.assertEqual((reply.status, reply.field("content-length"), reply.field("etag")), (200, "1234", '"a"'))
        self.assertEqual(origin.connections, 1)

    def test_204_and_304_have_no_body_and_keep_the_connection(self):
        def answer(request):
            if request.target == "/304":
                return b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 99\r\n\r\n"
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        client = self.client(self.gateway(through(self.origin(answer))))
        for path, status in (("/204", 204), ("/304", 304), ("/204", 204)):
            reply = client.get(path)
            self.assertEqual((reply.status, reply.body), (status, b""))
            self.assertIsNone(reply.field("transfer-encoding"))
            if status == 204:
                self.assertIsNone(reply.field("content-length"))

    def test_chunked_both_ways_with_trailers(self):
        def answer(request):
            body = request.body
            return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n%x\r\n" % len(body) + body +
                    b"\r\n0\r\nX-Sum: 42\r\n\r\n")
        origin = self.origin(answer)
        client = self.client(self.gateway(through(origin)))
        for _ in range(2):
            reply = client.ask("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Check\r\n\r\n"
                               "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Check: yes\r\n\r\n")
            self.assertEqual((reply.status, reply.body, reply.trailers), (200, b"hello world", [("X-Sum", "42")]))
        self.assertEqual(origin.requests[0].body, b"hello world")
        self.assertEqual(origin.requests[0].trailers, [("X-Check", "yes")])

    def test_body_that_ends_with_the_origins_connection(self):
        def script(wire):
            wire.request()
            wire.send("HTTP/1.1 200 OK\r\n\r\n")
            for word in ("one ", "two ", "three"):
                wire.send(word)
                time.sleep(0.02)
        client = self.client(self.gateway(through(self.origin(script=script))))
        for _ in range(2):
            reply = client.get()
            self.assertEqual((reply.body, reply.field("transfer-encoding")), (b"one two three", "chunked"))
            self.assertTrue(reply.complete)

    def test_large_body_comes_unchanged_in_any_framing(self):
        body = os.urandom(3_000_000)
        def answer(request):
            self.assertEqual(request.body, body)
            return ok(body)
        client = self.client(self.gateway(through(self.origin(answer))), timeout=30)
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertEqual(client.reply().body, body)
        chunked = b"".join(b"%x\r\n" % len(body[i:i + 70001]) + body[i:i + 70001] + b"\r\n" for i in range(0, len(body), 70001))
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n")
        self.assertEqual(client.reply().body, body)


class Interim(GatewayTest):
    def test_expect_100_continue(self):
        origin = self.origin(lambda request: ok(request.body))
        client = self.client(self.gateway(through(origin)))
        for _ in range(2):
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(client.reply().status, 100)
            client.send("hello")
            reply = client.reply()
            self.assertEqual((reply.status, reply.body), (200, b"hello"))

    def test_expect_is_not_answered_when_the_request_is_refused(self):
        gateway = self.gateway("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0"}}
            routes: [{match: {path: /known}, to: {response: {status: 200}}}]
        """)
        client = self.client(gateway)
        reply = client.ask("POST /unknown HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
        self.assert_problem(reply, 404, close=True)
        self.assertTrue(client.ended())

    def test_interim_answers_of_the_origin_do_not_confuse(self):
        origin = self.origin(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok("done"))
        client = self.client(self.gateway(through(origin)))
        for _ in range(2):
            reply = client.get()
            while reply.status < 200:
                reply = client.reply()
            self.assertEqual((reply.status, reply.body), (200, b"done"))

    def test_early_answer_while_the_upload_goes_on(self):
        def script(wire):
            wire.head()
            wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big")
            try:
                while wire.socket.recv(65536):
                    pass
            except OSError:
                pass
        client = self.client(self.gateway(through(self.origin(script=script))))
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + "x" * 100000)
        reply = client.reply()
        self.assertEqual((reply.status, reply.body), (413, b"too big"))
        self.assertEqual(reply.field("connection"), "close")

    def test_early_answer_of_an_origin_that_closes_at_once(self):
        def script(wire):
            wire.head()
            wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big")
            wire.socket.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
        client = self.client(self.gateway(through(self.origin(script=script))))
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n" + "x" * 1000)
        reply = client.reply()
        self.assertEqual((reply.status, reply.body), (413, b"too big"))


class Order(GatewayTest):
    def test_pipelined_requests_are_answered_in_order(self):
        def answer(request):
            if request.target == "/1":
                time.sleep(0.2)
            return ok(request.target + ":" + request.body.decode())
        client = self.client(self.gateway(through(self.origin(answer))))
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                    "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                    "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n"
                    "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertEqual([client.reply().body for _ in range(4)], [b"/1:", b"/2:abc", b"/3:xy", b"/4:"])
        self.assertTrue(client.ended())

    def test_requests_behind_connection_close_are_not_answered(self):
        origin = self.origin(ok("x"))
        client = self.client(self.gateway(through(origin)))
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(client.reply().status, 200)
        self.assertTrue(client.ended())
        self.assertEqual([request.target for request in origin.requests], ["/1"])

    def test_many_pipelined_requests(self):
        client = self.client(self.gateway(through(self.origin(lambda request: ok(request.target)))))
        sender = threading.Thread(target=client.send, args=("".join(f"GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n" for i in range(1000)),))
        sender.start()
        self.assertEqual([client.reply().body.decode() for _ in range(1000)], [f"/{i}" for i in range(1000)])
        sender.join()

    def test_head_byte_by_byte(self):
        client = self.client(self.gateway(through(self.origin(lambda request: ok(request.body)))))
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n":
            client.send(byte)
            time.sleep(0.001)
        self.assertEqual(client.reply().body, b"abc")


class Departure(GatewayTest):
    def test_half_closed_client_still_gets_its_answer(self):
        def answer(request):
            time.sleep(0.15)
            return ok("worth the wait")
        client = self.client(self.gateway(through(self.origin(answer))))
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.reply().body, b"worth the wait")
        self.assertTrue(client.ended())

    def test_upload_that_ends_with_a_half_close(self):
        client = self.client(self.gateway(through(self.origin(lambda request: ok(str(len(request.body)))))))
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + "x" * 300000)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.reply().body, b"300000")

    def test_large_download_after_a_half_close(self):
        client = self.client(self.gateway(through(self.origin(ok(b"x" * 2_000_000)))))
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(len(client.reply().body), 2_000_000)

    def test_call_is_dropped_when_the_client_has_gone(self):
        dropped = threading.Event()
        def script(wire):
            wire.request()
            try:
                if not wire.socket.recv(1):
                    dropped.set()
            except OSError:
                dropped.set()
        gateway = self.gateway(through(self.origin(script=script)))
        client = gateway.client()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        client.close()
        self.assertTrue(dropped.wait(5))
        record = gateway.records(1)[0]
        self.assertEqual((record["status"], record["blame"], record["reason"]), (499, "client", "client_gone"))


class Streams(GatewayTest):
    def test_first_event_arrives_before_the_second_is_made(self):
        go_on = threading.Event()
        def script(wire):
            wire.request()
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            wire.send("e\r\ndata: first\n\n\r\n".replace("e\r\n", "d\r\n", 1))
            if go_on.wait(10):
                wire.send("e\r\ndata: second\n\n\r\n0\r\n\r\n")
        client = self.client(self.gateway(through(self.origin(script=script))))
        client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
        head = client.head()
        self.assertEqual(head.field("content-type"), "text/event-stream")
        self.assertEqual(client.line(), "d")
        self.assertEqual(client.take(15), b"data: first\n\n\r\n")
        go_on.set()
        self.assertEqual(client.line(), "e")
        self.assertEqual(client.take(16), b"data: second\n\n\r\n")
        self.assertEqual(client.line(), "0")

    def test_head_arrives_before_the_first_event(self):
        go_on = threading.Event()
        def script(wire):
            wire.request()
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            go_on.wait(10)
        client = self.client(self.gateway(through(self.origin(script=script))))
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(client.head().status, 200)
        go_on.set()
        self.assertEqual(client.line(), "0")

    def test_upload_is_passed_on_as_it_comes(self):
        first = threading.Event()
        def script(wire):
            wire.head()
            self.assertEqual(wire.line(), "5")
            wire.take(7)
            first.set()
            message = type("Rest", (), {"body": b"", "trailers": []})()
            wire.chunks(message)
            wire.send(ok(message.body))
        client = self.client(self.gateway(through(self.origin(script=script))))
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        self.assertTrue(first.wait(5))
        client.send("6\r\nsecond\r\n0\r\n\r\n")
        self.assertEqual(client.reply().body, b"second")


def frame(payload, masked):
    """A WebSocket text frame (RFC 6455 §5.2) of less than 64 KiB."""
    size = struct.pack(">B", len(payload) | masked << 7) if len(payload) < 126 else struct.pack(">BH", 126 | masked << 7, len(payload))
    if not masked:
        return b"\x81" + size + payload
    mask = os.urandom(4)
    return b"\x81" + size + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def read_frame(wire):
    _, size = wire.take(2)
    masked, size = size >> 7, size & 127
    if size == 126:
        size = struct.unpack(">H", wire.take(2))[0]
    mask = wire.take(4) if masked else b"\0\0\0\0"
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(wire.take(size)))


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


class Upgrades(GatewayTest):
    HANDSHAKE = ("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

    @staticmethod
    def echo(wire):
        request = wire.request()
        if request.field("upgrade") != "websocket" or "upgrade" not in (request.field("connection") or "").lower():
            wire.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
            return
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Accept: {accept_key(request.field('sec-websocket-key'))}\r\n\r\n")
        wire.send(frame(b"welcome", 0))
        while True:
            wire.send(frame(read_frame(wire), 0))

    def test_websocket_echo(self):
        client = self.client(self.gateway(through(self.origin(script=self.echo))))
        reply = client.ask(self.HANDSHAKE)
        self.assertEqual((reply.status, reply.field("upgrade"), reply.field("sec-websocket-accept")),
                         (101, "websocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        self.assertEqual(read_frame(client), b"welcome")
        for size in (1, 125, 126, 60000):
            payload = os.urandom(size)
            client.send(frame(payload, 1))
            self.assertEqual(read_frame(client), payload)

    def test_first_frame_may_come_with_the_handshake(self):
        client = self.client(self.gateway(through(self.origin(script=self.echo))))
        client.send(self.HANDSHAKE.encode() + frame(b"eager", 1))
        self.assertEqual(client.reply().status, 101)
        self.assertEqual([read_frame(client), read_frame(client)], [b"welcome", b"eager"])

    def test_end_of_either_side_is_passed_on(self):
        ended = threading.Event()
        def script(wire):
            try:
                self.echo(wire)
            except (Ended, OSError):
                ended.set()
        client = self.client(self.gateway(through(self.origin(script=script))))
        self.assertEqual(client.ask(self.HANDSHAKE).status, 101)
        read_frame(client)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertTrue(ended.wait(5))
        self.assertTrue(client.ended())

    def test_refused_upgrade_is_an_ordinary_answer(self):
        client = self.client(self.gateway(through(self.origin(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))))
        for _ in range(2):
            self.assertEqual(client.ask(self.HANDSHAKE).body, b"no")

    def test_101_that_nobody_asked_for_is_refused(self):
        client = self.client(self.gateway(through(self.origin(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"))))
        self.assert_problem(client.get(), 502)


if __name__ == "__main__":
    unittest.main()
