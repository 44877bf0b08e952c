# tests/e2e/order_test.py
#
# Strangers learn nothing: 401 before 429 before 404 before a service is asked. Answers are compared byte for byte; the one
# thing that time changes (the t of RateLimit and Retry-After) is fixed by a period so long that a second does not show.
from gateway import GatewayTest, ok

import re
import unittest


def problem(code, title, status, detail, more=""):
    return ('{"type":"errors.md#%s","title":"%s","status":%d,"detail":"%s","request_id":"fixed-id"%s}' % (code, title, status, detail, more)).encode()


def answer(start, body, *fields):
    lines = "".join(field + "\r\n" for field in fields)
    return f"HTTP/1.1 {start}\r\n".encode() + lines.replace("LENGTH", str(len(body))).encode() + b"\r\n" + body


UNAUTHENTICATED = answer("401 Unauthorized",
                         problem("unauthenticated", "Not authenticated", 401, "The request needs valid credentials."),
                         'WWW-Authenticate: ApiKey realm="portloom"', "Content-Type: application/problem+json", "Content-Length: LENGTH",
                         "X-Request-Id: fixed-id")
NOT_FOUND = answer("404 Not Found", problem("not_found", "Not found", 404, "There is nothing at this host and path."),
                   "Content-Type: application/problem+json", "Content-Length: LENGTH", "X-Request-Id: fixed-id",
                   'RateLimit-Policy: "rate_limit";q=2;w=86400', 'RateLimit: "rate_limit";r=1;t=43200')
FORWARDED = answer("200 OK", b"the shop", "Content-Length: LENGTH", "X-Request-Id: fixed-id",
                   'RateLimit-Policy: "rate_limit";q=2;w=86400', 'RateLimit: "rate_limit";r=0;t=43200')
LIMITED = answer("429 Too Many Requests", problem("quota-exceeded", "Too many requests", 429, "The caller has used up its allowance for now.",
                         ',"violated-policies":["rate_limit"]'),
                 "Retry-After: SOON", "Content-Type: application/problem+json", "Content-Length: LENGTH", "X-Request-Id: fixed-id",
                 'RateLimit-Policy: "rate_limit";q=2;w=86400', 'RateLimit: "rate_limit";r=0;t=SOON')


class Order(GatewayTest):
    def configuration(self, errors):
        # Digests of "secret" and "other".
        return f"""
            version: 1
            listeners:
              edge:
                address: "127.0.0.1:0"
                errors: {errors}
                policies:
                  - authenticate: [{{api_key: {{header: x-api-key}}}}]
                  - rate_limit: {{requests: 2, per: 24h, key: consumer}}
            consumers:
              acme: {{tenant: blue, keys: ["sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]}}
              other: {{keys: ["sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"]}}
            services: {{shop: {{endpoints: ["{self.shop.address}"]}}}}
            routes: [{{match: {{method: GET, path_prefix: /shop}}, to: shop}}]
        """

    def setUp(self):
        self.shop = self.origin(ok("the shop"))

    def ask(self, client, path, *fields):
        reply = client.get(path, "X-Request-Id: fixed-id", *fields)
        dates = re.findall(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", reply.raw)
        self.assertEqual(len(dates), 1, reply.raw)
        reply.raw = reply.raw.replace(dates[0], b"\r\n")  # the rest is the same at all times
        if reply.status == 429:  # but for up to ten seconds, drawn anew, that those who were refused wait longer; the same in both
            soon = re.search(rb"Retry-After: (432[01]\d)\r", reply.raw)
            reply.raw = reply.raw.replace(soon[1], b"SOON")
        return reply

    def test_401_then_429_then_404_then_the_service(self):
        gateway = self.gateway(self.configuration("public"))
        client = self.client(gateway)
        self.assertEqual(self.ask(client, "/unknown").raw, UNAUTHENTICATED)
        self.assertEqual(self.ask(client, "/shop").raw, UNAUTHENTICATED)
        self.assertEqual(self.ask(client, "/unknown", "X-Api-Key: wrong").raw, UNAUTHENTICATED)
        self.assertEqual(self.ask(client, "/shop", "X-Api-Key: secret", "X-Api-Key: secret").raw, UNAUTHENTICATED)
        self.assertEqual(self.shop.requests, [])
        self.assertEqual(self.ask(client, "/unknown", "X-Api-Key: secret").raw, NOT_FOUND)
        self.assertEqual(self.ask(client, "/shop", "X-Api-Key: secret").raw, FORWARDED)
        self.assertEqual(self.ask(client, "/shop", "X-Api-Key: secret").raw, LIMITED)
        self.assertEqual(self.ask(client, "/unknown", "X-Api-Key: secret").raw, LIMITED)
        self.assertEqual(self.ask(client, "/unknown").raw, UNAUTHENTICATED)
        self.assertEqual(self.ask(client, "/unknown", "X-Api-Key: other").raw, NOT_FOUND)
        self.assertEqual(len(self.shop.requests), 1)
        self.assertIsNone(self.shop.requests[0].field("x-api-key"))
        records = gateway.records(10)
        self.assertEqual([r["status"] for r in records], [401, 401, 401, 401, 404, 200, 429, 429, 401, 404])
        self.assertEqual([r["consumer"] for r in records], [""] * 4 + ["acme"] * 4 + ["", "other"])
        self.assertEqual(records[5]["tenant"], "blue")

    def test_limit_counts_over_connections_and_workers(self):
        gateway = self.gateway(self.configuration("public"), workers=2)
        statuses = [self.ask(self.client(gateway), "/shop", "X-Api-Key: secret").status for _ in range(12)]
        self.assertEqual(sorted(statuses), [200] * 2 + [429] * 10)

    def test_wrong_method_is_405_with_allow(self):
        client = self.client(self.gateway(self.configuration("public")))
        reply = client.ask("DELETE /shop HTTP/1.1\r\nHost: a\r\nX-Api-Key: secret\r\n\r\n")
        self.assert_problem(reply, 405, close=False)
        self.assertEqual(reply.field("allow"), "GET, HEAD")

    def test_internal_errors_say_where(self):
        gateway = self.gateway(self.configuration("internal"))
        client = self.client(gateway)
        blamed = problem("unauthenticated", "Not authenticated", 401, "The request needs valid credentials.",
                         ',"blame":"client","reason":"unauthenticated","policy":"authenticate","config":"%s:8"' % gateway.file)
        self.assertEqual(self.ask(client, "/shop").body, blamed)
        for _ in range(2):
            self.ask(client, "/shop", "X-Api-Key: secret")
        limited = problem("quota-exceeded", "Too many requests", 429, "The caller has used up its allowance for now.",
                          ',"blame":"client","reason":"rate_limited","policy":"rate_limit","limit":"rate_limit: 2 per 1d",'
                          '"config":"%s:9","violated-policies":["rate_limit"]' % gateway.file)
        self.assertEqual(self.ask(client, "/shop", "X-Api-Key: secret").body, limited)


if __name__ == "__main__":
    unittest.main()
