# tests/e2e/registry_test.py
#
# Services found by the registry, with real processes: the one in the gateway's own process, another's that is followed, over HTTP and
# HTTPS, and `portloom register`.
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import unittest

from authority import Authority
from gateway import PROGRAM, free_port, ok, until
from registering import INSTANCE, RegisteringTest

SERVING = """
version: 1
listeners: {edge: {address: "127.0.0.1:0"}}
services: {orders: {registry: orders}}
routes: [{match: {path_prefix: /}, to: orders}]
admin: {address: "127.0.0.1:0"}
discovery: {registry: {%s}}
"""


class RegistryTest(RegisteringTest):
    def serving(self, more="", **options):
        return self.gateway(SERVING % ('address: "127.0.0.1:0"' + more), **options)

    def ask(self, gateway, method, path, body=None, door="registry", **fields):
        connection = http.client.HTTPConnection(*gateway.addresses[door], timeout=20)
        try:
            connection.request(method, path, body if body is None else json.dumps(body), fields)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def enter(self, gateway, port, name="a", service="orders", **more):
        status, body = self.ask(gateway, "PUT", f"/v1/services/{service}/{name}", {"address": "127.0.0.1", "port": port, **more})
        self.assertIn(status, (200, 201), body)
        return json.loads(body)["lease"]

    def get(self, gateway):
        """Status and body of one request through the gateway."""
        connection = http.client.HTTPConnection(*gateway.address, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def instances(self, gateway, service="orders"):
        return json.loads(self.ask(gateway, "GET", f"/v1/services/{service}")[1])["instances"]

    def register(self, gateway, port, name="one", *more, token=None):
        variables = {"PORTLOOM_REGISTRY_TOKEN": token} if token else {}
        return self.register_instance(port, name, "--registry", "http://%s:%d" % gateway.addresses["registry"], *more, **variables)


class OwnRegistryTest(RegistryTest):
    def test_an_instance_is_called_from_its_registration_to_its_end(self):
        gateway = self.serving()
        status, body = self.get(gateway)
        self.assertEqual(status, 503)
        self.assertIn("no healthy instances for orders", json.loads(body)["detail"])
        origin = self.origin(ok("here"))
        lease = self.enter(gateway, origin.port)
        self.assertEqual(self.get(gateway), (200, b"here"))
        self.assertEqual(self.ask(gateway, "POST", "/v1/services/orders/a/drain", Lease=lease)[0], 204)
        self.assertEqual(self.get(gateway)[0], 503)
        self.assertEqual(self.instances(gateway)[0]["state"], "draining")
        self.assertEqual(self.ask(gateway, "DELETE", "/v1/services/orders/a", Lease=lease)[0], 204)
        self.assertEqual(self.instances(gateway), [])

    def test_without_heartbeats_an_instance_goes(self):
        gateway = self.serving()
        self.enter(gateway, self.origin().port, ttl="1s")
        self.assertEqual(self.get(gateway)[0], 200)
        self.assertTrue(until(lambda: self.get(gateway)[0] == 503))

    def test_weights_count(self):
        gateway = self.serving()
        few, many = self.origin(ok("few")), self.origin(ok("many"))
        self.enter(gateway, few.port, "few")
        self.enter(gateway, many.port, "many", weight=9)
        client = self.client(gateway)
        for _ in range(300):
            client.get("/")
        self.assertGreater(len(many.requests), 2 * len(few.requests))

    def test_status_metrics_and_explain_tell_of_it(self):
        gateway = self.serving()
        origin = self.origin()
        self.enter(gateway, origin.port)
        status = json.loads(self.ask(gateway, "GET", "/status", door="admin")[1])
        self.assertEqual(status["registry"]["instances"], 1)
        self.assertEqual(status["endpoints"]["orders"][0]["address"], origin.address)
        self.assertEqual(status["endpoints"]["orders"][0]["registry"], "orders")
        page = self.ask(gateway, "GET", "/metrics", door="admin")[1].decode()
        self.assertIn("portloom_registry_instances 1\n", page)
        self.assertIn('portloom_endpoints{service="orders",state="current"} 1\n', page)
        explained = self.ask(gateway, "GET", "/explain?method=GET&url=/&format=text", door="admin")[1].decode()
        self.assertIn(origin.address, explained)

    def test_a_restart_forgets_nothing(self):
        folder = self.folder()
        port = free_port()
        configuration = SERVING % f'address: "127.0.0.1:{port}", file: {folder}/registry'
        first = self.gateway(configuration)
        origin = self.origin(ok("still"))
        lease = self.enter(first, origin.port, ttl="10s")
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0)
        self.assertEqual(os.stat(folder + "/registry").st_mode & 0o777, 0o600)
        second = self.gateway(configuration)
        self.assertEqual(self.get(second), (200, b"still"))
        self.assertEqual(self.ask(second, "POST", "/v1/services/orders/a/heartbeat", Lease=lease)[0], 204)
        second.signal(signal.SIGTERM)
        second.wait()
        with open(folder + "/registry", "r+") as file:
            file.seek(60)
            file.write("!")
        third = self.gateway(configuration)
        self.assertTrue(third.said("registry is damaged and not used"))
        self.assertEqual(self.get(third)[0], 503)

    def test_a_reload_keeps_what_is_registered_and_takes_the_new_token(self):
        folder = self.folder()
        with open(folder + "/token", "w") as file:
            file.write("the-first-token-of-two\n")
        gateway = self.serving(f", token: {{file: {folder}/token}}")
        place, body = "/v1/services/orders/a", {"address": "127.0.0.1", "port": self.origin(ok("here")).port}
        self.assertEqual(self.ask(gateway, "PUT", place, body)[0], 401)
        first = {"Authorization": "Bearer the-first-token-of-two"}
        self.assertEqual(self.ask(gateway, "PUT", place, body, **first)[0], 201)
        with open(folder + "/token", "w") as file:
            file.write("the-second-token-of-two\n")
        self.assertIn("loaded", next(line for line in [gateway.reload() and gateway.lines[-1]]))
        self.assertEqual(self.get(gateway), (200, b"here"))
        self.assertEqual(self.ask(gateway, "PUT", place, body, **first)[0], 401)
        self.assertEqual(self.ask(gateway, "PUT", place, body, Authorization="Bearer the-second-token-of-two")[0], 200)

    def test_malformed_and_hostile_registrations(self):
        gateway = self.serving()
        for body, words in (('{"port":', "not JSON"), ('{"port":99999}', "whole number"), ('{"port":1,"x":1}', "unknown member"),
                            ('{"port":1,"address":"evil.example"}', "IP address"), ('{"port":1,"metadata":[]}', "an object")):
            connection = http.client.HTTPConnection(*gateway.addresses["registry"], timeout=10)
            connection.request("PUT", "/v1/services/orders/a", body)
            answer = connection.getresponse()
            self.assertEqual(answer.status, 400, body)
            self.assertEqual(answer.getheader("Content-Type"), "application/problem+json")
            self.assertIn(words, json.loads(answer.read())["detail"])
            connection.close()
        self.assertEqual(self.ask(gateway, "PUT", "/v1/services/orders/a", {"port": 1}, Origin="https://evil.example")[0], 403)
        lease = self.enter(gateway, 1)
        self.assertEqual(self.ask(gateway, "POST", "/v1/services/orders/a/heartbeat", Lease=lease[::-1] + "0")[0], 403)


class FollowedRegistryTest(RegistryTest):
    def follower(self, url, more="", **options):
        return self.gateway(SERVING % f'url: "{url}"{more}', **options)

    def test_changes_arrive_while_it_runs(self):
        registry = self.serving()
        follower = self.follower("http://127.0.0.1:%d" % registry.addresses["registry"][1])
        self.assertEqual(self.get(follower)[0], 503)
        lease = self.enter(registry, self.origin(ok("here")).port)
        self.assertTrue(until(lambda: self.get(follower) == (200, b"here"), 2))
        self.ask(registry, "DELETE", "/v1/services/orders/a", Lease=lease)
        self.assertTrue(until(lambda: self.get(follower)[0] == 503, 2))

    def test_what_was_known_last_outlives_the_registry_and_a_restart(self):
        folder = self.folder()
        port = free_port()
        registry = self.gateway(SERVING % f'address: "127.0.0.1:{port}"')
        self.enter(registry, self.origin(ok("here")).port, ttl="1s")
        follower = self.follower(f"http://127.0.0.1:{port}", f", file: {folder}/endpoints")
        self.assertEqual(self.get(follower), (200, b"here"))  # known before it was ready
        registry.signal(signal.SIGTERM)
        self.assertEqual(registry.wait(), 0)
        self.assertTrue(until(lambda: os.path.exists(folder + "/endpoints")))
        follower.signal(signal.SIGTERM)
        follower.wait()
        second = self.follower(f"http://localhost:{port}", f", file: {folder}/endpoints")
        self.assertEqual(self.get(second), (200, b"here"))
        self.assertTrue(second.said("asked again until it answers"))
        status = json.loads(self.ask(second, "GET", "/status", door="admin")[1])
        self.assertEqual(status["registry"]["state"], "stale")
        self.assertIn("error", status["registry"])
        page = self.ask(second, "GET", "/metrics", door="admin")[1].decode()
        self.assertIn('portloom_endpoints{service="orders",state="stale"} 1\n', page)
        self.assertIn('portloom_discovery_age_seconds{source="registry"} ', page)

    def test_over_https(self):
        authority = Authority(self.folder())
        authority.issue("registry", "localhost")
        registry = self.serving()
        self.enter(registry, self.origin(ok("here")).port)
        door = self.gateway(f"""
            version: 1
            listeners:
              edge:
                address: "127.0.0.1:0"
                tls: {{certificates: [{{cert: {authority.path('registry.pem')}, key: {{file: {authority.path('registry.key')}}}}}]}}
                to: registry
            services: {{registry: {{endpoints: ["127.0.0.1:{registry.addresses['registry'][1]}"]}}}}
            """)
        port = door.address[1]
        follower = self.follower(f"https://localhost:{port}", ", ca: " + authority.path("ca.pem"))
        self.assertEqual(self.get(follower), (200, b"here"))
        stranger = self.follower(f"https://localhost:{port}")
        self.assertEqual(self.get(stranger)[0], 503)
        self.assertTrue(stranger.said("discovery.registry: "))

    def test_a_reload_follows_another_registry_without_a_gap(self):
        first, second = self.serving(), self.serving()
        self.enter(first, self.origin(ok("first")).port)
        self.enter(second, self.origin(ok("second")).port)
        url = "http://127.0.0.1:%d"
        follower = self.follower(url % first.addresses["registry"][1])
        self.assertEqual(self.get(follower), (200, b"first"))
        follower.write(SERVING % f'url: "{url % second.addresses["registry"][1]}"')
        self.assertTrue(follower.reload())
        answers = set()
        self.assertTrue(until(lambda: answers.add(self.get(follower)) or (200, b"second") in answers))
        self.assertLessEqual(answers, {(200, b"first"), (200, b"second")})


class RegisterTest(RegistryTest):
    def test_a_command_is_an_instance_while_it_lives(self):
        gateway = self.serving()
        process = self.register(gateway, free_port(), "one", "--zone", "eu", "--instance-version", "7", "--weight", "3")
        self.assertTrue(until(lambda: self.get(gateway) == (200, b"one")))
        instance = self.instances(gateway)[0]
        self.assertEqual((instance["zone"], instance["version"], instance["weight"]), ("eu", "7", 3))
        time.sleep(3)  # longer than the lease: it beats
        self.assertEqual(self.get(gateway), (200, b"one"))
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        self.assertTrue(until(lambda: not self.instances(gateway) or self.instances(gateway)[0]["state"] == "draining"))
        self.assertEqual(process.wait(10), signal.SIGTERM)
        self.assertEqual(process.stdout.read(), b"signal 10\nsignal 15\n")
        self.assertEqual(self.instances(gateway), [])

    def test_no_request_fails_when_one_of_two_is_told_to_end(self):
        gateway = self.serving()
        processes = [self.register(gateway, free_port(), name) for name in ("one", "two")]
        self.assertTrue(until(lambda: len(self.instances(gateway)) == 2))
        processes[0].send_signal(signal.SIGTERM)
        answers = []
        until(lambda: answers.append(self.get(gateway)) or processes[0].poll() is not None, pause=0)
        self.assertEqual(processes[0].poll(), signal.SIGTERM)
        self.assertEqual({status for status, _ in answers}, {200})
        self.assertEqual(self.get(gateway), (200, b"two"))

    def test_the_status_is_the_commands(self):
        gateway = self.serving()
        url = "http://%s:%d" % gateway.addresses["registry"]
        for command, status in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), (["/no/such/command"], 127)):
            process = self.start(PROGRAM, "register", "orders", "--port", "1", "--registry", url, "--", *command, stderr=subprocess.DEVNULL)
            self.assertEqual(process.wait(10), status, command)
        wrong = self.start(PROGRAM, "register", "or/ders", "--port", "1", "--", "true", stderr=subprocess.DEVNULL)
        self.assertEqual(wrong.wait(10), 2)

    def test_the_command_runs_without_a_registry_and_registers_when_it_comes(self):
        port = free_port()
        registry = free_port()
        instance = self.group(PROGRAM, "register", "orders", "--port", str(port), "--registry", f"http://127.0.0.1:{registry}", "--",
                              sys.executable, "-c", INSTANCE, str(port), "alone", stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        self.assertIsNone(instance.poll())
        gateway = self.gateway(SERVING % f'address: "127.0.0.1:{registry}"')
        self.assertTrue(until(lambda: self.get(gateway) == (200, b"alone")))
        gateway.signal(signal.SIGTERM)  # and one that has forgotten it learns of it again
        gateway.wait()
        second = self.gateway(SERVING % f'address: "127.0.0.1:{registry}"')
        self.assertTrue(until(lambda: self.get(second) == (200, b"alone")))

    def test_an_instance_that_is_killed_goes_with_its_lease(self):
        gateway = self.serving()
        process = self.register(gateway, free_port())
        self.assertTrue(until(lambda: len(self.instances(gateway)) == 1))
        process.kill()
        self.assertTrue(until(lambda: self.instances(gateway) == [], 5))

    def test_the_token_is_shown(self):
        folder = self.folder()
        with open(folder + "/token", "w") as file:
            file.write("a-token-that-is-long-enough")
        gateway = self.serving(f", token: {{file: {folder}/token}}")
        self.register(gateway, free_port(), "no")
        self.register(gateway, free_port(), "yes", token="a-token-that-is-long-enough")
        self.register(gateway, free_port(), "file", "--token-file", folder + "/token")
        self.assertTrue(until(lambda: len(self.instances(gateway)) == 2))


if __name__ == "__main__":
    unittest.main()
