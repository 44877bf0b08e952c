# tests/e2e/upstream_tls_test.py
#
# TLS to services: nginx as the origin, with certificates that are good, expired, for another name, by another authority, and
# with a demand for ours.
import os
import subprocess
import unittest

from gateway import GatewayTest, free_port, needs, reachable, until
from authority import Authority

SITE = """
server {{
  listen 127.0.0.1:{port} ssl {more};
  ssl_certificate {at}/{pair}.pem;
  ssl_certificate_key {at}/{pair}.key;
  {extra}
  location / {{ default_type text/plain; return 200 "$ssl_server_name $ssl_session_reused $ssl_client_s_dn $server_protocol"; }}
}}
"""


class Nginx:
    """nginx with one TLS port per site; sites are (pair, more of `listen`, more directives)."""

    def __init__(self, test, folder, sites):
        self.ports = [free_port() for _ in sites]
        self.folder = folder
        text = "".join(SITE.format(port=port, at=folder, pair=pair, more=more, extra=extra)
                       for port, (pair, more, extra) in zip(self.ports, sites))
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(f"""
                daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; {"user root;" if os.geteuid() == 0 else ""}
                events {{}}
                http {{
                  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fast;
                  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
                  {text}
                }}""")
        test.start("nginx", "-c", os.path.join(folder, "nginx.conf"), "-p", folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for port in self.ports:
            test.assertTrue(reachable(port))


@needs("openssl")
@needs("nginx")
class Services(GatewayTest):
    def setUp(self):
        self.authority = Authority(self.folder())

    def at(self, name):
        return self.authority.path(name)

    def start_gateway(self, endpoint, tls, more=""):
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{origin: {{endpoints: ["{endpoint}"], tls: {tls}{more}}}}}
            routes: [{{match: {{path_prefix: /}}, to: origin}}]
        """, workers=1)

    def nginx(self, *sites):
        return Nginx(self, self.authority.folder, sites)

    def refusal(self, gateway):
        problem = self.assert_problem(self.client(gateway).get("/"), 502)
        self.assertEqual(problem["blame"], "upstream")
        return problem["detail"]

    def test_name_and_resumption(self):
        self.authority.issue("good", "shop.test")
        port, = self.nginx(("good", "", "keepalive_requests 1;")).ports
        gateway = self.start_gateway(f"127.0.0.1:{port}", f"{{ca: {self.at('ca.pem')}, server_name: shop.test}}")
        client = self.client(gateway)
        self.assertEqual(client.get("/").body.split()[:2], [b"shop.test", b"."])
        self.assertEqual(client.get("/").body.split()[:2], [b"shop.test", b"r"])

    def test_sessions_outlast_a_reload(self):
        self.authority.issue("good", "shop.test")
        port, = self.nginx(("good", "", "keepalive_requests 1;")).ports
        gateway = self.start_gateway(f"127.0.0.1:{port}", f"{{ca: {self.at('ca.pem')}, server_name: shop.test}}")
        self.assertEqual(self.client(gateway).get("/").body.split()[1], b".")
        text = open(gateway.file, encoding="utf-8").read()
        gateway.write(text + "\nlimits: {connections: 100}\n")
        gateway.reload()
        self.assertEqual(self.client(gateway).get("/").body.split()[1], b"r")

    def test_endpoints_host_is_asked_for_and_checked(self):
        self.authority.issue("good", "localhost", "IP:127.0.0.1")
        port, = self.nginx(("good", "", "")).ports
        by_name = self.start_gateway(f"localhost:{port}", f"{{ca: {self.at('ca.pem')}}}")
        self.assertEqual(self.client(by_name).get("/").body.split()[0], b"localhost")
        by_address = self.start_gateway(f"127.0.0.1:{port}", f"{{ca: {self.at('ca.pem')}}}")
        self.assertEqual(self.client(by_address).get("/").status, 200)

    def test_what_is_not_believed_is_502_and_says_why(self):
        self.authority.issue("expired", "shop.test", days=0)
        self.authority.issue("other", "other.test")
        strangers = Authority(self.authority.folder, "strangers")
        strangers.issue("strange", "shop.test")
        ports = self.nginx(("expired", "", ""), ("other", "", ""), ("strange", "", "")).ports
        until(lambda: subprocess.run(["openssl", "x509", "-checkend", "0", "-noout", "-in", self.at("expired.pem")],
                                     capture_output=True, check=False).returncode != 0)
        for port, why in zip(ports, ("has expired", "not for the name shop.test", "unknown authority")):
            gateway = self.start_gateway(f"127.0.0.1:{port}", f"{{ca: {self.at('ca.pem')}, server_name: shop.test}}")
            self.assertIn(why, self.refusal(gateway))
        system = self.start_gateway(f"127.0.0.1:{ports[1]}", "true")
        self.assertIn("unknown authority", self.refusal(system))
        trusting = self.start_gateway(f"127.0.0.1:{ports[2]}", "{verify: false}")
        self.assertEqual(self.client(trusting).get("/").status, 200)

    def test_own_certificate_is_shown(self):
        self.authority.issue("good", "shop.test")
        self.authority.issue("gateway")
        port, = self.nginx(("good", "", f"ssl_client_certificate {self.at('ca.pem')}; ssl_verify_client on;")).ports
        expected = f"ca: {self.at('ca.pem')}, server_name: shop.test"
        own = f", cert: {self.at('gateway.pem')}, key: {{file: {self.at('gateway.key')}}}"
        self.assertIn(b"CN=gateway", self.client(self.start_gateway(f"127.0.0.1:{port}", f"{{{expected}{own}}}")).get("/").body)
        self.assertEqual(self.client(self.start_gateway(f"127.0.0.1:{port}", f"{{{expected}}}")).get("/").status, 400)  # nginx's own

    def test_http2_by_alpn(self):
        self.authority.issue("good", "shop.test")
        ports = self.nginx(("good", "http2", ""), ("good", "", "")).ports
        tls = f"{{ca: {self.at('ca.pem')}, server_name: shop.test}}"
        speaks = self.start_gateway(f"127.0.0.1:{ports[0]}", tls, ", protocol: http2")
        self.assertEqual(self.client(speaks).get("/").body.split()[-1], b"HTTP/2.0")
        does_not = self.start_gateway(f"127.0.0.1:{ports[1]}", tls, ", protocol: http2")
        self.assertIn("application protocol", self.refusal(does_not))

    def test_a_changed_authority_is_read_again(self):
        strangers = Authority(self.authority.folder, "strangers")
        strangers.issue("strange", "shop.test")
        port, = self.nginx(("strange", "", "")).ports
        gateway = self.start_gateway(f"127.0.0.1:{port}", f"{{ca: {self.at('ca.pem')}, server_name: shop.test}}")
        self.assertIn("unknown authority", self.refusal(gateway))
        os.replace(self.at("strangers.pem"), self.at("ca.pem"))
        self.assertTrue(until(lambda: self.client(gateway).get("/").status == 200))


if __name__ == "__main__":
    unittest.main()
