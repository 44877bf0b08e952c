# tests/e2e/etcd_test.py
#
# Services found in etcd, with real members: one of three is killed under load, one is stopped, history is compacted, etcd is away while
# a gateway starts, users and TLS, values that are no instances.
import json
import os
import signal
import threading
import unittest

from authority import Authority
from etcd import CONTINUE, SERVING, STOP, EtcdTest, encoded
from gateway import ok, until


class OneMemberTest(EtcdTest):
    def test_changes_count_at_once_and_what_is_no_instance_is_told(self):
        etcd = self.etcd()
        self.enter(etcd, "one")
        gateway = self.serving(etcd)
        self.assertEqual(self.get(gateway), (200, "one"))  # known before it was ready
        self.enter(etcd, "two")
        self.assertTrue(self.reaches(gateway, "one", "two"))
        etcd.put("/services/orders/three", '{"port": "garbage"}')
        etcd.put("/services/orders/two", {"address": "127.0.0.1", "port": 1, "state": "draining"})
        self.assertTrue(self.reaches(gateway, "one"))
        self.assertTrue(gateway.said('"/services/orders/three" is no instance and is passed over: "port": expected a whole number'))
        status = json.loads(gateway.page("/status"))
        self.assertEqual((status["etcd"]["state"], status["etcd"]["instances"], status["etcd"]["refused"]), ("current", 2, 1))
        self.assertEqual(status["endpoints"]["orders"][0]["etcd"], "/services/orders")
        page = gateway.page("/metrics")
        self.assertIn('portloom_discovery_refused{source="etcd"} 1\n', page)
        self.assertIn('portloom_discovery_age_seconds{source="etcd"} ', page)
        etcd.delete("/services/orders/one")
        self.assertTrue(self.reaches(gateway))

    def test_a_lease_that_ends_takes_its_instance(self):
        etcd = self.etcd()
        gateway = self.serving(etcd)
        origin = self.origin(ok("leased"))
        lease = etcd.ask("lease/grant", {"TTL": "1"})["ID"]
        etcd.ask("kv/put", {"key": encoded("/services/orders/a"), "lease": lease,
                            "value": encoded(json.dumps({"address": "127.0.0.1", "port": origin.port}))})
        self.assertTrue(self.reaches(gateway, "leased"))
        self.assertTrue(self.reaches(gateway))

    def test_a_gateway_starts_while_etcd_is_away(self):
        etcd = self.etcd()
        folder = self.folder()
        self.enter(etcd, "kept")
        first = self.serving(etcd, f", file: {folder}/endpoints")
        self.assertEqual(self.get(first), (200, "kept"))
        self.assertTrue(until(lambda: os.path.exists(folder + "/endpoints")))
        etcd.members[0].kill()
        self.assertEqual(self.get(first), (200, "kept"))
        first.signal(signal.SIGTERM)
        first.wait()
        second = self.serving(etcd, f", file: {folder}/endpoints")
        self.assertEqual(self.get(second), (200, "kept"))
        self.assertTrue(second.said("discovery.etcd: "))
        self.assertEqual(json.loads(second.page("/status"))["etcd"]["state"], "stale")
        etcd.members[0].start(etcd.initial)
        self.enter(etcd, "new")
        self.assertTrue(self.reaches(second, "kept", "new"))

    def test_history_that_was_compacted_is_listed_again(self):
        etcd = self.etcd()
        self.enter(etcd, "one")
        gateway = self.serving(etcd)
        self.assertEqual(self.get(gateway), (200, "one"))
        gateway.signal(STOP)
        etcd.members[0].kill()  # its watch breaks
        etcd.members[0].start(etcd.initial)
        etcd.delete("/services/orders/one")
        self.enter(etcd, "two")
        etcd.compact()
        gateway.signal(CONTINUE)
        self.assertTrue(self.reaches(gateway, "two"))

    def test_a_reload_follows_another_path(self):
        etcd = self.etcd()
        self.enter(etcd, "one")
        gateway = self.serving(etcd)
        other = self.origin(ok("other"))
        etcd.put("/services/v2/orders/x", {"address": "127.0.0.1", "port": other.port})
        gateway.write((SERVING % (etcd.urls, "")).replace("etcd: /services/orders", "etcd: /services/v2/orders"))
        self.assertTrue(gateway.reload())
        self.assertTrue(self.reaches(gateway, "other"))


class UsersTest(EtcdTest):
    def test_over_tls_with_a_user_who_may_read_some(self):
        authority = Authority(self.folder())
        authority.issue("etcd", "localhost", "IP:127.0.0.1")
        etcd = self.etcd(authority=authority)
        self.enter(etcd, "one")
        etcd.put("/secret/users/a", {"address": "127.0.0.1", "port": 1})
        etcd.ask("auth/role/add", {"name": "reader"})
        etcd.ask("auth/role/grant", {"name": "reader", "perm": {"permType": "READ", "key": encoded("/services/orders/"),
                                                                "range_end": encoded("/services/orders0")}})
        for name, role in (("root", "root"), ("gateway", "reader")):
            etcd.ask("auth/user/add", {"name": name, "password": "secret of " + name})
            if name == "root":
                etcd.ask("auth/role/add", {"name": "root"})
            etcd.ask("auth/user/grant", {"user": name, "role": role})
        etcd.ask("auth/enable", {})
        etcd.token = etcd.ask("auth/authenticate", {"name": "root", "password": "secret of root"})["token"]
        folder = self.folder()
        with open(folder + "/password", "w") as file:
            file.write("wrong\n")
        more = f", username: gateway, password: {{file: {folder}/password}}, ca: {authority.path('ca.pem')}"
        gateway = self.gateway((SERVING % (etcd.urls, more)).replace("routes:", "  secret: {etcd: /secret/users}\nroutes:", 1).replace(
            "services: {orders: {etcd: /services/orders}}", "services:\n  orders: {etcd: /services/orders}"))
        self.assertTrue(gateway.said("authentication failed"))
        self.assertEqual(self.get(gateway)[0], 503)
        with open(folder + "/password", "w") as file:
            file.write("secret of gateway\n")
        self.assertTrue(gateway.reload())
        self.assertTrue(self.reaches(gateway, "one"))
        self.assertTrue(gateway.said("/secret/users: "))
        self.enter(etcd, "two")
        self.assertTrue(self.reaches(gateway, "one", "two"))
        stranger = self.serving(etcd)  # knows no authority
        self.assertEqual(self.get(stranger)[0], 503)


class ThreeMembersTest(EtcdTest):
    def load(self, gateway):
        """Requests one after the other until stopped; who answered."""
        answers, over = [], threading.Event()

        def work():
            while not over.is_set():
                answers.append(self.get(gateway))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()

        def stop():
            over.set()
            for thread in threads:
                thread.join()
            return answers
        return answers, stop

    def test_one_is_killed_one_is_stopped_and_no_request_is_lost(self):
        etcd = self.etcd(3)
        self.enter(etcd, "one")
        gateway = self.serving(etcd)
        answers, stop = self.load(gateway)
        self.assertTrue(until(lambda: len(answers) > 100))
        etcd.leader().kill()
        self.enter(etcd, "two")
        self.assertTrue(until(lambda: (200, "two") in answers[-50:]))
        self.assertTrue(until(lambda: json.loads(gateway.page("/status"))["etcd"]["state"] == "current"))
        dead = next(member for member in etcd.members if member.process.poll() is not None)
        dead.start(etcd.initial)
        self.assertTrue(until(etcd.well))
        watched = json.loads(gateway.page("/status"))["etcd"]["member"]
        member = next(one for one in etcd.members if one.url.endswith(watched.split(":")[-1]))
        member.signal(STOP)  # its connections stay, and say nothing more
        self.addCleanup(member.signal, CONTINUE)
        others = [one for one in etcd.members if one is not member]
        until(lambda: etcd.ask("kv/range", {"key": encoded("/")}, others[0]))
        origin = self.origin(ok("three"))
        etcd.ask("kv/put", {"key": encoded("/services/orders/three"),
                            "value": encoded(json.dumps({"address": "127.0.0.1", "port": origin.port}))}, others[0])
        self.assertTrue(until(lambda: (200, "three") in answers[-50:], 20))
        self.assertEqual({status for status, _ in stop()}, {200})

    def test_without_a_majority_what_was_known_is_used(self):
        etcd = self.etcd(3)
        self.enter(etcd, "one")
        gateway = self.serving(etcd)
        for member in etcd.members[:2]:
            member.kill()
        self.assertTrue(until(lambda: json.loads(gateway.page("/status"))["etcd"]["state"] == "stale", 20))
        self.assertEqual(self.seen(gateway), {(200, "one")})
        etcd.members[0].start(etcd.initial)
        self.enter(etcd, "two")
        self.assertTrue(self.reaches(gateway, "one", "two"))


if __name__ == "__main__":
    unittest.main()
