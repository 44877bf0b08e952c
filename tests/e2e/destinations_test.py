# tests/e2e/destinations_test.py
#
# What stands at `to`, as a client and a service see it: rewritten requests, splits, redirects, answers of the gateway's own.
import unittest

from gateway import GatewayTest, ok


class Rewriting(GatewayTest):
    def shop(self, routes, **options):
        self.service = self.origin(ok("here", "X-Side: one"))
        self.other = self.origin(ok("there", "X-Side: two"))
        return self.gateway(f"""
            version: 1
            listeners:
              edge: {{address: "127.0.0.1:0"}}
            services:
              shop: {{endpoints: ["{self.service.address}"]}}
              other: {{endpoints: ["{self.other.address}"]}}
            routes:
              - {{match: {{path: /other}}, to: other}}
              - {{match: {{path: /shop}}, to: shop}}
              {routes}
        """, **options)

    def test_path_query_host_and_headers(self):
        gateway = self.shop("""- match: {path: "/api/orders/{id}"}
                to:
                  service: shop
                  path: "/orders/{id}"
                  query: {page: "{query.page || '1'}", app: "{headers.x-app}", sort: "{query.sort}"}
                  host: shop.internal
                  headers: {x-order: "{id}", x-client: "{client.address}", x-consumer: "{consumer.name}"}""")
        reply = self.client(gateway).get("/api/orders/a%2Fb?z=1&page=%262", "X-App: phone&x=1", "X-Consumer: forged")
        self.assertEqual(reply.status, 200)
        request = self.service.requests[-1]
        self.assertEqual(request.target, "/orders/a%2Fb?page=%262&app=phone%26x%3D1")
        self.assertEqual(request.all("host"), ["shop.internal"])
        self.assertEqual(request.all("x-order"), ["a/b"])
        self.assertEqual(request.all("x-client"), ["127.0.0.1"])
        self.assertEqual(request.all("x-consumer"), [])
        self.assertEqual(request.field("x-forwarded-host"), "shop.test")
        self.assertEqual(gateway.records(1)[-1]["path"], "/api/orders/a%2Fb?z=1&page=%262")

    def test_rest_of_a_prefix(self):
        gateway = self.shop("""- {match: {path_prefix: /auth}, to: {service: shop, path: "/sso/{rest}"}}""")
        client = self.client(gateway)
        for asked, seen in (("/auth/login/x?a=1", "/sso/login/x?a=1"), ("/auth", "/sso/"), ("/auth/", "/sso/")):
            self.assertEqual(client.get(asked).status, 200)
            self.assertEqual(self.service.requests[-1].target, seen)

    def test_no_metacharacter_leaves_its_place(self):
        gateway = self.shop("""- match: {path_prefix: /x}
                to: {service: shop, path: "/p/{query.v}", query: {q: "{query.v}"}, headers: {x-v: "{query.v}"}}""")
        client = self.client(gateway)
        for character in range(256):
            encoded = f"a%{character:02X}b"
            reply = client.get("/x?v=" + encoded)
            if (character < 32 and character != 9) or character == 127:
                self.assert_problem(reply, 400, close=False)
                continue
            self.assertEqual(reply.status, 200, encoded)
            request = self.service.requests[-1]
            plain = chr(character)
            kept = plain if plain.isascii() and (plain.isalnum() or plain in "-._~") else f"%{character:02X}"
            self.assertEqual(request.target, f"/p/a{kept}b?q=a{kept}b")
            self.assertEqual(request.field("x-v"), f"a{plain}b")

    def test_a_value_that_is_missing_is_the_clients_problem(self):
        gateway = self.shop("""- {match: {path: /u}, to: {service: shop, path: "/users/{query.id}"}}""")
        client = self.client(gateway)
        for target in ("/u", "/u?id=", "/u?id=.."):
            problem = self.assert_problem(client.get(target), 400, close=False)
            self.assertEqual(problem["type"], "errors.md#missing_input")
        self.assertEqual(self.service.requests, [])
        self.assertEqual(client.get("/u?id=7").status, 200)

    def test_a_retry_begins_with_the_request_as_it_came(self):
        seen = []

        def fail_once(wire):
            seen.append(wire.request().target)
            if len(seen) > 1:
                wire.send(ok("second"))
        flaky = self.origin(script=fail_once)
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{flaky: {{endpoints: ["{flaky.address}"], policies: [{{retry: {{attempts: 1}}}}]}}}}
            routes:
              - match: {{path: "/a/{{id}}"}}
                policies: [{{retry: {{attempts: 2, causes: [reset]}}}}]
                to: {{service: flaky, path: "/b/{{id}}/{{query.q}}", query: {{q: "{{query.q}}-x"}}}}
        """)
        self.assertEqual(self.client(gateway).get("/a/7?q=1").body, b"second")
        self.assertEqual(seen, ["/b/7/1?q=1-x", "/b/7/1?q=1-x"])

    def test_a_split_keeps_a_key_on_its_side(self):
        gateway = self.shop("""- match: {path: /s}
                to: {split: [{service: shop, share: 50%}, {service: other, share: 50%, path: /canary}], by: headers.x-user}""")
        client = self.client(gateway)
        sides = {}
        for round_ in range(3):
            for user in range(40):
                side = client.get("/s", f"X-User: u{user}").body
                self.assertEqual(sides.setdefault(user, side), side)
        self.assertEqual(set(sides.values()), {b"here", b"there"})
        self.assertTrue(all(request.target == "/canary" for request in self.other.requests))
        services = {record["service"] for record in gateway.records(120)}
        self.assertEqual(services, {"shop", "other"})


class Answers(GatewayTest):
    def test_a_listener_that_leads_to_tls(self):
        gateway = self.gateway("""
            version: 1
            listeners:
              edge: {address: "127.0.0.1:0", to: {redirect: {scheme: https, port: 8443}}}
        """)
        client = self.client(gateway)
        reply = client.get("/a/b?c=d")
        self.assertEqual((reply.status, reply.field("location"), reply.body), (308, "https://shop.test:8443/a/b?c=d", b""))
        reply = client.ask("POST /form HTTP/1.1\r\nHost: shop.test:80\r\nContent-Length: 3\r\n\r\nabc", "POST")
        self.assertEqual((reply.status, reply.field("location")), (308, "https://shop.test:8443/form"))

    def test_redirects_and_answers(self):
        gateway = self.gateway("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0"}}
            routes:
              - {match: {path_prefix: /docs}, to: {redirect: "https://docs.shop.example/v2/{rest}"}}
              - {match: {path: /old}, to: {redirect: {path: /new, status: 301}}}
              - {match: {path: "/hello/{name}"}, to: {response: {status: 200, body: "hello {name}"}}}
              - match: {path: /json}
                to:
                  response:
                    status: 200
                    headers: {content-type: application/json}
                    body: '{{"asked":"{query.q}"}}'
        """)
        client = self.client(gateway)
        self.assertEqual(client.get("/docs/a/b").field("location"), "https://docs.shop.example/v2/a/b")
        self.assertEqual(client.get("/old?x=1").field("location"), "/new?x=1")
        reply = client.get("/hello/%3Cb%3E")
        self.assertEqual(reply.body, b"hello <b>")
        self.assertEqual(reply.field("content-type"), "text/plain; charset=utf-8")
        self.assertEqual(reply.field("x-content-type-options"), "nosniff")
        self.assertEqual(client.get("/json?q=%22%0a%5c").json(), {"asked": '"\n\\'})


if __name__ == "__main__":
    unittest.main()
