# tests/e2e/clients_test.py
#
# Programs that others wrote, on either side: curl, Node, Python and nginx.
import http.client
import json
import os
import shutil
import subprocess
import sys
import unittest
import urllib.request

from gateway import PATIENCE, GatewayTest, free_port, needs, ok, reachable


def through(port):
    return f"""
        version: 1
        listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
        services: {{origin: {{endpoints: ["127.0.0.1:{port}"]}}}}
    """


def echo(request):
    return ok(request.body or request.target.encode(), "X-Method: " + request.method)


class Clients(GatewayTest):
    def setUp(self):
        self.behind = self.origin(echo)
        self.edge = self.gateway(through(self.behind.port))

    def output_of(self, *command, **options):
        return subprocess.run(command, capture_output=True, timeout=30, check=True, **options).stdout

    @needs("curl")
    def test_curl(self):
        url = self.edge.url
        self.assertEqual(self.output_of("curl", "-sS", url + "/a?b=c"), b"/a?b=c")
        self.assertIn(b"HTTP/1.1 200 OK", self.output_of("curl", "-sSI", url + "/head"))
        self.assertEqual(self.output_of("curl", "-sS", "-0", url + "/old"), b"/old")
        self.assertEqual(self.output_of("curl", "-sS", url + "/[1-3]"), b"/1/2/3")
        self.assertEqual(self.output_of("curl", "-sS", "-d", "form=data", url), b"form=data")

    @needs("curl")
    def test_curl_uploads(self):
        path = os.path.join(self.folder(), "body")
        body = os.urandom(2_000_000)
        with open(path, "wb") as file:
            file.write(body)
        self.assertEqual(self.output_of("curl", "-sS", "-T", path, self.edge.url + "/x"), body)
        # Without a length: chunked, with Expect: 100-continue.
        self.assertEqual(self.output_of("curl", "-sS", "-T", "-", "-H", "Expect: 100-continue", self.edge.url + "/x", input=body), body)
        self.assertTrue(self.behind.requests[-1].field("transfer-encoding"))

    @needs("node")
    def test_node_with_an_agent_that_keeps_connections(self):
        script = """
            const http = require('http');
            const agent = new http.Agent({keepAlive: true, maxSockets: 2});
            const url = new URL(process.argv[1]);
            const ask = (n) => new Promise((done, fail) => {
              const body = n % 2 ? 'body ' + n : null;
              const request = http.request({host: url.hostname, port: url.port, path: '/' + n, agent, method: body ? 'POST' : 'GET'}, (reply) => {
                let text = '', port = reply.socket.localPort;
                reply.on('data', (piece) => text += piece);
                reply.on('end', () => done([reply.statusCode, text, port]));
              });
              request.on('error', fail);
              if (body && n % 3) request.write(body.slice(0, 2)), request.end(body.slice(2)); else request.end(body ?? undefined);
            });
            Promise.all([...Array(50).keys()].map(ask)).then((all) => { console.log(JSON.stringify(all)); agent.destroy(); });
        """
        replies = json.loads(self.output_of("node", "-e", script, self.edge.url))
        self.assertEqual([reply[:2] for reply in replies], [[200, f"body {n}" if n % 2 else f"/{n}"] for n in range(50)])
        self.assertLessEqual(len({reply[2] for reply in replies}), 2)

    def test_python(self):
        connection = http.client.HTTPConnection(*self.edge.address, timeout=PATIENCE)
        for n in range(20):
            connection.request("POST", "/", body=b"x" * n)
            reply = connection.getresponse()
            self.assertEqual((reply.status, len(reply.read())), (200, n or 1))
        connection.request("POST", "/", body=iter([b"chunk ", b"by ", b"chunk"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        self.assertEqual(connection.getresponse().read(), b"chunk by chunk")
        connection.close()
        self.assertEqual(urllib.request.urlopen(self.edge.url + "/urllib").read(), b"/urllib")

    @needs("node")
    def test_websocket_of_a_node_service(self):
        port = free_port()
        self.start("node", os.path.join(os.path.dirname(os.path.abspath(__file__)), "websocket_echo.js"), str(port))
        self.assertTrue(reachable(port))
        client = self.client(self.gateway(through(port)))
        reply = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        self.assertEqual((reply.status, reply.field("sec-websocket-accept")), (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        for text in (b"hello", b"again"):
            client.send(bytes([0x81, 0x80 | len(text), 1, 2, 3, 4]) + bytes(byte ^ (i % 4 + 1) for i, byte in enumerate(text)))
            self.assertEqual(client.take(2 + len(text)), bytes([0x81, len(text)]) + text)


class Origins(GatewayTest):
    def test_python_http_server(self):
        folder = self.folder()
        with open(os.path.join(folder, "file.bin"), "wb") as file:
            file.write(body := os.urandom(1_000_000))
        port = free_port()
        self.start(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, str(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertTrue(reachable(port))
        client = self.client(self.gateway(through(port)))
        for _ in range(3):  # an HTTP/1.0 server
            self.assertEqual(client.get("/file.bin").body, body)
        self.assertEqual(client.get("/missing").status, 404)
        self.assertEqual(client.ask("HEAD /file.bin HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD").field("content-length"), "1000000")

    @needs("node")
    def test_node_service(self):
        script = """
            require('http').createServer((request, reply) => {
              let size = 0;
              request.on('data', (piece) => size += piece.length);
              request.on('end', () => {
                if (request.url === '/204') return reply.writeHead(204).end();
                reply.writeHead(200, {'Trailer': 'X-Size', 'X-Header': request.headers['x-header'] ?? ''});
                reply.write(request.method + ' ');
                reply.addTrailers({'X-Size': String(size)});
                reply.end(String(size));
              });
            }).listen(Number(process.argv[1]), '127.0.0.1');
        """
        port = free_port()
        self.start("node", "-e", script, str(port))
        self.assertTrue(reachable(port))
        client = self.client(self.gateway(through(port), workers=1))
        for _ in range(3):
            reply = client.ask("POST / HTTP/1.1\r\nHost: a\r\nX-Header: v\r\nTE: trailers\r\nContent-Length: 5\r\n\r\nhello")
            self.assertEqual((reply.status, reply.body, reply.field("x-header")), (200, b"POST 5", "v"))
            self.assertEqual(reply.trailers, [("X-Size", "5")])
            self.assertEqual(client.get("/204").status, 204)
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fffff\r\n" + bytes(0xfffff) + b"\r\n0\r\n\r\n")
        self.assertEqual(client.reply().body, b"PUT 1048575")


@needs("nginx")
class Nginx(GatewayTest):
    def nginx(self, server):
        """An nginx with that server block at a free port; the port."""
        folder, port = self.folder(), free_port()
        with open(os.path.join(folder, "nginx.conf"), "w") as file:
            file.write(f"""
                daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
                {"user root;" if os.getuid() == 0 else ""}
                events {{ worker_connections 256; }}
                http {{
                  access_log off; default_type text/plain;
                  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
                  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                  server {{ listen 127.0.0.1:{port}; root {folder}; client_max_body_size 0; {server} }}
                }}""")
        self.root = folder
        self.start(shutil.which("nginx"), "-p", folder, "-c", "nginx.conf", "-e", os.path.join(folder, "error.log"), stderr=subprocess.DEVNULL)
        self.assertTrue(reachable(port))
        return port

    def test_nginx_as_a_service(self):
        port = self.nginx("""
            location /text { return 200 "text of nginx"; }
            location /none { return 204; }
            location /away { return 302 /text; }
        """)
        with open(os.path.join(self.root, "big"), "wb") as file:
            file.write(body := os.urandom(3_000_000))
        client = self.client(self.gateway(through(port)))
        for _ in range(3):
            self.assertEqual(client.get("/text").body, b"text of nginx")
            self.assertEqual(client.get("/big").body, body)
            self.assertEqual(client.get("/none").status, 204)
        self.assertEqual(client.get("/away").field("location"), "http://shop.test/text".replace("shop.test", f"shop.test:{port}"))
        etag = client.get("/big").field("etag")
        self.assertEqual(client.get("/big", "If-None-Match: " + etag).status, 304)
        reply = client.get("/big", "Range: bytes=10-19")
        self.assertEqual((reply.status, reply.body), (206, body[10:20]))

    def test_nginx_as_a_client(self):
        behind = self.origin(echo)
        gateway = self.gateway(through(behind.port))
        for directives in ("", "proxy_http_version 1.1; proxy_set_header Connection '';",
                           "proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;"):
            port = self.nginx(f"location / {{ proxy_pass http://127.0.0.1:{gateway.address[1]}; {directives} }}")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            for n in (0, 10, 200_000):
                connection.request("POST", "/up", body=os.urandom(n))
                reply = connection.getresponse()
                self.assertEqual((reply.status, len(reply.read())), (200, n or 3))
            connection.request("POST", "/", body=iter([b"a" * 5000, b"b" * 5000]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
            self.assertEqual(connection.getresponse().read(), b"a" * 5000 + b"b" * 5000)
            connection.close()


if __name__ == "__main__":
    unittest.main()
