# tests/e2e/health_test.py
#
# Active checks with real processes: an instance whose health page fails gets no requests, none healthy is 503 at once, a reload
# drains one by its weight.
import unittest

from gateway import GatewayTest, ok, until

ILL = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


class Health(GatewayTest):
    def start_gateway(self, health="{path: /healthz, every: 100ms, timeout: 100ms, failures: 2, successes: 2}", count=2):
        self.ill = set()

        def answer(request, i):
            if request.target == "/healthz":
                return ILL if i in self.ill else ok("well")
            return ok(str(i))
        self.services = [self.origin(lambda request, i=i: answer(request, i)) for i in range(count)]
        addresses = ", ".join(f'"{one.address}"' for one in self.services)
        self.configuration = f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: shop}}}}
            services:
              shop: {{endpoints: [{addresses}], balance: round_robin, health: {health}}}
            admin: {{address: "127.0.0.1:0"}}
        """
        self.edge = self.gateway(self.configuration)

    def get(self, count=1):
        client = self.edge.client()
        replies = [client.get() for _ in range(count)]
        client.close()
        return replies

    def test_an_unhealthy_instance_gets_no_requests_until_it_is_well(self):
        self.start_gateway()
        self.assertEqual({reply.body for reply in self.get(8)}, {b"0", b"1"})
        self.ill = {0}
        self.assertTrue(until(lambda: self.edge.health("shop") == ["unhealthy", "fit"], 5))
        self.assertEqual({reply.body for reply in self.get(8)}, {b"1"})
        self.assertTrue(self.edge.said(f"{self.services[0].address} of shop is left out: its check: it answered 503"))
        self.assertIn("its check: it answered 503", self.edge.page("/explain?method=GET&url=/&format=text"))
        self.assertIn('portloom_endpoints{service="shop",state="unhealthy"} 1', self.edge.page("/metrics"))
        self.ill = {0, 1}
        self.assertTrue(until(lambda: self.edge.health("shop") == ["unhealthy"] * 2, 5))
        problem = self.assert_problem(self.get()[0], 503)
        self.assertEqual((problem["reason"], problem["detail"]), ("no_endpoint", "no healthy instances for shop"))
        self.ill = set()
        self.assertTrue(until(lambda: self.edge.health("shop") == ["fit", "fit"], 5))
        self.assertEqual({reply.body for reply in self.get(8)}, {b"0", b"1"})

    def test_tcp_finds_one_that_is_away(self):
        self.start_gateway("{kind: tcp, every: 100ms, timeout: 100ms}")
        self.services[1].close()
        self.assertTrue(until(lambda: self.edge.health("shop") == ["fit", "unhealthy"], 5))
        self.assertEqual({reply.body for reply in self.get(8)}, {b"0"})

    def test_a_reload_keeps_what_is_known_and_drains_by_weight(self):
        self.start_gateway(count=3)
        self.ill = {0}
        self.assertTrue(until(lambda: self.edge.health("shop") == ["unhealthy", "fit", "fit"], 5))
        self.edge.write(self.configuration.replace(f'"{self.services[1].address}"', f'{{address: "{self.services[1].address}", weight: 0}}'))
        self.assertTrue(self.edge.reload())
        self.assertEqual({reply.body for reply in self.get(8)}, {b"2"})
        self.assertEqual(self.edge.health("shop")[0], "unhealthy")


if __name__ == "__main__":
    unittest.main()
