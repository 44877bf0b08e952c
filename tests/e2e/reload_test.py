# tests/e2e/reload_test.py
#
# A reload that changes the doors: listeners come, go and change under load, all of it or none of it, and nobody is dropped.
import os
import socket
import threading
import time
import unittest

from gateway import Client, GatewayTest, free_port, ok, until


class Doors(GatewayTest):
    def text(self, listeners, more="", admin='admin: {address: "127.0.0.1:0"}'):
        lines = "\n".join(f"  {name}: {{address: \"{address}\", {rest}}}" for name, address, rest in listeners)
        return f"version: 1\nlisteners:\n{lines}\nservices:\n  origin: {{endpoints: [\"{self.behind.address}\"]}}\n{admin}\n{more}\n"

    def started(self, listeners, **options):
        self.behind = self.origin(lambda request: ok(request.target))
        return self.gateway(self.text(listeners), **options)

    def change(self, gateway, text):
        gateway.write(text)
        before = len(gateway.lines)
        self.assertTrue(gateway.reload())
        return "\n".join(gateway.lines[before:])

    def answer(self, port, path="/"):
        client = Client(("127.0.0.1", port), 5)
        self.addCleanup(client.close)
        return client.get(path)

    def closed(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return False
        except OSError:
            return True

    def test_listeners_come_and_go_and_keep_their_ports(self):
        a, b, c = free_port(), free_port(), free_port()
        one = lambda text: f"to: {{response: {{status: 200, body: {text}}}}}"
        gateway = self.started([("a", f"127.0.0.1:{a}", one("a")), ("b", f"127.0.0.1:{b}", "to: origin")])
        kept = Client(("127.0.0.1", b), 5)
        self.addCleanup(kept.close)
        self.assertEqual(kept.get("/1").body, b"/1")
        leaving = Client(("127.0.0.1", a), 5)
        self.addCleanup(leaving.close)
        self.assertEqual(leaving.get().body, b"a")
        # c is new and stands first, a goes, b stays: its open connection and its counters too
        self.change(gateway, self.text([("c", f"127.0.0.1:{c}", one("c")), ("b", f"127.0.0.1:{b}", "to: origin")]))
        self.assertEqual(self.answer(c).body, b"c")
        self.assertEqual(kept.get("/2").body, b"/2")
        self.assertTrue(leaving.ended())
        self.assertTrue(until(lambda: self.closed(a)))
        self.assertTrue(gateway.said("ready listeners=c="))
        status = self.client(gateway, "admin").get("/status").json()
        self.assertEqual(list(status["listeners"]), ["c", "b"])
        self.assertTrue(until(lambda: len(gateway.records()) >= 4))
        self.assertEqual([record["listener"] for record in gateway.records() if record["path"].startswith("/2")], ["b"])
        def metric():
            page = self.client(gateway, "admin").get("/metrics").body.decode()
            gone = 'portloom_connections{listener="a"' not in page or 'portloom_connections{listener="a",state="open"} 0' in page
            return gone and 'portloom_connections{listener="b",state="open"} 1' in page
        self.assertTrue(until(metric))
        # the name changes, the port does not
        self.change(gateway, self.text([("d", f"127.0.0.1:{b}", one("d"))]))
        self.assertEqual(kept.get("/3").body, b"d")
        self.assertTrue(until(lambda: self.closed(c)))

    def test_a_request_under_way_ends_although_its_listener_has_gone(self):
        asked, go_on = threading.Event(), threading.Event()
        def script(wire):
            wire.request()
            asked.set()
            go_on.wait(10)
            wire.send(ok("in the end"))
        a, b = free_port(), free_port()
        gateway = self.started([("a", f"127.0.0.1:{a}", "to: origin")])
        self.behind.script = script
        client = Client(("127.0.0.1", a), 10)
        self.addCleanup(client.close)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(asked.wait(5))
        self.change(gateway, self.text([("b", f"127.0.0.1:{b}", "to: origin")]))
        self.assertTrue(self.closed(a))
        go_on.set()
        reply = client.reply()
        self.assertEqual((reply.body, reply.field("connection")), (b"in the end", "close"))
        self.assertTrue(client.ended())

    def test_a_port_that_is_taken_refuses_the_whole(self):
        a, b = free_port(), free_port()
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        gateway = self.started([("a", f"127.0.0.1:{a}", "to: origin")])
        said = self.change(gateway, self.text([("a", f"127.0.0.1:{a}", "to: {response: {status: 204}}"), ("b", f"127.0.0.1:{b}", "to: origin"),
                                               ("c", f"127.0.0.1:{taken.getsockname()[1]}", "to: origin")]))
        self.assertEqual(said.count("cannot listen on"), 1, said)
        self.assertEqual(self.answer(a, "/old").body, b"/old")
        self.assertTrue(self.closed(b))
        admin = self.client(gateway, "admin")
        status = admin.get("/status").json()["config"]
        self.assertEqual((status["last_reload_ok"], "cannot listen on" in status["reload_error"]), (False, True))
        page = admin.get("/metrics").body.decode()
        self.assertIn("portloom_config_last_reload_ok 0", page)
        self.assertIn('portloom_config_loads_total{outcome="refused"} 1', page)
        taken.close()
        self.assertTrue(self.change(gateway, self.text([("a", f"127.0.0.1:{a}", "to: {response: {status: 204}}")])))
        self.assertEqual(self.answer(a).status, 204)
        self.assertNotIn("reload_error", admin.get("/status").json()["config"])

    def test_what_is_wrong_is_said_once(self):
        gateway = self.started([("a", f"127.0.0.1:{free_port()}", "to: origin")])
        said = self.change(gateway, self.text([("a", "127.0.0.1:1", "to: orgin")]))
        time.sleep(0.2)
        self.assertEqual("\n".join(gateway.lines).count('there is no service "orgin"'), 1, said)

    def test_settings_of_a_listener_follow(self):
        a = free_port()
        gateway = self.started([("a", f"127.0.0.1:{a}", "to: origin")])
        self.behind.answer = lambda request: ok(request.field("x-forwarded-for"))
        kept = Client(("127.0.0.1", a), 5)
        self.addCleanup(kept.close)
        forwarded = "X-Forwarded-For: 192.0.2.1"
        self.assertEqual(kept.get("/", forwarded).body, b"127.0.0.1")
        self.change(gateway, self.text([("a", f"127.0.0.1:{a}", 'to: origin, trusted_proxies: ["127.0.0.1"], timeouts: {headers: 300ms}')],
                                       "limits: {connections: 3}"))
        self.assertEqual(kept.get("/", forwarded).body, b"192.0.2.1, 127.0.0.1")
        slow = Client(("127.0.0.1", a), 5)
        self.addCleanup(slow.close)
        slow.send("GET / HT")
        self.assertEqual(slow.reply().status, 408)
        more = [Client(("127.0.0.1", a), 5) for _ in range(5)]
        self.assertTrue(until(lambda: 'reason="connections"} 0' not in self.client(gateway, "admin").get("/metrics").body.decode()))
        for client in more:
            client.close()

    def test_pools_of_an_unchanged_service_are_kept(self):
        a = free_port()
        gateway = self.started([("a", f"127.0.0.1:{a}", "to: origin")], workers=1)
        client = Client(("127.0.0.1", a), 5)
        self.addCleanup(client.close)
        for n in range(5):
            self.assertEqual(client.get().status, 200)
            self.change(gateway, self.text([("a", f"127.0.0.1:{a}", "to: origin")], f"limits: {{connections: {100 + n}, body: {1 + n}MiB}}"))
        self.assertEqual(self.behind.connections, 1)
        changed = self.text([("a", f"127.0.0.1:{a}", "to: origin")]).replace("origin: {end", "origin: {connect_timeout: 3s, end")
        self.change(gateway, changed)
        self.assertEqual(client.get().status, 200)
        self.assertEqual(self.behind.connections, 2)

    def test_the_admin_door_moves_and_the_log_too(self):
        a, first, second = free_port(), free_port(), free_port()
        folder = self.folder()
        self.behind = self.origin(ok("x"))
        listeners = [("a", f"127.0.0.1:{a}", "to: origin")]
        gateway = self.gateway(self.text(listeners, "telemetry: {access_log: none}", f'admin: {{address: "127.0.0.1:{first}"}}'))
        admin = Client(("127.0.0.1", first), 5)
        self.addCleanup(admin.close)
        gateway.write(self.text(listeners, f"telemetry: {{access_log: {folder}/log}}", f'admin: {{address: "127.0.0.1:{second}"}}'))
        self.assertEqual(admin.ask("POST /reload HTTP/1.1\r\nHost: a\r\n\r\n").status, 200)  # through the door that it closes
        self.assertTrue(admin.ended())
        self.assertTrue(self.closed(first))
        self.assertEqual(self.answer(second, "/readyz").status, 200)
        self.assertEqual(self.answer(a, "/seen").status, 200)
        self.assertEqual([record["path"] for record in gateway.records(1, f"{folder}/log")], ["/seen"])
        self.change(gateway, self.text(listeners, f"telemetry: {{access_log: {folder}/other}}", ""))
        self.assertTrue(self.closed(second))
        self.answer(a, "/later")
        self.assertEqual([record["path"] for record in gateway.records(1, f"{folder}/other")], ["/later"])

    def test_nothing_is_dropped_while_doors_change_under_load(self):
        a, others = free_port(), [free_port() for _ in range(3)]
        gateway = self.started([("a", f"127.0.0.1:{a}", "to: origin")])
        over, outcomes = threading.Event(), []
        def load():
            while not over.is_set():
                try:
                    client = Client(("127.0.0.1", a), 5)
                    for _ in range(5):
                        outcomes.append(client.get().status)
                    client.close()
                except Exception as error:
                    outcomes.append(repr(error))
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(12):
            extra = [(f"n{i}", f"127.0.0.1:{port}", "to: origin") for i, port in enumerate(others) if (n >> i) & 1]
            self.change(gateway, self.text([*extra, ("a", f"127.0.0.1:{a}", f"to: origin, timeouts: {{idle: {n + 5}s}}")]))
        over.set()
        for thread in threads:
            thread.join()
        self.assertEqual([outcome for outcome in outcomes if outcome != 200], [])
        self.assertGreater(len(outcomes), 50)


class Cut(GatewayTest):
    def test_what_a_drain_cuts_is_told(self):
        def script(wire):
            wire.request()
            time.sleep(20)
        behind = self.origin(script=script)
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["{behind.address}"]}}}}
            drain: {{deadline: 300ms}}
        """)
        client = self.client(gateway)
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
        time.sleep(0.2)
        gateway.signal(15)
        self.assertEqual(gateway.wait(), 4)
        self.assertTrue(gateway.said("1 connections are cut, with 1 requests"), gateway.lines)
        self.assertTrue(gateway.said("cut: edge GET /slow to origin at "), gateway.lines)
        told = [(record["request_id"], record["status"], record["blame"], record["reason"]) for record in gateway.records(1)]
        self.assertEqual(told, [("mine", 503, "gateway", "draining")])

    def test_a_websocket_is_told_1001(self):
        def script(wire):
            wire.request()
            wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            wire.take(8)  # a masked Close
            wire.send(b"\x88\x02\x03\xe9")
        behind = self.origin(script=script)
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["{behind.address}"]}}}}
            drain: {{deadline: 20s}}
        """)
        client = self.client(gateway)
        client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assertEqual(client.head().status, 101)
        gateway.signal(15)
        self.assertEqual(client.take(4), b"\x88\x02\x03\xe9")
        client.send(b"\x88\x82\0\0\0\0\x03\xe9")
        self.assertTrue(client.ended())
        self.assertEqual(gateway.wait(), 0)


if __name__ == "__main__":
    unittest.main()
