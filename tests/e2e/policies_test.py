# tests/e2e/policies_test.py
#
# The policies as a client meets them, through curl where it is what people use: what passes, what is refused and how it is told.
import subprocess
import unittest

from gateway import GatewayTest, needs, ok, until

SECRET = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of: secret


class Curl(GatewayTest):
    def behind(self, policies, more=""):
        self.shop = self.origin(ok("the shop", "Access-Control-Allow-Origin: *"))
        return self.gateway(f"""
            version: 1
            listeners:
              edge:
                address: "127.0.0.1:0"
                policies: {policies}
            admin: {{address: "127.0.0.1:0"}}
            consumers:
              acme: {{groups: [partners], keys: ["{SECRET}"]}}
              boss: {{groups: [staff]}}
            services: {{shop: {{endpoints: ["{self.shop.address}"]}}}}
            routes:
              - {{match: {{path_prefix: /}}, to: shop}}
              {more}
        """)

    def curl(self, gateway, path, *options, given=None):
        """Status, fields in lower case (a repeated one as a list), body."""
        ran = subprocess.run(["curl", "-sS", "-i", "--http1.1", "--max-time", "10", *options, gateway.url + path],
                             capture_output=True, input=given, check=True)
        head, _, body = ran.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields.setdefault(name.lower(), []).append(value.strip())
        return int(lines[0].split(" ")[1]), fields, body

    def verdicts(self, gateway):
        page = self.client(gateway, "admin").get("/metrics").body.decode()
        return [line for line in page.splitlines() if line.startswith("portloom_policy_verdicts_total")]


@needs("curl")
class Cors(Curl):
    POLICIES = '[{cors: {origins: ["https://shop.example"], methods: [GET, PUT], credentials: true}}, {authenticate: [{api_key: x-api-key}]}]'

    def test_a_preflight_is_answered_before_anybody_asks_who_calls(self):
        gateway = self.behind(self.POLICIES)
        status, fields, body = self.curl(gateway, "/", "-X", "OPTIONS", "-H", "Origin: https://shop.example", "-H",
                                         "Access-Control-Request-Method: PUT", "-H", "Access-Control-Request-Headers: content-type")
        self.assertEqual((status, body), (204, b""))
        self.assertEqual(fields["access-control-allow-origin"], ["https://shop.example"])
        self.assertEqual(fields["access-control-allow-methods"], ["GET, PUT"])
        self.assertEqual(fields["access-control-allow-headers"], ["content-type"])
        self.assertEqual(self.shop.requests, [])
        self.assertTrue(until(lambda: any('policy="cors"' in line and 'verdict="answered"' in line for line in self.verdicts(gateway))))
        status, fields, _ = self.curl(gateway, "/", "-X", "OPTIONS", "-H", "Origin: https://evil.example", "-H",
                                      "Access-Control-Request-Method: PUT")
        self.assertEqual(status, 403)
        self.assertNotIn("access-control-allow-origin", fields)

    def test_a_page_can_read_why_it_was_refused(self):
        gateway = self.behind(self.POLICIES)
        status, fields, _ = self.curl(gateway, "/", "-H", "Origin: https://shop.example")
        self.assertEqual(status, 401)
        self.assertEqual(fields["access-control-allow-origin"], ["https://shop.example"])
        self.assertEqual(fields["vary"], ["Origin"])

    def test_what_the_service_says_does_not_count(self):
        gateway = self.behind(self.POLICIES)
        key = ("-H", "X-Api-Key: secret")
        status, fields, _ = self.curl(gateway, "/", *key, "-H", "Origin: https://shop.example")
        self.assertEqual((status, fields["access-control-allow-origin"]), (200, ["https://shop.example"]))
        status, fields, _ = self.curl(gateway, "/", *key, "-H", "Origin: https://evil.example")
        self.assertEqual((status, fields["vary"]), (200, ["Origin"]))
        self.assertNotIn("access-control-allow-origin", fields)


@needs("curl")
class Refused(Curl):
    def test_by_address(self):
        gateway = self.behind("[{ip_filter: {allow: 10.0.0.0/8}}]")
        self.assertEqual(self.curl(gateway, "/")[0], 403)
        self.assertEqual(self.shop.requests, [])
        record = gateway.records(1)[0]
        self.assertEqual((record["policy"], record["reason"], record["config"]), ("ip_filter", "forbidden", gateway.file + ":6"))
        gateway = self.behind("[{ip_filter: {deny: 10.0.0.0/8}}]")
        self.assertEqual(self.curl(gateway, "/")[0], 200)

    def test_by_the_size_of_the_body(self):
        gateway = self.behind("[{body_limit: 1KiB}]")
        whole, chunked = b"x" * 1024, ("-H", "Transfer-Encoding: chunked")
        for options in ((), chunked):
            with self.subTest(options):
                self.assertEqual(self.curl(gateway, "/", *options, "--data-binary", "@-", given=whole)[0], 200)
                status, fields, body = self.curl(gateway, "/", *options, "--data-binary", "@-", given=whole + b"x")
                self.assertEqual((status, fields["content-type"]), (413, ["application/problem+json"]))
                self.assertIn(b'"limit":"body_limit 1KiB"', body)
        self.assertEqual(self.curl(gateway, "/", *chunked, "-H", "Expect:", "--data-binary", "@-", given=b"x" * 200_000)[0], 413)
        self.assertEqual(self.curl(gateway, "/")[0], 200)

    def test_by_who_calls(self):
        gateway = self.behind("[{authenticate: [{api_key: x-api-key}]}, {authorize: {groups: [staff]}}]")
        self.assertEqual(self.curl(gateway, "/")[0], 401)
        self.assertEqual(self.curl(gateway, "/", "-H", "X-Api-Key: secret")[0], 403)
        gateway = self.behind("[{authenticate: [{api_key: x-api-key}]}, {authorize: {groups: [partners]}}]")
        self.assertEqual(self.curl(gateway, "/", "-H", "X-Api-Key: secret")[0], 200)

    def test_by_one_of_several_limits(self):
        gateway = self.behind("[{rate_limit: {limits: [{name: burst, requests: 2, per: 24h}, {name: day, requests: 9, per: 24h}], "
                              "key: headers.x-app || query.app}}]")
        statuses = [self.curl(gateway, "/?app=one")[0] for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 429])
        self.assertEqual(self.curl(gateway, "/?app=two")[0], 200)
        status, fields, body = self.curl(gateway, "/?app=one")
        self.assertIn(b'"type":"errors.md#quota-exceeded"', body)
        self.assertIn(b'"violated-policies":["burst"]', body)
        self.assertEqual(fields["ratelimit-policy"], ['"burst";q=2;w=86400, "day";q=9;w=86400'])

    def test_nobody_in_a_dry_run(self):
        gateway = self.behind("[{rate_limit: {name: soft, requests: 1, per: 24h, dry_run: true}}]")
        self.assertEqual([self.curl(gateway, "/")[0] for _ in range(2)], [200, 200])
        records = gateway.records(2)  # of two workers, in no order
        self.assertEqual(sorted(record["dry_run"] for record in records), ["", "soft: 1 per 1d"])
        self.assertTrue(until(lambda: any('verdict="dry_run"' in line for line in self.verdicts(gateway))))


if __name__ == "__main__":
    unittest.main()
