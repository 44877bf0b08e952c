# tests/e2e/availability_test.py
#
# Composed availability over real services: one of them fails now and then, and /status, its text and the metrics say what that costs.
import json
import re
import unittest

from gateway import GatewayTest, ok, until


class Availability(GatewayTest):
    def shop(self, extra=""):
        self.asked = 0

        def reviews(request):
            self.asked += 1
            fails = self.asked % 4 == 0
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" if fails else ok(b"[1]")

        self.users = self.origin(lambda request: ok(b'{"id":7}') if request.target != "/nobody" else
                                 b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.reviews = self.origin(reviews)
        return self.gateway(self.configuration(extra), workers=2)

    def configuration(self, extra=""):
        return f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            admin: {{address: "127.0.0.1:0"}}
            services:
              users: {{endpoints: ["{self.users.address}"]}}
              reviews: {{endpoints: ["{self.reviews.address}"]}}
            routes:
              - {{name: home, match: {{path: /home}}, objective: {{latency: 30s}}, to: {{composition: home}}}}
              - {{name: plain, match: {{path_prefix: /plain}}, to: {{service: users, path: "/{{rest}}"}}}}
              {extra}
            compositions:
              home:
                calls:
                  user: {{service: users, path: /me}}
                  reviews: {{service: reviews, path: /of, fallback: [{{value: []}}]}}
                  more: {{service: reviews, path: /more, when: query.more, fallback: [{{value: []}}]}}
        """

    def availability(self, gateway):
        return json.loads(gateway.page("/status"))["availability"]

    def counted(self, gateway, route, count):
        """What is known of a route, once that many answers were counted: the last is written behind its last byte."""
        def known():
            found = self.availability(gateway)
            return found if found["routes"].get(route, {}).get("5m", {}).get("counted", 0) >= count else None
        return until(known)

    def test_a_service_that_fails_costs_what_it_costs(self):
        gateway = self.shop()
        client = self.client(gateway)
        degraded = sum("degraded" in client.get("/home").json() for _ in range(40))
        self.assertEqual(degraded, 10)
        known = self.counted(gateway, "home", 40)
        home = known["routes"]["home"]
        self.assertEqual(home["composition"], "home")
        self.assertEqual(home["objective"], "30s")
        for window in ("5m", "1h"):
            self.assertEqual(home[window], {
                "counted": 40, "answered": 1, "complete": 0.75, "in_time": 1, "composed": {"answered": 1, "complete": 0.75},
                "costs_most": "reviews", "cost": 0.25})
        calls = known["compositions"]["home"]["5m"]["calls"]
        self.assertEqual(calls["user"], {"to": "users", "required": True, "made": 1, "delivered": 1, "cost": 0})
        self.assertEqual(calls["reviews"], {"to": "reviews", "required": False, "made": 1, "delivered": 0.75, "cost": 0.25})
        self.assertEqual(calls["more"], {"to": "reviews", "required": False, "made": 0, "delivered": 0.75, "cost": 0})
        self.assertEqual(known["services"]["reviews"]["5m"], {"counted": 40, "delivered": 0.75})

        text = gateway.page("/status?format=text")
        self.assertRegex(text, r"(?m)^home +40 +100\.000% +100\.000% +75\.000% +75\.000% +100\.000%  reviews 25\.000%$")
        metrics = gateway.page("/metrics")
        self.assertIn('portloom_route_composed_availability_ratio{route="home",window="5m",of="complete"} 0.75\n', metrics)
        self.assertIn('portloom_answers_total{route="home",outcome="degraded"} 10\n', metrics)
        self.assertEqual(self.client(gateway, "admin").get("/status?format=yaml").status, 400)

    def test_a_required_service_that_is_away_is_the_routes_failure(self):
        gateway = self.shop()
        self.users.close()
        client = self.client(gateway)
        for _ in range(4):
            self.assertEqual(client.get("/home").status, 502)
        known = self.counted(gateway, "home", 4)["routes"]["home"]["5m"]
        self.assertEqual((known["answered"], known["composed"]["answered"], known["costs_most"]), (0, 0, "user"))

    def test_what_clients_do_does_not_count(self):
        gateway = self.shop()
        client = self.client(gateway)
        for path in ("/plain/x", "/plain/nobody", "/plain/nobody", "/plain/x"):
            client.get(path)
        known = self.counted(gateway, "plain", 2)
        self.assertEqual(known["routes"]["plain"]["5m"], {"counted": 2, "answered": 1, "complete": 1, "composed": {"answered": 1, "complete": 1}})
        self.assertEqual(known["services"]["users"]["5m"], {"counted": 2, "delivered": 1})

    def test_a_reload_keeps_what_stays(self):
        extra = "- {name: gone, match: {path: /gone}, to: users}"
        gateway = self.shop(extra)
        client = self.client(gateway)
        for _ in range(4):
            client.get("/home")
        client.get("/gone")
        self.counted(gateway, "gone", 1)
        self.counted(gateway, "home", 4)
        gateway.write(self.configuration())
        self.assertTrue(gateway.reload())
        self.client(gateway).get("/home")
        known = self.counted(gateway, "home", 5)
        self.assertEqual(known["routes"]["home"]["5m"]["counted"], 5)
        self.assertNotIn("gone", known["routes"])
        self.assertFalse(re.search(r'route="gone"', gateway.page("/metrics")))


if __name__ == "__main__":
    unittest.main()
