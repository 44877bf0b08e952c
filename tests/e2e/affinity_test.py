# tests/e2e/affinity_test.py
#
# What ties a request to one instance, with real processes: a value of the request, on all workers and over a restart.
import os
import threading
import unittest

from gateway import GatewayTest, ok, until


class Affinity(GatewayTest):
    def start_gateway(self, count, settings):
        self.services = [self.origin(lambda request, i=i: ok(str(i))) for i in range(count)]
        addresses = ", ".join(f'"{one.address}"' for one in self.services)
        self.document = f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: shop}}}}
            services:
              shop: {{endpoints: [{addresses}], {settings}}}
            admin: {{address: "127.0.0.1:0"}}
        """
        self.edge = self.gateway(self.document)

    def asked(self, user, gateway=None):
        client = (gateway or self.edge).client()
        reply = client.get("/", f"X-User: {user}")
        client.close()
        self.assertEqual(reply.status, 200)
        return reply.body.decode()

    def test_a_value_keeps_to_its_instance(self):
        self.start_gateway(5, "balance: {algorithm: maglev, by: [headers.x-user]}")
        users = [f"user-{i}" for i in range(40)]
        before = {user: self.asked(user) for user in users}
        self.assertGreaterEqual(len(set(before.values())), 4)
        for _ in range(3):  # other connections, other workers
            self.assertEqual({user: self.asked(user) for user in users}, before)
        other = self.gateway(self.document, workers=1)  # another gateway
        self.assertEqual({user: self.asked(user, other) for user in users}, before)
        gone = before[users[0]]
        self.services[int(gone)].close()
        after = {user: self.asked(user) for user in users}
        for user in users:
            (self.assertNotEqual if before[user] == gone else self.assertEqual)(after[user], before[user])

    def test_the_address_is_the_value_where_none_is_written(self):
        self.start_gateway(5, "balance: ring_hash")
        self.assertEqual(len({self.asked(f"user-{i}") for i in range(20)}), 1)
        self.assertIn("ring_hash: the one that its value", self.edge.page("/explain?method=GET&url=/&format=text"))

    def test_a_client_stays_with_the_instance_that_its_cookie_names(self):
        folder = self.folder()
        with open(os.path.join(folder, "sticky.key"), "w") as file:
            file.write("0123456789abcdef0123456789abcdef\n")
        key = f"{{file: {folder}/sticky.key}}"
        self.start_gateway(3, f"balance: random, sticky: {{cookie: instance, key: {key}}}, policies: [{{retry: {{attempts: 3}}}}]")
        reply, cookie = self.with_cookie("")
        self.assertRegex(reply.field("set-cookie"), r"^instance=[A-Za-z0-9_-]{22}; Path=/; HttpOnly; Secure; SameSite=Lax$")
        mine = reply.body
        other = self.gateway(self.document)  # a gateway with the same key knows it too
        for gateway in (self.edge, other) * 10:
            reply, told = self.with_cookie(cookie, gateway)
            self.assertEqual((reply.body, told), (mine, None))
        forged = cookie[:-1] + ("A" if cookie[-1] != "A" else "B")
        others = {self.with_cookie(forged)[0].body for _ in range(40)}
        self.assertEqual(len(others), 3)  # it names nobody
        self.services[int(mine)].close()
        reply, told = self.with_cookie(cookie)
        self.assertNotEqual(reply.body, mine)
        again, nothing = self.with_cookie(told)
        self.assertEqual((again.body, nothing), (reply.body, None))

    def test_a_header_field_may_name_it(self):
        os.environ["STICKY_TEST_KEY"] = "0123456789abcdef0123456789abcdef"
        self.start_gateway(3, "sticky: {header: x-instance, key: {env: STICKY_TEST_KEY}}")
        client = self.edge.client()
        first = client.get()
        for _ in range(20):
            again = client.get("/", "X-Instance: " + first.field("x-instance"))
            self.assertEqual((again.body, again.all("x-instance")), (first.body, []))
        client.close()

    def with_cookie(self, cookie, gateway=None):
        """The answer, and the cookie that it sets."""
        client = (gateway or self.edge).client()
        reply = client.get("/", *([f"Cookie: a=b; {cookie}; c=d"] if cookie else []))
        client.close()
        self.assertEqual(reply.status, 200)
        told = reply.all("set-cookie")
        return reply, told[0].split(";")[0] if told else None

    def test_a_service_gets_no_more_than_it_can_bear(self):
        self.start_gateway(1, "concurrency: {first: 4, most: 4, queue: 0}")
        gate = threading.Event()
        self.services[0].answer = lambda request: gate.wait(10) and ok("late")
        waiting = [self.client(self.edge) for _ in range(4)]
        for client in waiting:
            client.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        self.assertTrue(until(lambda: len(self.services[0].requests) == 4))
        late = self.client(self.edge)
        reply = late.get()
        self.assert_problem(reply, 503)
        self.assertEqual(reply.field("retry-after"), "1")
        gate.set()
        for client in waiting:
            self.assertEqual(client.reply().status, 200)
        self.assertEqual(late.get().status, 200)
        self.assertEqual(len(self.services[0].requests), 5)


if __name__ == "__main__":
    unittest.main()
