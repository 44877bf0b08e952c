# tests/e2e/lifecycle_test.py
#
# Reload, drain, and what is told about it all: probes, metrics, access log.
import os
import signal
import subprocess
import threading
import time
import unittest

from gateway import Client, GatewayTest, needs, ok, until

LOG_KEYS = ("time, request_id, client, method, host, path, protocol, listener, route, service, endpoint, status, blame, reason, bytes_in, "
            "bytes_out, duration_ms, queue_ms, connect_ms, first_byte_ms, attempts, degraded, failed_services, consumer, tenant, trace_id, "
            "policy, limit, config, dry_run").split(", ")


class Reload(GatewayTest):
    def configuration(self, body, more=""):
        return f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            admin: {{address: "127.0.0.1:0"}}
            services: {{origin: {{endpoints: ["{self.behind.address}"]}}}}
            routes:
              - {{match: {{path: /fixed}}, to: {{response: {{status: 200, body: {body}}}}}}}
              - {{match: {{path_prefix: /behind}}, to: origin}}
              {more}
        """

    def setUp(self):
        self.behind = self.origin(ok("behind"))

    def test_new_routes_count_and_wrong_ones_do_not(self):
        gateway = self.gateway(self.configuration("first"))
        client = self.client(gateway)
        self.assertEqual((client.get("/fixed").body, client.get("/new").status), (b"first", 404))
        gateway.write(self.configuration("second", "- {match: {path: /new}, to: origin}"))
        self.assertTrue(gateway.reload())
        self.assertEqual((client.get("/fixed").body, client.get("/new").status), (b"second", 200))
        gateway.write(self.configuration("third").replace("to: origin", "to: orign"))
        self.assertTrue(gateway.reload())
        self.assertTrue(gateway.said("error:"))
        self.assertEqual((client.get("/fixed").body, client.get("/new").status), (b"second", 200))
        metrics = self.client(gateway, "admin").get("/metrics").body.decode()
        self.assertIn("portloom_config_last_reload_ok 0", metrics)
        gateway.write(self.configuration("fourth"))
        self.assertTrue(gateway.reload())
        self.assertEqual((client.get("/fixed").body, client.get("/new").status), (b"fourth", 404))
        self.assertIn("portloom_config_last_reload_ok 1", self.client(gateway, "admin").get("/metrics").body.decode())

    def test_through_the_admin_api(self):
        gateway = self.gateway(self.configuration("first"))
        gateway.write(self.configuration("second"))
        admin = self.client(gateway, "admin")
        self.assertEqual(admin.ask("POST /reload HTTP/1.1\r\nHost: a\r\n\r\n").status, 200)
        self.assertEqual(self.client(gateway).get("/fixed").body, b"second")
        gateway.write("version: 1\nnonsense: 1\n")
        self.assertEqual(admin.ask("POST /reload HTTP/1.1\r\nHost: a\r\n\r\n").status, 422)

    def test_a_changed_file_is_noticed(self):
        gateway = self.gateway(self.configuration("first"))
        time.sleep(0.3)
        gateway.write(self.configuration("second"))
        self.assertTrue(gateway.said("configuration loaded"), "CONTRACT: SIGHUP and a changed file reload")

    def test_no_request_is_lost(self):
        gateway = self.gateway(self.configuration("n0"))
        over, outcomes = threading.Event(), []
        def load(path):
            client = gateway.client()
            while not over.is_set():
                try:
                    outcomes.append(client.get(path).status)
                except Exception as error:
                    outcomes.append(repr(error))
                    client = gateway.client()
            client.close()
        threads = [threading.Thread(target=load, args=(path,)) for path in ("/fixed", "/behind", "/behind/x", "/fixed")]
        for thread in threads:
            thread.start()
        for n in range(1, 16):
            gateway.write(self.configuration(f"n{n}", f"- {{match: {{path: /new{n}}}, to: origin}}"))
            self.assertTrue(gateway.reload())
        over.set()
        for thread in threads:
            thread.join()
        self.assertEqual([outcome for outcome in outcomes if outcome != 200], [])
        self.assertGreater(len(outcomes), 50)
        self.assertEqual(self.client(gateway).get("/fixed").body, b"n15")

    def test_a_request_keeps_the_configuration_it_began_with(self):
        go_on = threading.Event()
        def answer(request):
            go_on.wait(10)
            return ok("old")
        self.behind.answer = answer
        gateway = self.gateway(self.configuration("first"))
        client = self.client(gateway)
        client.send("GET /behind HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        gateway.write(self.configuration("second").replace("path_prefix: /behind", "path_prefix: /gone"))
        self.assertTrue(gateway.reload())
        go_on.set()
        self.assertEqual(client.reply().body, b"old")
        self.assertEqual(client.get("/behind").status, 404)


class Drain(GatewayTest):
    def gateway_with(self, script, drain, **options):
        self.behind = self.origin(script=script)
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["{self.behind.address}"]}}}}
            admin: {{address: "127.0.0.1:0"}}
            drain: {drain}
        """, **options)

    def test_what_runs_is_completed_and_nothing_new_is_taken(self):
        asked, go_on = threading.Event(), threading.Event()
        def script(wire):
            wire.request()
            asked.set()
            go_on.wait(10)
            wire.send(ok("completed"))
        gateway = self.gateway_with(script, "{deadline: 20s}")
        idle = self.client(gateway)
        busy = self.client(gateway)
        busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(asked.wait(5))
        gateway.signal(signal.SIGTERM)
        self.assertTrue(idle.ended())
        time.sleep(0.2)
        with self.assertRaises(OSError):
            Client(gateway.address, 1).get()
        go_on.set()
        reply = busy.reply()
        self.assertEqual((reply.body, reply.field("connection")), (b"completed", "close"))
        self.assertTrue(busy.ended())
        self.assertEqual(gateway.wait(), 0)

    def test_exit_4_when_something_was_cut(self):
        def script(wire):
            wire.request()
            time.sleep(20)
        gateway = self.gateway_with(script, "{deadline: 300ms}")
        client = self.client(gateway)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        gateway.signal(signal.SIGTERM)
        self.assertEqual(gateway.wait(), 4)
        self.assertTrue(gateway.said("are cut"))

    def test_second_signal_ends_at_once(self):
        def script(wire):
            wire.request()
            time.sleep(20)
        gateway = self.gateway_with(script, "{deadline: 60s}")
        client = self.client(gateway)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        gateway.signal(signal.SIGTERM)
        time.sleep(0.2)
        gateway.signal(signal.SIGTERM)
        self.assertEqual(gateway.wait(), 4)

    def test_not_ready_but_accepting_during_the_delay(self):
        gateway = self.gateway_with(lambda wire: (wire.request(), wire.send(ok("x"))), "{delay: 1500ms, deadline: 5s}")
        admin = self.client(gateway, "admin")
        self.assertEqual(admin.get("/readyz").status, 200)
        gateway.signal(signal.SIGTERM)
        time.sleep(0.3)
        self.assertEqual(admin.get("/readyz").status, 503)
        self.assertEqual(admin.get("/healthz").status, 200)
        fresh = self.client(gateway)
        self.assertEqual(fresh.get().body, b"x")
        fresh.close()
        self.assertEqual(gateway.wait(), 0)

    def test_connections_that_wait_to_be_accepted_are_served(self):
        """Nobody who connected before the ports closed is reset."""
        gateway = self.gateway_with(lambda wire: (wire.request(), wire.send(ok("x"))), "{delay: 200ms, deadline: 5s}")
        over, outcomes = threading.Event(), []
        def load():
            while not over.is_set():
                try:
                    client = Client(gateway.address, 3)
                except ConnectionError:  # refused, or the port closed during the handshake
                    return
                try:
                    outcomes.append(client.get("/", "Connection: close").status)
                except Exception as error:
                    outcomes.append(repr(error))
                client.close()
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        gateway.signal(signal.SIGTERM)
        self.assertEqual(gateway.wait(), 0)
        over.set()
        for thread in threads:
            thread.join()
        self.assertEqual([outcome for outcome in outcomes if outcome != 200], [])

    def test_drain_through_the_admin_api(self):
        gateway = self.gateway_with(lambda wire: None, "{deadline: 5s}")
        self.assertEqual(self.client(gateway, "admin").ask("POST /drain HTTP/1.1\r\nHost: a\r\n\r\n").status, 202)
        self.assertEqual(gateway.wait(), 0)


class Telling(GatewayTest):
    def test_access_log_has_all_keys_in_order(self):
        behind = self.origin(lambda request: ok(b"12345"))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{origin: {{endpoints: ["{behind.address}"]}}}}
            routes: [{{name: shop, match: {{path_prefix: /a}}, to: origin}}]
        """)
        client = self.client(gateway)
        client.ask("POST /a?b=%22 HTTP/1.1\r\nHost: Shop.Test:80\r\nX-Request-Id: one\r\nContent-Length: 3\r\n\r\nabc")
        client.get("/b")
        first, second = gateway.records(2)
        for record in (first, second):
            self.assertEqual(list(record), LOG_KEYS)
        self.assertRegex(first["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        expected = {"request_id": "one", "client": "127.0.0.1", "method": "POST", "path": "/a?b=%22", "protocol": "HTTP/1.1", "listener": "edge",
                    "route": "shop", "service": "origin", "endpoint": behind.address, "status": 200, "blame": "", "reason": "", "bytes_in": 3,
                    "bytes_out": 5, "attempts": 1, "degraded": False, "failed_services": []}
        self.assertEqual({key: first[key] for key in expected}, expected)
        self.assertEqual((second["status"], second["blame"], second["reason"], second["route"]), (404, "client", "not_found", ""))

    def test_log_file_is_reopened(self):
        folder = self.folder()
        path = os.path.join(folder, "access.log")
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            telemetry: {{access_log: {path}}}
            routes: [{{match: {{path_prefix: /}}, to: {{response: {{status: 200}}}}}}]
        """)
        client = self.client(gateway)
        client.get("/before")
        self.assertEqual([record["path"] for record in gateway.records(1, path)], ["/before"])
        os.rename(path, path + ".1")
        gateway.signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.02)
        client.get("/after")
        self.assertEqual([record["path"] for record in gateway.records(1, path)], ["/after"])
        self.assertEqual([record["path"] for record in gateway.records(1, path + ".1")], ["/before"])

    def with_metrics(self):
        behind = self.origin(ok("x"))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", policies: [{{rate_limit: {{requests: 3, per: 1h}}}}]}}}}
            services: {{origin: {{endpoints: ["{behind.address}"]}}}}
            routes: [{{name: shop, match: {{path_prefix: /a}}, to: origin}}]
            admin: {{address: "127.0.0.1:0", probes: {{address: "127.0.0.1:0"}}}}
        """)
        client = self.client(gateway)
        for path in ("/a", "/a/b", "/c", "/a"):
            client.get(path)
        return gateway

    def test_metrics(self):
        gateway = self.with_metrics()
        admin = self.client(gateway, "admin")
        # A record is written when the last byte has gone: the client may be quicker to ask.
        until(lambda: "portloom_policy_verdicts_total{" in admin.get("/metrics").body.decode())
        page = admin.get("/metrics").body.decode()
        for line in ('portloom_requests_total{listener="edge",route="shop",service="origin",status="200"} 2',
                     'portloom_upstream_requests_total{service="origin",outcome="'):
            self.assertIn(line, page)
        for name in ("portloom_request_duration_seconds_bucket", "portloom_upstream_duration_seconds_bucket", "portloom_policy_verdicts_total",
                     "portloom_connections", "portloom_config_info", "portloom_config_loaded_timestamp_seconds",
                     "portloom_config_last_reload_ok", "portloom_log_dropped_total"):
            self.assertRegex(page, "(?m)^" + name + r"[{ ]")

    @needs("promtool")
    def test_promtool_accepts_the_metrics(self):
        page = self.client(self.with_metrics(), "admin").get("/metrics").body
        result = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, timeout=20)
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, b""))

    def test_admin_pages(self):
        gateway = self.with_metrics()
        admin, probes = self.client(gateway, "admin"), self.client(gateway, "probes")
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual((admin.get(path).status, probes.get(path).status), (200, 200))
        self.assertEqual(admin.get("/status").json()["state"], "ready")
        self.assertEqual((probes.get("/status").status, admin.get("/nothing").status, admin.get("/drain").status), (404, 404, 405))
        self.assertEqual(admin.ask("POST /drain HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.test\r\n\r\n").status, 403)


if __name__ == "__main__":
    unittest.main()
