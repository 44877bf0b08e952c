# tests/e2e/affinity_test.py
#
# What ties a request to one instance, with real processes: a value of the request, on all workers and over a restart.
import unittest

from gateway import GatewayTest, ok


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


if __name__ == "__main__":
    unittest.main()
