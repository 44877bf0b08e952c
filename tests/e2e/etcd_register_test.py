# tests/e2e/etcd_register_test.py
#
# `portloom register` writes to etcd, and gateways read: leases that are kept, lost and revoked, with real processes.
import os
import signal
import time
import unittest

from etcd import EtcdTest
from gateway import free_port, run, until


class RegisterTest(EtcdTest):
    def register(self, etcd, name, *more, **variables):
        urls = ",".join(member.url for member in etcd.members)
        return self.register_instance(free_port(), name, "--etcd", urls, *more, **variables)

    def test_two_gateways_and_two_commands_over_one_etcd(self):
        etcd = self.etcd()
        gateways = [self.serving(etcd), self.serving(etcd)]
        commands = [self.register(etcd, "one", "--zone", "eu", "--weight", "3"), self.register(etcd, "two")]
        for gateway in gateways:
            self.assertTrue(self.reaches(gateway, "one", "two"))
        values = etcd.keys("/services/orders/")
        self.assertEqual(len(values), 2)
        one = next(value for value in values.values() if value["weight"] == 3)
        self.assertEqual((one["address"], one["zone"], one["state"]), ("127.0.0.1", "eu", "up"))
        time.sleep(3)  # longer than a lease: they beat
        self.assertEqual(self.seen(gateways[0]), {(200, "one"), (200, "two")})
        commands[0].send_signal(signal.SIGTERM)
        answers = []
        until(lambda: answers.append(self.get(gateways[1])) or commands[0].poll() is not None, pause=0)
        self.assertEqual(commands[0].wait(10), signal.SIGTERM)
        self.assertEqual({status for status, _ in answers}, {200})
        self.assertEqual(self.seen(gateways[0]), {(200, "two")})
        self.assertEqual(len(etcd.keys("/services/orders/")), 1)
        self.assertEqual(len(etcd.ask("lease/leases", {})["leases"]), 1)
        os.killpg(commands[1].pid, signal.SIGKILL)  # nobody says farewell
        self.assertTrue(self.reaches(gateways[0]))
        self.assertEqual(etcd.keys("/services/orders/"), {})

    def test_a_lease_that_was_lost_is_granted_again(self):
        etcd = self.etcd()
        gateway = self.serving(etcd)
        self.register(etcd, "one", "--id", "one")
        self.assertTrue(self.reaches(gateway, "one"))
        lease = etcd.ask("lease/leases", {})["leases"][0]["ID"]
        etcd.ask("lease/revoke", {"ID": lease})
        self.assertTrue(until(lambda: list(etcd.keys("/services/orders/")) == ["/services/orders/one"]))
        self.assertTrue(self.reaches(gateway, "one"))
        etcd.members[0].kill()
        etcd.members[0].start(etcd.initial)
        self.assertTrue(until(etcd.well))
        time.sleep(2.5)
        self.assertEqual(list(etcd.keys("/services/orders/")), ["/services/orders/one"])
        self.assertEqual(self.seen(gateway), {(200, "one")})

    def test_bad_arguments_are_told_before_anything_starts(self):
        for options, words in ((["--etcd", "localhost:2379"], "--etcd takes http(s)://host[:port]"),
                               (["--etcd", "http://a:1", "--etcd-path", "services"], "--etcd-path takes a path such as /services"),
                               (["--etcd", "http://a:1", "--username", "x"], "a user of etcd has --username and a password")):
            done = run("register", "orders", "--port", "1", *options, "--", "true")
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main()
