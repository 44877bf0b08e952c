# tests/e2e/http2_services_test.py
#
# HTTP/2 to services, with origins and clients that we did not write: Node's http2 and nghttpd behind, curl, nghttp and plain sockets in
# front, in all four directions.
import os
import socket
import subprocess
import threading
import unittest

from h2_client import H2Client
from gateway import PATIENCE, GatewayTest, free_port, needs, ok, reachable, until

HERE = os.path.dirname(os.path.abspath(__file__))


def curl(*arguments, **options):
    return subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *arguments], capture_output=True, timeout=2 * PATIENCE,
                          check=False, **options)


@needs("node")
@needs("curl")
class Node(GatewayTest):
    def node(self, streams=100, *more):
        process = self.start("node", os.path.join(HERE, "http2_origin.js"), str(streams), *more, stdout=subprocess.PIPE, text=True)
        return int(process.stdout.readline())

    def start_gateway(self, port, more="", workers=1):
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{origin: {{endpoints: ["127.0.0.1:{port}"], protocol: http2{more}}}}}
            routes: [{{match: {{path_prefix: /}}, to: origin}}]
        """, workers=workers)

    def seen(self, gateway):
        return self.client(gateway).get("/seen").json()

    def test_http1_and_http2_clients(self):
        gateway = self.start_gateway(self.node())
        for version in ("--http1.1", "--http2-prior-knowledge"):
            out = curl(version, "-w", "%{http_code} %{http_version}", "-H", "X-Mixed: Case", gateway.url + "/head")
            self.assertEqual(out.returncode, 0, out.stderr)
            self.assertIn(b'":method":"GET"', out.stdout)
            self.assertIn(b'"x-mixed":"Case"', out.stdout)
            self.assertTrue(out.stdout.endswith(b"200 2" if "2" in version else b"200 1.1"), out.stdout)
        reply = self.client(gateway).ask("HEAD /head HTTP/1.1\r\nHost: shop.test\r\n\r\n", "HEAD")
        self.assertEqual(reply.status, 200)

    def test_websocket(self):
        gateway = self.start_gateway(self.node(100, "websocket"))
        client = self.client(gateway)
        client.send("GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = client.head()
        self.assertEqual((head.status, head.field("sec-websocket-accept")), (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        self.assertEqual((head.field("x-protocol"), head.field("x-key")), ("websocket", "undefined"))
        other = H2Client(gateway.address, name="shop.test")
        number = other.ask(head=[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "shop.test"),
                                 (":path", "/chat"), ("sec-websocket-version", "13")], end=False)
        self.assertEqual(other.wait(number, lambda stream: stream.headers).status, 200)
        for size in (10, 200_000):
            data = os.urandom(size)
            client.send(data)
            self.assertEqual(client.take(size), data)
            other.send(number, data)
        self.assertEqual(len(other.wait(number, lambda stream: len(stream.body) >= 200_010).body), 200_010)
        other.send(number, b"", end=True)
        self.assertTrue(other.wait(number).ended)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertTrue(client.ended())
        self.assertEqual({record["status"] for record in gateway.records(2)}, {101})
        deaf = self.start_gateway(self.node())
        reply = self.client(deaf).get("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        self.assertIn("does not offer RFC 8441", self.assert_problem(reply, 502)["detail"])

    def test_connections_outlast_a_reload(self):
        gateway = self.start_gateway(self.node())
        text = open(gateway.file, encoding="utf-8").read()
        for n in range(3):
            self.assertEqual(self.seen(gateway)["sessions"], 1)
            gateway.write(text + f"\nlimits: {{connections: {100 + n}}}\n")
            gateway.reload()
        self.assertEqual(self.seen(gateway)["sessions"], 1)
        gateway.write(text.replace("protocol: http2", "protocol: http2, connect_timeout: 3s"))
        gateway.reload()
        self.assertEqual(self.seen(gateway)["sessions"], 2)

    def test_http2_to_http1(self):
        origin = self.origin(ok("plain"))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{origin: {{endpoints: ["{origin.address}"]}}}}
            routes: [{{match: {{path_prefix: /}}, to: origin}}]
        """)
        for version in ("--http1.1", "--http2-prior-knowledge"):
            self.assertEqual(curl(version, gateway.url).stdout, b"plain")

    def test_uploads_are_echoed_with_trailers(self):
        gateway = self.start_gateway(self.node())
        data = os.urandom(3_000_000)
        for version in ("--http1.1", "--http2-prior-knowledge"):
            for more in ([], ["-H", "Transfer-Encoding: chunked"] if version == "--http1.1" else ["-H", "Content-Length:"]):
                out = curl(version, "--data-binary", "@-", *more, gateway.url + "/echo", input=data)
                self.assertEqual((out.returncode, out.stdout == data), (0, True), out.stderr)
        client = self.client(gateway)
        reply = client.ask("POST /echo HTTP/1.1\r\nHost: shop.test\r\nTE: trailers\r\nConnection: TE\r\nContent-Length: 5\r\n\r\nhello")
        self.assertEqual((reply.body, dict(reply.trailers).get("x-bytes")), (b"hello", "5"))

    @needs("nghttp")
    def test_trailers_reach_an_http2_client(self):
        gateway = self.start_gateway(self.node())
        with open(os.path.join(self.folder(), "data"), "wb") as file:
            file.write(b"hello")
        out = subprocess.run(["nghttp", "-v", "-d", file.name, gateway.url + "/echo"], capture_output=True, text=True, timeout=PATIENCE, check=True)
        self.assertIn("x-bytes: 5", out.stdout)

    def test_large_answers_whole_and_at_once(self):
        gateway = self.start_gateway(self.node())
        results = []

        def fetch(version):
            results.append(len(curl(version, gateway.url + "/big/5000000").stdout))

        threads = [threading.Thread(target=fetch, args=(version,)) for version in ("--http1.1", "--http2-prior-knowledge") * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [5_000_000] * 8)
        self.assertEqual(self.seen(gateway)["sessions"], 1)

    def test_slow_reader_stalls_no_other(self):
        gateway = self.start_gateway(self.node())
        slow = self.client(gateway)
        slow.send("GET /big/50000000 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        slow.take(100)  # and no more
        for _ in range(3):
            self.assertEqual(len(curl("--http2-prior-knowledge", gateway.url + "/big/3000000").stdout), 3_000_000)
        self.assertEqual(self.seen(gateway)["sessions"], 1)
        self.assertLess(gateway.memory(), 200 << 20)

    def test_early_answer(self):
        gateway = self.start_gateway(self.node())
        out = curl("--http1.1", "--data-binary", "@-", "-w", " %{http_code}", gateway.url + "/early", input=b"x" * 2_000_000)
        self.assertEqual(out.stdout, b"too much 413", out.stderr)

    def test_client_that_goes_is_cancelled_behind(self):
        gateway = self.start_gateway(self.node())
        client = self.client(gateway)
        client.send("GET /hang HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        curl("--http2-prior-knowledge", "--max-time", "0.3", gateway.url + "/hang")
        client.close()
        self.assertTrue(until(lambda: self.seen(gateway)["aborted"] == 2))

    def test_peers_limit_is_obeyed(self):
        gateway = self.start_gateway(self.node(streams=2), ", pool: {connections: 2}, connect_timeout: 5s")
        results = []
        threads = [threading.Thread(target=lambda: results.append(len(curl(gateway.url + "/big/1000000").stdout))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [1_000_000] * 12)
        self.assertLessEqual(self.seen(gateway)["sessions"], 2)


@needs("nghttpd")
@needs("curl")
class Nghttpd(GatewayTest):
    def test_files_and_restart(self):
        folder = self.folder()
        with open(os.path.join(folder, "a.txt"), "wb") as file:
            file.write(b"a" * 1_000_000)
        port = free_port()
        command = ["nghttpd", "--no-tls", "-d", folder, "-a", "127.0.0.1", str(port)]
        first = self.start(*command, stdout=subprocess.DEVNULL)
        self.assertTrue(reachable(port))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{origin: {{endpoints: ["127.0.0.1:{port}"], protocol: http2}}}}
            routes: [{{match: {{path_prefix: /}}, to: origin}}]
        """)
        for version in ("--http1.1", "--http2-prior-knowledge"):
            self.assertEqual(len(curl(version, gateway.url + "/a.txt").stdout), 1_000_000)
            self.assertEqual(curl(version, "-o", "/dev/null", "-w", "%{http_code}", gateway.url + "/none").stdout, b"404")
        first.kill()
        first.wait()
        self.assertEqual(curl("-o", "/dev/null", "-w", "%{http_code}", gateway.url + "/a.txt").stdout, b"502")
        self.start(*command, stdout=subprocess.DEVNULL)
        self.assertTrue(reachable(port))
        self.assertTrue(until(lambda: len(curl(gateway.url + "/a.txt").stdout) == 1_000_000))


if __name__ == "__main__":
    unittest.main()
