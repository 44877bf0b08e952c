# tests/e2e/breaker_test.py
#
# The circuit breaker as clients and operators see it: it opens over all workers, the service is left alone, probes find out that it is
# well, compositions fall back, a reload keeps it, and an operator has the last word.
import http.client
import json
import threading
import time
import unittest

from gateway import GatewayTest, free_port, ok, until


def error(status=500):
    return b"HTTP/1.1 %d Oh\r\nContent-Length: 0\r\n\r\n" % status


class Breaker(GatewayTest):
    """A service that is well or not, as the test says, behind a breaker."""

    def start_gateway(self, breaker, more="", routes="", workers=2):
        self.answer = error()
        self.service = self.origin(lambda request: self.answer)
        self.configuration = f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services:
              orders: {{endpoints: ["{self.service.address}"], breaker: {breaker}, policies: [retry: {{attempts: 1}}]}}
              {more}
            routes:
              - {{match: {{path_prefix: /orders}}, to: orders}}
              {routes}
            admin: {{address: "127.0.0.1:0"}}
        """
        self.edge = self.gateway(self.configuration, workers=workers)
        return self.edge

    def get(self, path="/orders"):
        client = self.edge.client()
        try:
            return client.get(path)
        finally:
            client.close()

    def admin(self, method, path):
        connection = http.client.HTTPConnection(*self.edge.addresses["admin"], timeout=10)
        connection.request(method, path)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text

    def state(self):
        return self.status()["state"]

    def status(self):
        return json.loads(self.admin("GET", "/status")[1])["breakers"]["orders"]

    def test_it_opens_fails_fast_and_closes_when_the_service_is_well(self):
        gateway = self.start_gateway("{failures: 5, open_for: 1s, probes: 2, ramp: 0s}", workers=4)
        for _ in range(5):  # each on a connection of its own: whichever worker has it
            self.assertEqual(self.get().status, 500)
        problem = self.assert_problem(self.get(), 503)
        self.assertTrue(problem["type"].endswith("#breaker_open"))
        self.assertEqual(problem["reason"], "breaker_open")
        self.assertEqual(problem["policy"], "breaker")
        self.assertEqual(self.get().field("retry-after"), "1")
        self.assertEqual(self.state(), "open")
        for _ in range(20):
            self.assertEqual(self.get().status, 503)
        self.assertEqual(len(self.service.requests), 5)
        self.assertTrue(gateway.said("breaker of orders is open: 5 failures in a row; for 1s"))
        time.sleep(1.1)
        self.assertEqual(self.get().status, 500)  # a probe
        self.assertEqual(self.get().status, 503)  # open again
        self.answer = ok("well")
        time.sleep(2.1)
        for _ in range(10):
            self.assertEqual(self.get().status, 200)
        self.assertEqual(self.state(), "closed")
        self.assertTrue(gateway.said("breaker of orders is closed: 2 probes went well"))
        page = self.admin("GET", "/metrics")[1]
        self.assertIn('portloom_breaker_state{service="orders",endpoint=""} 0', page)
        self.assertIn('portloom_breaker_transitions_total{service="orders",to="open"} 2', page)
        self.assertIn('portloom_policy_verdicts_total{policy="breaker",route="/orders/*",verdict="breaker_open"}', page)

    def test_half_open_lets_no_more_than_its_probes_through_at_once(self):
        self.start_gateway("{failures: 1, open_for: 300ms, probes: 3}", workers=4)
        self.assertEqual(self.get().status, 500)
        gate = threading.Event()

        def wait_and_answer(request):
            gate.wait(10)
            return ok("well")
        self.service.answer = wait_and_answer
        before = len(self.service.requests)
        time.sleep(0.4)
        statuses = []
        clients = [threading.Thread(target=lambda: statuses.append(self.get().status)) for _ in range(30)]
        for client in clients:
            client.start()
        self.assertTrue(until(lambda: len(statuses) == 27))
        self.assertEqual(len(self.service.requests), before + 3)
        gate.set()
        for client in clients:
            client.join()
        self.assertEqual(sorted(statuses), [200] * 3 + [503] * 27)
        self.assertEqual(self.state(), "closed")

    def test_a_client_that_leaves_a_probe_does_not_keep_it_half_open(self):
        self.start_gateway("{failures: 1, open_for: 300ms, probes: 1}")
        self.assertEqual(self.get().status, 500)
        gate = threading.Event()
        self.service.answer = lambda request: gate.wait(10) and ok("late")
        time.sleep(0.4)
        client = self.edge.client()
        client.send("GET /orders HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(until(lambda: len(self.service.requests) == 2))
        self.assertEqual(self.get().status, 503)
        client.close()
        gate.set()
        self.service.answer = lambda request: ok("well")
        self.assertTrue(until(lambda: self.get().status == 200))
        self.assertEqual(self.state(), "closed")

    def test_client_errors_and_clients_that_go_never_open_it(self):
        self.start_gateway("{failures: 3, open_for: 1m}")
        self.answer = error(404)
        for _ in range(10):
            self.assertEqual(self.get().status, 404)
        self.service.answer = lambda request: time.sleep(0.5) or ok("late")
        for _ in range(6):
            client = self.edge.client()
            client.send("GET /orders HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.05)
            client.close()
        time.sleep(0.7)
        self.assertEqual(self.state(), "closed")
        self.assertEqual(self.get().status, 200)

    def test_a_service_that_hangs_or_is_away_opens_it(self):
        port = free_port()
        self.start_gateway("{failures: 2, open_for: 1m}", f"""
              hanging: {{endpoints: ["127.0.0.1:{port}"], breaker: {{failures: 2, open_for: 1m}}, policies: [timeout: 200ms]}}""",
                           "- {match: {path: /hanging}, to: hanging}")
        self.assertEqual(self.get("/hanging").status, 502)  # refused, twice: the second attempt was its last
        self.assertEqual(self.assert_problem(self.get("/hanging"), 503)["reason"], "breaker_open")
        self.service.answer = lambda request: time.sleep(2) or ok("late")
        gateway = self.edge
        self.edge = self.gateway(self.configuration.replace("[retry: {attempts: 1}]", "[timeout: 200ms]"))
        for _ in range(2):
            self.assertEqual(self.get().status, 504)
        self.assertEqual(self.get().status, 503)
        self.assertEqual(self.state(), "open")
        self.edge = gateway

    def test_an_open_breaker_is_not_retried(self):
        self.start_gateway("{failures: 3, open_for: 1m}")
        self.edge = self.gateway(self.configuration.replace("{attempts: 1}", "{attempts: 5, causes: [gateway_error]}"))
        self.answer = error(502)
        self.assertEqual(self.get().status, 502)  # what the service said, and not that the breaker is open
        self.assertEqual(len(self.service.requests), 3)
        self.assertEqual(self.get().status, 503)
        self.assertEqual(sorted(one["attempts"] for one in self.edge.records(2)), [0, 3])  # of two workers, maybe

    def test_a_composition_falls_back_and_says_why(self):
        page = self.origin(ok('{"page":1}'))
        self.start_gateway("{failures: 2, open_for: 1m}", f'pages: {{endpoints: ["{page.address}"]}}', """
              - match: {path: /home}
                to:
                  composition:
                    answer: {failures: true}
                    calls:
                      page: {service: pages, path: /}
                      orders: {service: orders, path: /orders, fallback: [{value: []}]}""")
        for _ in range(2):
            self.get("/home")
        reply = self.get("/home")
        self.assertEqual(reply.status, 200)
        body = reply.json()
        self.assertEqual((body["page"], body["orders"], body["degraded"], body["failedServices"]), ({"page": 1}, [], True, ["orders"]))
        self.assertEqual([(one["call"], one["reason"], one["fallback"]) for one in body["failures"]], [("orders", "breaker_open", "value")])
        self.assertEqual(len(self.service.requests), 2)

    def test_a_reload_keeps_it_and_an_operator_has_the_last_word(self):
        gateway = self.start_gateway("{failures: 2, open_for: 1m}")
        for _ in range(2):
            self.get()
        self.assertEqual(self.state(), "open")
        gateway.write("# another line\n" + self.configuration.replace("/orders}", "/orders}, name: mine").replace("            ", ""))
        self.assertTrue(gateway.reload())
        self.assertEqual(self.state(), "open")
        self.assertEqual(self.get().status, 503)
        self.answer = ok("well")
        self.assertEqual(self.admin("POST", "/breakers/orders?state=auto"), (200, "auto\n"))
        self.assertEqual(self.get().status, 200)
        self.assertEqual(self.admin("POST", "/breakers/orders?state=open")[0], 200)
        self.assertEqual(self.get().status, 503)
        self.assertTrue(self.status()["held"])
        self.assertEqual(self.admin("POST", "/breakers/orders?state=closed")[0], 200)
        self.answer = error()
        for _ in range(5):
            self.assertEqual(self.get().status, 500)
        self.assertEqual(self.admin("POST", "/breakers/orders?state=ajar")[0], 400)
        self.assertEqual(self.admin("POST", "/breakers/nobody?state=open")[0], 404)
        self.assertEqual(self.admin("GET", "/breakers/orders")[0], 405)
        self.assertIn('"note": "closed: an operator said so"', self.admin("GET", "/explain?method=GET&url=/orders")[1])


if __name__ == "__main__":
    unittest.main()
