# tests/e2e/guard_test.py
#
# What stands in front of a service holds for whoever calls it: its policies from every door, a bound on requests at work that
# is exact over workers, and retries that go elsewhere, body and all.
import concurrent.futures
import threading
import time
import unittest

from gateway import GatewayTest, ok, until

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class ServicePolicies(GatewayTest):
    def test_hold_for_every_caller(self):
        origin = self.origin(ok("hello"))
        gateway = self.gateway(f"""
            version: 1
            listeners:
              edge: {{address: "127.0.0.1:0"}}
              side: {{address: "127.0.0.1:0", to: shop}}
            services:
              shop:
                endpoints: ["{origin.address}"]
                policies: [{{headers: {{request: {{set: {{x-entered-by: shop}}}}}}}}, {{body_limit: 10B}}]
            routes:
              - {{listener: edge, match: {{path_prefix: /a}}, to: shop}}
              - {{listener: edge, match: {{path_prefix: /b}}, policies: [{{timeout: 3s}}], to: {{service: shop}}}}
        """)
        for listener, path in (("edge", "/a"), ("edge", "/b"), ("side", "/c")):
            client = self.client(gateway, listener)
            self.assertEqual(client.get(path).status, 200)
            self.assertEqual(origin.requests[-1].field("x-entered-by"), "shop")
            refused = client.ask(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + "x" * 11)
            self.assertEqual(refused.status, 413)
        self.assertEqual(len(origin.requests), 3)


class Concurrency(GatewayTest):
    def test_is_exact_over_all_workers(self):
        inside, most, lock = [0], [0], threading.Lock()

        def slow(request):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.3)
            with lock:
                inside[0] -= 1
            return ok("hello")

        origin = self.origin(slow)
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: shop}}}}
            services:
              shop:
                endpoints: ["{origin.address}"]
                policies: [{{concurrency: {{requests: 3, queue: 5, wait: 2s}}}}]
        """, workers=3)
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            replies = list(pool.map(lambda _: self.client(gateway).get(), range(24)))
        statuses = sorted(reply.status for reply in replies)
        self.assertEqual(most[0], 3)
        self.assertEqual(statuses, [200] * 8 + [503] * 16)  # three at work, five that waited
        refused = next(reply for reply in replies if reply.status == 503)
        self.assertEqual(refused.field("retry-after"), "1")
        records = gateway.records(24)
        waits = sorted(record["queue_ms"] for record in records if record["status"] == 200)
        self.assertLess(waits[2], 100)
        self.assertGreater(waits[3], 150)
        self.assertEqual({record["reason"] for record in records if record["status"] == 503}, {"overloaded"})

    def test_a_client_that_goes_gives_its_place_up(self):
        origin = self.origin(script=lambda wire: (wire.request(), time.sleep(30)))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: shop}}}}
            services: {{shop: {{endpoints: ["{origin.address}"], policies: [{{concurrency: {{requests: 1, queue: 0}}}}]}}}}
        """)
        first = self.client(gateway)
        first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(until(lambda: origin.connections == 1))
        self.assertEqual(self.client(gateway).get().status, 503)
        first.close()
        later = self.client(gateway)

        def entered():
            later.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try:
                later.socket.settimeout(0.3)
                return later.reply().status != 503
            except TimeoutError:
                return True
        self.assertTrue(until(entered))


class Retries(GatewayTest):
    def retrying(self, origins, retry):
        addresses = ", ".join(f'"{origin.address}"' for origin in origins)
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: shop}}}}
            services: {{shop: {{endpoints: [{addresses}], balance: round_robin, policies: [{{retry: {retry}}}]}}}}
        """)

    def test_a_busy_one_is_left_for_another(self):
        busy, free = self.origin(BUSY), self.origin(ok("free"))
        gateway = self.retrying([busy, free], "{attempts: 2, causes: [unavailable], budget: 100%}")
        client = self.client(gateway)
        for _ in range(20):
            self.assertEqual(client.get().body, b"free")
        self.assertGreater(len(busy.requests), 5)

    def test_a_streaming_body_of_a_keyed_request_is_sent_again(self):
        bodies = []

        def breaks(wire):
            wire.head()
            while b"one" not in wire.buffer:
                wire.more()
            wire.socket.close()

        def takes(request):
            bodies.append(request.body)
            return ok("taken")

        first, second = self.origin(script=breaks), self.origin(takes)
        for _ in range(2):  # whichever is asked first
            gateway = self.retrying([first, second], "{attempts: 2, causes: [refused, reset]}")
            client = self.client(gateway)
            client.send("POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 8e03\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none \r\n")
            time.sleep(0.3)
            client.send("3\r\ntwo\r\n")
            time.sleep(0.1)
            client.send("0\r\n\r\n")
            self.assertEqual(client.reply().status, 200)
        self.assertEqual(bodies, [b"one two"] * 2)


if __name__ == "__main__":
    unittest.main()
