# tests/e2e/http2_test.py
#
# HTTP/2 at the door as other people's programs speak it: curl, nghttp, h2load, Node's http2, the Python library h2; over TLS,
# where ALPN decides, and in plain text. Services behind it speak HTTP/1.1.
import hashlib
import json
import os
import socket
import ssl
import subprocess
import time
import unittest

from authority import Authority
from gateway import PATIENCE, GatewayTest, free_port, needs, ok, reachable
from h2_client import H2Client
from h2_client import h2 as h2_library

needs_h2 = unittest.skipUnless(h2_library, "the Python library h2 is not installed")


@needs("openssl")
class Door(GatewayTest):
    more = ""  # keys of both listeners

    def setUp(self):
        self.authority = Authority(self.folder())
        self.authority.issue("shop", "shop.test")
        self.behind = self.origin(self.answer)
        at = self.authority.path
        self.edge = self.gateway(f"""
            version: 1
            listeners:
              edge:
                {{address: "127.0.0.1:0", tls: {{certificates: [{{cert: {at('shop.pem')}, key: {{file: {at('shop.key')}}}}}]}}{self.more}}}
              plain: {{address: "127.0.0.1:0"{self.more}}}
            services: {{origin: {{endpoints: ["{self.behind.address}"]}}}}
            routes: [{{listener: edge, to: origin}}, {{listener: plain, to: origin}}]
        """)

    def answer(self, request):
        if request.method == "POST":
            return ok(f"{len(request.body)} {hashlib.sha256(request.body).hexdigest()}")
        if request.target.startswith("/large"):
            return ok(b"x" * 1_000_000)
        return ok("behind " + request.target)

    def url(self, listener="edge"):
        scheme = "https" if listener == "edge" else "http"
        return f"{scheme}://shop.test:{self.edge.addresses[listener][1]}"

    def context(self, *alpn):
        context = self.authority.context()
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def secured(self, *alpn):
        client = self.client(self.edge)
        client.socket = self.context(*alpn).wrap_socket(client.socket, server_hostname="shop.test")
        self.addCleanup(client.socket.close)
        return client

    def h2(self, listener="edge", **options):
        client = H2Client(self.edge.addresses[listener], self.context() if listener == "edge" else None, **options)
        self.addCleanup(client.close)
        return client

    def curl(self, *arguments, listener="edge"):
        port = self.edge.addresses[listener][1]
        return subprocess.run(["curl", "-sS", "--cacert", self.authority.path("ca.pem"), "--resolve", f"shop.test:{port}:127.0.0.1", *arguments],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)


class Negotiation(Door):
    def test_alpn_decides(self):
        for offered, agreed in ((("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"), ((), None)):
            client = self.secured(*offered)
            self.assertEqual(client.socket.selected_alpn_protocol(), agreed)
            if agreed != "h2":
                self.assertEqual(client.get().status, 200)
        with self.assertRaises(ssl.SSLError):
            self.secured("spdy/3")

    def test_who_agreed_on_http1_does_not_speak_http2(self):
        client = self.secured("http/1.1")
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        self.assertIn(client.reply().status, (400, 505))

    @needs_h2
    def test_without_alpn_the_preface_decides(self):
        client = H2Client(None, raw=self.secured().socket)
        self.assertEqual(client.get("/a").body, b"behind /a")

    @needs_h2
    def test_python_h2(self):
        client = self.h2()
        numbers = [client.ask("GET", f"/{i}") for i in range(50)]
        self.assertEqual([client.wait(number).body for number in numbers], [b"behind /%d" % i for i in range(50)])
        self.assertEqual({record["protocol"] for record in self.edge.records(50)}, {"HTTP/2"})


class OneVersion(Door):
    more = ", protocols: http2"

    def test_only_http2(self):
        with self.assertRaises(ssl.SSLError):
            self.secured("http/1.1")
        self.assertEqual(self.secured("h2").socket.selected_alpn_protocol(), "h2")
        self.assert_problem(self.client(self.edge, "plain").get(), 505, close=True)
        self.assertEqual(self.behind.requests, [])


class OnlyHttp1(Door):
    more = ", protocols: [http1]"

    def test_only_http1(self):
        client = self.secured("h2", "http/1.1")
        self.assertEqual(client.socket.selected_alpn_protocol(), "http/1.1")
        self.assertEqual(client.get().status, 200)
        plain = self.client(self.edge, "plain")
        plain.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.assertIn(plain.reply().status, (400, 505))


class Programs(Door):
    @needs("curl")
    def test_curl(self):
        for listener, version in (("edge", "--http2"), ("plain", "--http2-prior-knowledge")):
            url = self.url(listener)
            out = self.curl(version, "-w", "%{http_version} ", url + "/a", listener=listener)
            self.assertEqual((out.returncode, out.stdout), (0, "behind /a2 "), out.stderr)
            body = os.path.join(self.folder(), "body")
            with open(body, "wb") as file:
                file.write(os.urandom(3_000_000))
            with open(body, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            out = self.curl(version, "--data-binary", "@" + body, url + "/up", listener=listener)
            self.assertEqual((out.returncode, out.stdout), (0, f"3000000 {digest}"), out.stderr)
            out = self.curl(version, "-I", url + "/large", listener=listener)
            self.assertIn("content-length: 1000000", out.stdout)
        # Several at a time: curl 7.88 uses a connection twice only over TLS.
        out = self.curl("--http2", "-Z", *(f"{self.url()}/large?{i}" for i in range(20)))
        self.assertEqual((out.returncode, len(out.stdout)), (0, 20_000_000), out.stderr)

    @needs("nghttp")
    def test_nghttp(self):
        out = subprocess.run(["nghttp", "-nv", "--no-verify-peer", "-m5", f"https://127.0.0.1:{self.edge.addresses['edge'][1]}/a"],
                             capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertIn("The negotiated protocol: h2", out.stdout)
        self.assertEqual(out.stdout.count(":status: 200"), 5, out.stdout)
        self.assertNotIn("GOAWAY", out.stdout.replace("send GOAWAY", ""))

    @needs("h2load")
    def test_h2load(self):
        for listener in ("edge", "plain"):
            url = f"{'https' if listener == 'edge' else 'http'}://127.0.0.1:{self.edge.addresses[listener][1]}/a"
            out = subprocess.run(["h2load", "-n2000", "-c4", "-m32", url], capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertIn("2000 succeeded, 0 failed", out.stdout)
            self.assertIn("Application protocol: h2", out.stdout)

    @needs("node")
    def test_node(self):
        script = """
            const http2 = require("http2"), fs = require("fs");
            const [url, ca] = process.argv.slice(1);
            const session = http2.connect(url, {ca: fs.readFileSync(ca), servername: "shop.test"});
            const ask = (path, body) => new Promise((done, failed) => {
              const stream = session.request({":path": path, ":method": body ? "POST" : "GET", ":authority": "shop.test"});
              let status, text = "";
              stream.on("response", (head) => { status = head[":status"]; });
              stream.on("data", (piece) => { text += piece; });
              stream.on("error", failed);
              stream.on("end", () => done([status, text.length > 100 ? text.length : text]));
              stream.end(body);
            });
            (async () => {
              const asked = [];
              for (let i = 0; i < 100; ++i) asked.push(ask("/" + i));
              asked.push(ask("/large"), ask("/up", Buffer.alloc(500000)));
              console.log(JSON.stringify(await Promise.all(asked)));
              session.close();
            })();
        """
        url = f"https://127.0.0.1:{self.edge.addresses['edge'][1]}"
        out = subprocess.run(["node", "-e", script, url, self.authority.path("ca.pem")], capture_output=True, text=True, timeout=PATIENCE,
                             check=False)
        self.assertEqual(out.returncode, 0, out.stderr)
        replies = json.loads(out.stdout)
        self.assertEqual(replies[:100], [[200, f"behind /{i}"] for i in range(100)])
        self.assertEqual(replies[100], [200, 1_000_000])
        self.assertTrue(replies[101][1].startswith("500000 "))


@needs("chromium")  # 300 MB that ./dev test does not fetch: apt-get install chromium
class Browser(Door):
    def test_chromium(self):
        page = "<!doctype html><title>t</title>" + "".join(f"<script src=/s{i}.js></script>" for i in range(20))
        scripts = 'document.title += ".";'
        self.behind.answer = lambda request: (ok(page, "Content-Type: text/html") if request.target == "/" else
                                              ok(scripts, "Content-Type: text/javascript"))
        port = self.edge.addresses["edge"][1]
        out = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--dump-dom",
                              "--user-data-dir=" + self.folder(), f"--host-resolver-rules=MAP shop.test 127.0.0.1:{port}",
                              f"https://shop.test:{port}/"], capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
        self.assertIn("<title>t" + 20 * "." + "</title>", out.stdout, out.stderr[-2000:])
        self.assertEqual({record["protocol"] for record in self.edge.records(21)}, {"HTTP/2"})


class OddClients(Door):
    @needs("curl")
    def test_answer_in_the_middle_of_an_upload(self):
        def refuse(wire):
            wire.head()
            wire.take(10_000)
            wire.send("HTTP/1.1 501 Not Implemented\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        self.behind.script = refuse
        body = os.path.join(self.folder(), "body")
        with open(body, "wb") as file:
            file.write(os.urandom(5_000_000))
        for listener, version in (("edge", "--http2"), ("plain", "--http2-prior-knowledge")):
            for how in ("-T", "--data-binary"):
                for _ in range(3):
                    out = self.curl(version, "-w", " %{http_code}", how, body if how == "-T" else "@" + body, self.url(listener) + "/up", listener=listener)
                    self.assertEqual((out.returncode, out.stdout), (0, "no 501"), out.stderr)

    @needs_h2
    def test_half_closed_client_gets_its_answer(self):
        self.behind.answer = lambda request: time.sleep(0.2) or ok("late")
        client = self.h2("plain")
        number = client.ask()
        client.socket.shutdown(socket.SHUT_WR)
        client.flush = lambda: None  # it says no more, not even that it has heard
        self.assertEqual(client.wait(number).body, b"late")

    @needs_h2
    def test_malformed_head_is_told_what_is_wrong(self):
        client = self.h2("plain", strict=False)
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "shop.test"), (":path", "/")]
        for wrong in (head + [("Upper", "x")], head + [("connection", "close")], head[:3], head + [("x", "a\r\nb: c")]):
            answer = client.wait(client.ask(head=wrong), lambda stream: stream.reset is not None)
            self.assertEqual((answer.status, answer.reset), (400, 1))
            self.assertEqual(json.loads(answer.body)["status"], 400)
        self.assertEqual(client.get("/b").status, 200)
        self.assertEqual([record["status"] for record in self.edge.records(5)], [400] * 4 + [200])

    @needs_h2
    def test_cookie_crumbs_are_joined(self):
        self.assertEqual(self.h2().get("/", ("cookie", "a=1"), ("cookie", "b=2")).status, 200)
        self.assertEqual(self.behind.requests[-1].all("cookie"), ["a=1; b=2"])


@needs("node")
@needs_h2
class WebSocket(Door):
    def setUp(self):
        super().setUp()
        port = free_port()
        self.start("node", os.path.join(os.path.dirname(os.path.abspath(__file__)), "websocket_echo.js"), str(port))
        self.assertTrue(reachable(port))
        at = self.authority.path
        self.edge = self.gateway(f"""
            version: 1
            listeners:
              edge: {{address: "127.0.0.1:0", tls: {{certificates: [{{cert: {at('shop.pem')}, key: {{file: {at('shop.key')}}}}}]}}}}
            services: {{chat: {{endpoints: ["127.0.0.1:{port}"]}}}}
            routes: [{{to: chat}}]
        """)

    def open(self, client, path="/chat", protocol="websocket"):
        return client.ask(head=[(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":authority", "shop.test"),
                                (":path", path), ("sec-websocket-version", "13"), ("origin", "https://shop.test")], end=False)

    def test_echo_over_http2(self):
        client = self.h2()
        numbers = [self.open(client) for _ in range(3)]  # several on one connection
        for number in numbers:
            self.assertEqual(client.wait(number, lambda stream: stream.headers).status, 200)
        for number in numbers:
            for text in (b"hello", b"again"):
                before = len(client.streams[number].body)
                client.send(number, bytes([0x81, 0x80 | len(text), 1, 2, 3, 4]) + bytes(byte ^ (i % 4 + 1) for i, byte in enumerate(text)))
                client.wait(number, lambda stream, end=before + 2 + len(text): len(stream.body) >= end)
                self.assertEqual(client.streams[number].body[before:], bytes([0x81, len(text)]) + text)
            client.send(number, b"", end=True)
            self.assertTrue(client.wait(number).ended)
        self.assertEqual({record["status"] for record in self.edge.records(3)}, {101})

    def test_what_is_no_websocket(self):
        client = self.h2()
        self.assertEqual(client.wait(self.open(client, protocol="connect-udp")).status, 501)


if __name__ == "__main__":
    unittest.main()
