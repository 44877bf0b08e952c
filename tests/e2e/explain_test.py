# tests/e2e/explain_test.py
#
# The verbs that look at a configuration, and a document in several files, as operators use them.
import json
import os
import unittest
from urllib.parse import urlencode
from xml.etree import ElementTree

from gateway import GatewayTest, ok, run, until

SHOP = """\
version: 1
include: [contexts/*.yaml]
listeners: {edge: {address: "127.0.0.1:0"}}
services: {monolith: {endpoints: ["127.0.0.1:1"]}}
routes: [{match: {path_prefix: /}, to: monolith}]
admin: {address: "127.0.0.1:0"}
"""


class Files(GatewayTest):
    def setUp(self):
        self.place = self.folder()

    def write(self, name, text):
        path = os.path.join(self.place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def orders(self, address, more=""):
        return self.write("contexts/orders.yaml", f"""\
services: {{orders: {{endpoints: ["{address}"]}}}}
routes: [{{match: {{path: "/orders/{{id}}"}}, to: {{service: orders, path: "/o/{{id}}{more}"}}}}]
""")


class Explain(Files):
    def test_a_file(self):
        shop = self.write("shop.yaml", SHOP)
        orders = self.orders("127.0.0.1:2")
        said = run("explain", shop, "GET", "http://shop.test/orders/7?a=1", "-H", "X-App: phone", "--from", "203.0.113.9")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn(f"/orders/{{id}}  {orders}:2", said.stdout)
        self.assertIn("outranked: it takes this request too: a whole path ranks before the prefix /", said.stdout)
        self.assertIn("sends GET /o/7?a=1", said.stdout)
        self.assertIn("203.0.113.9", said.stdout)
        answer = json.loads(run("explain", shop, "GET", "/orders/7", "--format", "json").stdout)
        self.assertEqual(answer["route"], "/orders/{id}")
        self.assertEqual(answer["captured"], {"id": "7"})
        self.assertEqual(answer["services"][0]["endpoints"], ["127.0.0.1:2"])

    def test_exit_statuses(self):
        shop = self.write("shop.yaml", SHOP.replace("to: monolith", "to: monolit"))
        self.assertEqual(run("explain", shop, "GET", "/").returncode, 1)
        self.assertEqual(run("routes", shop).returncode, 1)
        self.assertEqual(run("diff", shop, shop).returncode, 1)
        shop = self.write("shop.yaml", SHOP)
        for arguments in (["GET", "shop.test/"], ["GET", "/", "--listener", "nope"], ["GET", "/", "-H", "no colon"], ["GET", "/", "--from", "me"],
                          ["GET"], ["GET", "/", "--format", "xml"]):
            self.assertEqual(run("explain", shop, *arguments).returncode, 2, arguments)

    def test_a_running_gateway(self):
        self.orders("127.0.0.1:2")
        gateway = self.gateway(SHOP, folder=self.place)
        admin = self.client(gateway, "admin")
        answer = admin.get("/explain?method=GET&url=http://shop.test/orders/7")
        self.assertEqual((answer.status, answer.field("content-type")), (200, "application/json"))
        self.assertEqual(answer.json()["route"], "/orders/{id}")
        text = admin.get("/explain?url=/nothing&format=text")
        self.assertIn(b"to monolith", text.body)
        self.assertEqual(admin.get("/explain").status, 400)
        self.orders("127.0.0.1:2", "/new")
        self.assertTrue(gateway.reload())
        self.assertIn("/o/7/new", admin.get("/explain?url=/orders/7&format=text").body.decode())

    def test_what_limits_have_left_on_a_running_gateway(self):
        origin = self.origin(ok("x"))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", policies: [{{rate_limit: {{name: flood, requests: 3, per: 1h}}}}]}}}}
            services: {{shop: {{endpoints: ["localhost:{origin.port}"]}}}}
            routes: [{{match: {{path_prefix: /}}, to: shop}}]
            admin: {{address: "127.0.0.1:0"}}
        """)
        admin = self.client(gateway, "admin")

        def said():
            return admin.get("/explain?listener=edge&url=/&format=text").body.decode()
        self.assertIn("key is the client's address: 127.0.0.1; flood: 2 of 3 left", said())
        client = self.client(gateway)
        for _ in range(3):
            self.assertEqual(client.get().status, 200)
        self.assertIn("flood: spent, one more in 1200s", said())
        self.assertIn(f"127.0.0.1:{origin.port} of localhost", said())
        self.assertIn("flood: 2 of 3 left", admin.get("/explain?listener=edge&url=/&format=text&from=192.0.2.9").body.decode())

    def test_whom_a_running_gateway_favours_and_why(self):
        quick = self.origin(ok("x"))
        waiting = []
        stuck = self.origin(script=lambda wire: (waiting.append(wire.request()), wire.rest()))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services:
              shop: {{endpoints: ["{quick.address}", "{stuck.address}"], balance: least_request, breaker: {{failures: 5}}}}
            routes: [{{match: {{path_prefix: /}}, to: shop}}]
            admin: {{address: "127.0.0.1:0"}}
        """, workers=1)
        admin = self.client(gateway, "admin")

        def said():
            return admin.get("/explain?url=/&format=text").body.decode()
        self.assertIn("endpoint left to chance: several are alike; least_request: of two drawn", said())
        self.assertIn(f"{quick.address}, 0 under way, has answered nothing yet", said())
        sent = 0
        while not waiting:
            self.client(gateway).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            sent += 1
            self.assertTrue(until(lambda: len(waiting) + len(quick.requests) == sent))
        self.assertTrue(until(lambda: f"{quick.address}, 0 under way" in said()))
        self.assertIn(f"endpoint {quick.address}; least_request", said())
        self.assertRegex(said(), f"{stuck.address}, 1 under way, has answered nothing yet")
        loads = {one["endpoint"]: one for one in admin.get("/explain?url=/").json()["services"][0]["loads"]}
        self.assertEqual([(loads[of.address]["in_flight"], loads[of.address]["favoured"]) for of in (quick, stuck)], [(0, True), (1, False)])
        self.assertEqual(admin.ask("POST /breakers/shop?state=open HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status // 100, 2)
        self.assertIn("endpoint none while the breaker is open: 503 breaker_open", said())

    def test_routes_and_diff(self):
        shop = self.write("shop.yaml", SHOP)
        self.orders("127.0.0.1:2")
        lines = run("routes", shop).stdout.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[1], r"^edge  /orders/\{id\}  anyone  timeout: 15s  -> orders /o/\{id\}  .*orders\.yaml:2$")
        self.assertEqual(run("diff", shop, shop).stdout, "nothing changes for a request\n")
        other = self.write("other/shop.yaml", SHOP)
        said = run("diff", shop, other)
        self.assertEqual(said.returncode, 0)
        self.assertIn("- edge /orders/{id}", said.stdout)
        self.assertIn("its requests are now taken by: /* to monolith", said.stdout)


REASONS = """\
version: 1
listeners:
  edge:
    address: "127.0.0.1:0"
    policies:
      - cors: {origins: ["https://shop.example"], methods: [GET, POST]}
      - ip_filter: {deny: ["203.0.113.0/24"]}
      - rate_limit: {name: flood, requests: 1, per: 1h}
      - authenticate: [{api_key: x-api-key}]
  inside: {address: "127.0.0.1:0"}
consumers: {acme: {groups: [partners]}}
discovery: {registry: {address: "127.0.0.1:0"}}
services:
  shop: {endpoints: ["ORIGIN"]}
  gone: {endpoints: ["127.0.0.1:1"], health: {kind: tcp, every: 1s, timeout: 500ms, failures: 1}}
  nowhere: {registry: nobody}
  resting: {endpoints: ["ORIGIN"], breaker: {failures: 5}}
routes:
  - listener: edge
    routes:
      - {match: {path_prefix: /shop}, to: shop}
      - {match: {host: admin.shop.test, path: /host}, to: shop}
      - {match: {path: /exact}, to: shop}
      - {match: {method: GET, path: /method}, to: shop}
      - {match: {path: /header, headers: {x-app: phone}}, to: shop}
      - {match: {path: /query, query: {format: pdf}}, to: shop}
      - {match: {path: /shop/window}, to: shop}
      - {match: {path: /login}, skip: [authenticate], to: {response: {status: 204}}}
      - {match: {path: /partners}, policies: [{authorize: {groups: [partners]}}], to: shop}
      - {match: {path: /upload}, policies: [{body_limit: 1MiB}], to: shop}
      - {match: {path: /old}, to: {redirect: "https://new.test/"}}
      - {match: {path: /split}, to: {split: [{service: shop, share: 90%}, {service: resting, share: 10%}], by: headers.x-user}}
      - {match: {path: /missing}, to: {service: shop, path: "/users/{query.id}"}}
      - {match: {path: /nowhere}, to: nowhere}
      - {match: {path: /gone}, to: gone}
      - {match: {path: /resting}, to: resting}
  - {listener: inside, match: {path: /inside}, to: shop}
admin: {address: "127.0.0.1:0"}
"""


class Reasons(GatewayTest):
    def test_every_reason_is_told(self):
        origin = self.origin(ok("x"))
        gateway = self.gateway(REASONS.replace("ORIGIN", origin.address))
        admin = self.client(gateway, "admin")

        def said(path, **more):
            fields = {"listener": "edge", "format": "text", "url": "http://shop.test" + path, **more}
            return admin.get("/explain?" + urlencode([(name.rstrip("_"), value) for name, value in fields.items()])).body.decode()
        self.assertTrue(until(lambda: "unhealthy" in said("/gone")))
        self.client(gateway).get("/login")  # spends the limit
        self.assertEqual(admin.ask("POST /breakers/resting?state=open HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status // 100, 2)
        tried = r" .*rejected  .*"
        for path, more, expected in (
                ("/host", {}, tried + "host: its host is admin.shop.test"),
                ("/other", {}, tried + "path: its path is /exact"),
                ("/method", {"method": "POST"}, tried + "method: it takes GET"),
                ("/header", {}, tried + "header: it wants the header x-app: phone"),
                ("/query", {}, tried + "query: it wants the query parameter format: pdf"),
                ("/shop/window", {}, tried + "outranked: it takes this request too: a whole path ranks before a prefix"),
                ("/inside", {}, tried + "listener: it belongs to the listener inside"),
                ("/nothing", {}, "outcome +404\n"),
                ("/method", {"method": "DELETE"}, "outcome +405 with Allow: GET"),
                ("/a%zz", {}, "refused with 400"),
                ("/login", {}, "listener  authenticate.*skipped by the route"),
                ("/login", {}, "outcome +204"),
                ("/exact", {"from": "203.0.113.9"}, "client +203.0.113.9(.|\n)*listener  ip_filter: {deny: \\[\"203.0.113.0/24\"\\]}"),
                ("/exact", {}, "listener  rate_limit.*flood: spent, one more in [0-9]+s"),
                ("/exact", {"from": "192.0.2.1"}, "listener  rate_limit.*flood: 0 of 1 left"),
                ("/exact", {}, "listener  authenticate: {?"),
                ("/exact", {"method": "OPTIONS"}, "listener  cors: {origins"),
                ("/partners", {}, "route +authorize: {groups: .partners.}"),
                ("/upload", {"method": "POST"}, "route +body_limit: 1MiB"),
                ("/old", {}, "outcome +308 to https://new.test/"),
                ("/split", {"header": "X-User: u1"}, "outcome +to (shop|resting), by the header field \"x-user\": u1(.|\n)*not this request"),
                ("/missing", {}, 'refused with 400: .*"id"'),
                ("/nowhere", {}, "endpoint none: no instance is known, 503 no_endpoint"),
                ("/gone", {}, "endpoint none may be asked: 503 no_endpoint(.|\n)*unhealthy"),
                ("/resting", {}, "breaker: .*open(.|\n)*endpoint none while the breaker is open: 503 breaker_open")):
            with self.subTest(path=path, **more):
                self.assertRegex(said(path, **more), expected)


COMPOSED = """\
version: 1
listeners: {edge: {address: "127.0.0.1:0"}}
services: {users: {endpoints: ["127.0.0.1:1"]}, orders: {endpoints: ["127.0.0.1:2"]}}
routes: [{match: {path: "/home/{id}"}, to: {composition: home}}, {match: {path: /plain}, to: users}]
admin: {address: "127.0.0.1:0"}
compositions:
  home:
    calls:
      user: {service: users, path: "/users/{id}"}
      orders: {service: orders, path: "/of/{user.id}<&>'", when: "query.\\"</text>\\" || user", fallback: [{value: "<script>"}]}
"""


class Composed(Files):
    def test_explain_says_the_stages(self):
        shop = self.write("shop.yaml", COMPOSED)
        said = run("explain", shop, "GET", "/home/7")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("composition home, 2 calls in 2 stages", said.stdout)
        self.assertIn("GET /users/7", said.stdout)
        self.assertIn("waits for user", said.stdout)

    def test_a_running_gateway(self):
        gateway = self.gateway(COMPOSED)
        said = json.loads(self.client(gateway, "admin").get("/explain?url=/home/7").body)
        calls = {call["call"]: call for call in said["compositions"][0]["calls"]}
        self.assertEqual((calls["user"]["stage"], calls["user"]["request"], calls["user"]["required"]), (1, "GET /users/7", True))
        self.assertEqual((calls["orders"]["stage"], calls["orders"]["waits_for"], calls["orders"]["may_fail"]), (2, ["user"], False))
        self.assertEqual([service["service"] for service in said["services"]], ["users", "orders"])

    def test_plan_is_a_drawing_that_stands_alone(self):
        shop = self.write("shop.yaml", COMPOSED)
        drawn = run("plan", shop, "/home/{id}")
        self.assertEqual(drawn.returncode, 0, drawn.stderr)
        self.assertEqual(drawn.stdout, run("plan", shop, "/home/{id}").stdout)
        space = "{http://www.w3.org/2000/svg}"
        root = ElementTree.fromstring(drawn.stdout)
        self.assertEqual(root.tag, space + "svg")
        self.assertEqual({element.tag[len(space):] for element in root.iter()}, {"svg", "title", "style", "rect", "path", "g", "text"})
        texts = [text.text for text in root.iter(space + "text")]
        for text in ("composition home", "stage 1", "stage 2", "GET /users/{id}", "required", "GET /of/{user.id}<&>'", 'else value "<script>"'):
            self.assertIn(text, texts)
        self.assertNotRegex(drawn.stdout.replace("http://www.w3.org/2000/svg", ""), r"https?:|url\(|@import|href")
        self.assertEqual(json.loads(run("plan", shop, "home", "--format", "json").stdout)[0]["stages"], 2)

    def test_exit_statuses_of_plan(self):
        shop = self.write("shop.yaml", COMPOSED)
        for route, says in (("/home/{i}", "did you mean"), ("/plain", "leads to no composition"), ("", "no route and no composition")):
            said = run("plan", shop, route)
            self.assertEqual((said.returncode, said.stdout), (2, ""), route)
            self.assertIn(says, said.stderr)
        self.assertEqual(run("plan", self.write("shop.yaml", COMPOSED.replace("users,", "usrs,")), "home").returncode, 1)


class Include(Files):
    def test_a_change_of_an_included_file_is_loaded(self):
        first = self.origin(ok("first"))
        second = self.origin(ok("second"))
        self.orders(first.address)
        gateway = self.gateway(SHOP, folder=self.place)
        client = self.client(gateway)
        self.assertEqual(client.get("/orders/7").body, b"first")
        self.orders(second.address)
        self.assertTrue(gateway.said("configuration loaded"))
        self.assertEqual(client.get("/orders/7").body, b"second")

    def test_a_name_in_two_files(self):
        self.orders("127.0.0.1:2")
        self.write("contexts/again.yaml", "services: {orders: {endpoints: [\"127.0.0.1:3\"]}}\n")
        said = run("check", self.write("shop.yaml", SHOP))
        self.assertEqual(said.returncode, 1)
        self.assertRegex(said.stderr, r"orders\.yaml:1:12: error: \"orders\" is defined twice\n.*\n *\^ the first is at .*again\.yaml:1:12\n")


if __name__ == "__main__":
    unittest.main()
