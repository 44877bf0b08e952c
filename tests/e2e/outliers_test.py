# tests/e2e/outliers_test.py
#
# Outlier ejection with real processes: an instance that fails is left out, its reason can be read, it comes back; the last ones stay.
import json
import time
import unittest

from gateway import GatewayTest, ok, until

BAD = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


class Outliers(GatewayTest):
    def start_gateway(self, count, outliers, balance="round_robin"):
        self.bad = set()
        self.services = [self.origin(lambda request, i=i: BAD if i in self.bad else ok(str(i))) for i in range(count)]
        addresses = ", ".join(f'"{one.address}"' for one in self.services)
        self.edge = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: shop}}}}
            services:
              shop: {{endpoints: [{addresses}], balance: {balance}, outliers: {outliers}, policies: [retry: {{attempts: 1}}]}}
            admin: {{address: "127.0.0.1:0"}}
        """)

    def get(self, count):
        client = self.edge.client()
        statuses = [client.get().status for _ in range(count)]
        client.close()
        return statuses

    def test_an_instance_that_fails_is_left_out_and_comes_back(self):
        self.start_gateway(4, "{consecutive: 5, eject_for: 1s}")
        self.bad = {1}
        self.assertEqual(self.get(40).count(503), 5)
        self.assertEqual(self.edge.health("shop"), ["fit", "ejected", "fit", "fit"])
        address = self.services[1].address
        self.assertTrue(self.edge.said(f"{address} of shop is left out for 1s: 5 gateway errors in a row"))
        asked = len(self.services[1].requests)
        self.assertEqual(self.get(20), [200] * 20)
        self.assertEqual(len(self.services[1].requests), asked)
        self.assertEqual(json.loads(self.edge.page("/status"))["endpoints"]["shop"][1]["reason"], "5 gateway errors in a row")
        self.assertIn(f"{address}, ejected: 5 gateway errors in a row", self.edge.page("/explain?method=GET&url=/&format=text"))
        metrics = self.edge.page("/metrics")
        self.assertIn('portloom_ejections_total{service="shop",reason="consecutive"} 1', metrics)
        self.assertIn('portloom_endpoints{service="shop",state="ejected"} 1', metrics)
        self.bad = set()
        self.assertTrue(until(lambda: self.edge.health("shop") == ["fit"] * 4, 3))
        self.assertTrue(self.edge.said(f"{address} of shop is asked again"))
        self.get(16)
        self.assertGreater(len(self.services[1].requests), asked)

    def test_one_that_hangs_is_left_out(self):
        self.start_gateway(2, "{consecutive: 2, eject_for: 1m}")
        self.services[0].answer = lambda request: time.sleep(3) or ok("late")
        with open(self.edge.file) as file:
            written = file.read()
        self.edge.write(written.replace("[retry: {attempts: 1}]", "[timeout: 200ms, retry: {attempts: 1}]"))
        self.assertTrue(self.edge.reload())
        statuses = self.get(12)
        self.assertEqual(statuses.count(504), 2)
        self.assertEqual(self.edge.health("shop"), ["ejected", "fit"])

    def test_half_of_them_stay_whatever_happens(self):
        self.start_gateway(4, "{consecutive: 2, eject_for: 1m}")
        self.bad = {0, 1, 2, 3}
        self.assertEqual(set(self.get(60)), {503})
        self.assertEqual(sorted(self.edge.health("shop")), ["ejected", "ejected", "fit", "fit"])

    def test_one_that_fails_more_often_than_the_others(self):
        self.start_gateway(3, "{every: 1s, volume: 10, eject_for: 1m}")
        turn = []

        def flaky(request):
            turn.append(1)
            return b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n" if len(turn) % 2 else ok("x")
        self.services[2].answer = flaky
        self.assertTrue(until(lambda: self.get(30) and self.edge.health("shop") == ["fit", "fit", "ejected"], 5))


if __name__ == "__main__":
    unittest.main()
