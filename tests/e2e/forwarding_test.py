# tests/e2e/forwarding_test.py
#
# What a service sees of a request: fields of one hop, fields about the client, and one path for router and service alike.
import unittest

from gateway import GatewayTest, ok


class Fields(GatewayTest):
    def through(self, listener=""):
        self.behind = self.origin(lambda request: ok("x", "Connection: X-Private, close" if request.target == "/hop" else "X-A: b",
                                                     "X-Private: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic"))
        return self.client(self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin{listener}}}}}
            services: {{origin: {{endpoints: ["{self.behind.address}"]}}}}
        """))

    def seen(self, client, *fields, path="/"):
        self.assertEqual(client.get(path, *fields).status, 200)
        return self.behind.requests[-1]

    def test_fields_of_one_hop_stay_here(self):
        client = self.through()
        seen = self.seen(client, "Connection: keep-alive, X-Secret, x-other", "X-Secret: 1", "X-Other: 2", "Keep-Alive: timeout=9",
                         "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "TE: gzip", "Upgrade: h2c", "X-Kept: yes")
        for gone in ("x-secret", "x-other", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "connection"):
            self.assertIsNone(seen.field(gone), gone)
        self.assertNotIn("gzip", seen.field("te") or "")
        self.assertEqual(seen.field("x-kept"), "yes")
        self.assertEqual(seen.field("host"), "shop.test")

    def test_fields_of_one_hop_of_an_answer(self):
        client = self.through()
        reply = client.get("/hop")
        for gone in ("x-private", "keep-alive", "connection"):
            self.assertIsNone(reply.field(gone), gone)
        self.assertEqual(client.get("/").field("x-a"), "b")

    def test_connection_cannot_strip_what_is_ours(self):
        seen = self.seen(self.through(), "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Request-Id, Via, Host, Content-Length",
                         "X-Forwarded-For: 6.6.6.6")
        self.assertEqual(seen.all("x-forwarded-for"), ["127.0.0.1"])
        self.assertEqual(seen.all("x-forwarded-proto"), ["http"])
        self.assertEqual(seen.all("host"), ["shop.test"])
        self.assertTrue(seen.field("x-request-id"))
        self.assertTrue(seen.field("via"))

    def test_a_stranger_is_not_believed(self):
        seen = self.seen(self.through(), "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test",
                         "X-Forwarded-Port: 1", "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6")
        self.assertEqual(seen.all("x-forwarded-for"), ["127.0.0.1"])
        self.assertEqual(seen.all("x-forwarded-proto"), ["http"])
        self.assertEqual(seen.all("x-forwarded-host"), ["shop.test"])
        self.assertNotIn("6.6.6.6", seen.raw.decode())

    def test_a_trusted_proxy_is_believed_and_appended_to(self):
        client = self.through(', trusted_proxies: ["127.0.0.0/8"]')
        seen = self.seen(client, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: first.test")
        self.assertEqual(seen.all("x-forwarded-for"), ["192.0.2.7, 127.0.0.1"])
        self.assertEqual(seen.all("x-forwarded-proto"), ["https"])
        self.assertEqual(seen.all("x-forwarded-host"), ["first.test"])

    def test_client_of_a_trusted_proxy_is_in_the_log(self):
        origin = self.origin(ok("x"))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin, trusted_proxies: ["127.0.0.0/8", 10.0.0.0/8]}}}}
            services: {{origin: {{endpoints: ["{origin.address}"]}}}}
        """)
        self.client(gateway).get("/", "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.1.1.1")
        self.assertEqual(gateway.records(1)[0]["client"], "192.0.2.7")

    def test_via(self):
        client = self.through()
        self.assertEqual(self.seen(client).all("via"), ["1.1 portloom"])
        self.assertEqual(self.seen(client, "Via: 1.0 first").all("via"), ["1.0 first, 1.1 portloom"])

    def test_request_id_is_made_or_kept(self):
        client = self.through()
        reply = client.get("/")
        made = self.behind.requests[-1].field("x-request-id")
        self.assertRegex(made, "^[0-9a-f]{32}$")
        self.assertEqual(reply.all("x-request-id"), [made])
        reply = client.get("/", "X-Request-Id: my-id.1_a")
        self.assertEqual(self.behind.requests[-1].all("x-request-id"), ["my-id.1_a"])
        self.assertEqual(reply.all("x-request-id"), ["my-id.1_a"])
        for bad in ("with space", "x" * 300, 'quote"', "a;b"):
            reply = client.get("/", "X-Request-Id: " + bad)
            self.assertRegex(reply.field("x-request-id"), "^[0-9a-f]{32}$")
            self.assertEqual(self.behind.requests[-1].all("x-request-id"), reply.all("x-request-id"))

    def test_absolute_target_makes_the_host(self):
        client = self.through()
        reply = client.ask("GET http://real.test:81/a?b=c HTTP/1.1\r\nHost: other.test\r\n\r\n")
        self.assertEqual(reply.status, 200)
        seen = self.behind.requests[-1]
        self.assertEqual((seen.target, seen.all("host"), seen.all("x-forwarded-host")), ("/a?b=c", ["real.test:81"], ["real.test:81"]))

    def test_other_fields_go_through_in_order(self):
        fields = ["Accept: a/b", "X-One: 1", "x-two: 2", "X-One: 3", "Cookie: a=b; c=d", "Authorization: Bearer x", "X-Empty:", "X-Utf: \xe9\xfc"]
        seen = self.seen(self.through(), *fields)
        self.assertEqual(seen.all("x-one"), ["1", "3"])
        self.assertEqual([seen.field(name) for name in ("accept", "cookie", "authorization", "x-empty", "x-utf")],
                         ["a/b", "a=b; c=d", "Bearer x", "", "\xe9\xfc"])
        self.assertIn("x-two", [name for name, _ in seen.fields])


class Paths(GatewayTest):
    def test_router_and_service_see_the_same_path(self):
        open_door = self.origin(lambda request: ok("open " + request.target))
        closed = self.origin(lambda request: ok("admin " + request.target))
        client = self.client(self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services:
              open: {{endpoints: ["{open_door.address}"]}}
              admin: {{endpoints: ["{closed.address}"]}}
            routes:
              - {{match: {{path_prefix: /}}, to: open}}
              - {{match: {{path_prefix: /admin}}, to: admin}}
        """))
        for sent, seen in {"/": "open /",
                           "/a/../admin": "admin /admin",
                           "/a/../admin/x": "admin /admin/x",
                           "//admin": "admin /admin",
                           "/a//b": "open /a/b",
                           "/./admin/./x": "admin /admin/x",
                           "/a/%2e%2e/admin": "admin /admin",
                           "/a/.%2E/admin": "admin /admin",
                           "/%61dmin": "admin /admin",
                           "/admin/../open": "open /open",
                           "/../../open": "open /open",
                           "/admin/..": "open /",
                           "/a%2fadmin": "open /a%2Fadmin",
                           "/a/..%2Fadmin": "open /a/..%2Fadmin",
                           "/administrator": "open /administrator",
                           "/Admin": "open /Admin",
                           "/admin?x=/../open": "admin /admin?x=/../open",
                           "/admin/": "admin /admin/",
                           "/%7Euser": "open /~user",
                           "/a%20b?q=%7e": "open /a%20b?q=%7e",
                           "http://h.test/a/../admin": "admin /admin"}.items():
            with self.subTest(sent):
                self.assertEqual(client.get(sent).body.decode(), seen)


if __name__ == "__main__":
    unittest.main()
