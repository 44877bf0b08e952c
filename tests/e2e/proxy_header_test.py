# tests/e2e/proxy_header_test.py
#
# PROXY headers to services: nginx and HAProxy as origins that demand one, in plain text and in front of TLS.
import os
import subprocess
import unittest

from gateway import GatewayTest, free_port, needs, reachable
from authority import Authority

NGINX = """
daemon off; master_process off; pid {at}/nginx.pid; error_log stderr; {user}
events {{}}
http {{
  access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fast; uwsgi_temp_path {at}/uwsgi;
  scgi_temp_path {at}/scgi; default_type text/plain;
  server {{
    listen 127.0.0.1:{port} proxy_protocol;
    listen 127.0.0.1:{secure} ssl proxy_protocol;
    ssl_certificate {at}/shop.pem; ssl_certificate_key {at}/shop.key;
    location / {{
      return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port $connection_requests $https";
    }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend door
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port] 1 "
"""


class ToServices(GatewayTest):
    def start_gateway(self, port, more):
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", trusted_proxies: [127.0.0.0/8]}}}}
            services: {{origin: {{endpoints: ["127.0.0.1:{port}"], {more}}}}}
            routes: [{{match: {{path_prefix: /}}, to: origin}}]
        """, workers=1)

    def told(self, client, *fields):
        reply = client.get("/", *fields)
        self.assertEqual(reply.status, 200)
        return reply.body.decode().split()

    def expect_told(self, port, more, secure=False):
        gateway = self.start_gateway(port, more)
        door = gateway.address
        client = self.client(gateway)
        mine = client.socket.getsockname()
        for _ in range(2):  # a connection each
            told = self.told(client)
            self.assertEqual(told[:5], [mine[0], str(mine[1]), door[0], str(door[1]), "1"])
            self.assertEqual(told[5:], ["on"] if secure else [])
        self.assertEqual(self.told(client, "X-Forwarded-For: 203.0.113.9")[0], "203.0.113.9")
        self.assertEqual(self.told(client, "X-Forwarded-For: 2001:db8::9")[0], "2001:db8::9")

    @needs("nginx")
    @needs("openssl")
    def test_nginx(self):
        authority = Authority(self.folder())
        authority.issue("shop", "shop.test")
        port, secure = free_port(), free_port()
        path = authority.path("nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(NGINX.format(at=authority.folder, port=port, secure=secure, user="user root;" if os.geteuid() == 0 else ""))
        self.start("nginx", "-c", path, "-p", authority.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertTrue(reachable(port))
        tls = f"tls: {{ca: {authority.path('ca.pem')}, server_name: shop.test}}"
        for version in ("v1", "v2"):
            self.expect_told(port, f"proxy_protocol: {version}")
            self.expect_told(secure, f"proxy_protocol: {version}, {tls}", secure=True)
        self.assert_problem(self.client(self.start_gateway(secure, tls)).get("/"), 502)  # without one nobody is let in

    @needs("haproxy")
    def test_haproxy(self):
        port = free_port()
        path = os.path.join(self.folder(), "haproxy.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.write(HAPROXY.format(port=port))
        self.start("haproxy", "-f", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertTrue(reachable(port))
        for version in ("v1", "v2"):
            self.expect_told(port, f"proxy_protocol: {version}")


if __name__ == "__main__":
    unittest.main()
