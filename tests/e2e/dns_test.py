# tests/e2e/dns_test.py
#
# Host names as endpoints, answered by a name server that the test scripts, and by dnsmasq: every address, changes, answers that
# are wrong, huge, empty or looping, and a name server that is away.
import json
import os
import signal
import socket
import struct
import threading
import time
import unittest
import urllib.request

from gateway import GatewayTest, free_port, needs, ok, until

A, CNAME, AAAA, SRV = 1, 5, 28, 33
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name, kind, data, ttl=1):
    return encoded(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


class Names:
    """A name server: `zone` maps a name to what is said about it: (code, [(kind, text[, owner]), ...]), or None for silence."""

    def __init__(self, zone):
        self.zone = dict(zone)
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port = free_port()
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def reply(self, question, room):
        identity = question[:2]
        end = question.index(b"\0", 12) + 5
        name = question[12:end - 4]
        labels, at = [], 0
        while name[at]:
            labels.append(name[at + 1:at + 1 + name[at]].decode())
            at += 1 + name[at]
        name = ".".join(labels).lower()
        kind = struct.unpack(">H", question[end - 4:end - 2])[0]
        self.asked.append((name, kind))
        said = self.zone.get(name, (NXDOMAIN, []))
        if said is None:
            return None
        code, answers = said
        records = []
        for kind_of, text, *owner in answers:
            owner = owner[0] if owner else name
            if kind_of == CNAME:
                records.append(record(owner, CNAME, encoded(text)))
            elif kind_of == kind == SRV:
                priority, weight, port, host = text
                records.append(record(owner, SRV, struct.pack(">HHH", priority, weight, port) + encoded(host)))
            elif kind_of == kind:
                records.append(record(owner, kind, socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, text)))
        body = b"".join(records)
        cut = len(body) + end > room
        flags = 0x8180 | code | (0x0200 if cut else 0)
        head = identity + struct.pack(">HHHHH", flags, 1, 0 if cut else len(records), 0, 0) + question[12:end]
        return head if cut else head + body

    def serve_udp(self):
        while True:
            try:
                question, sender = self.udp.recvfrom(4096)
            except OSError:
                return
            if reply := self.reply(question, 512):
                self.udp.sendto(reply, sender)

    def serve_tcp(self):
        while True:
            try:
                connected, _ = self.tcp.accept()
            except OSError:
                return
            with connected, connected.makefile("rb") as stream:
                while size := stream.read(2):
                    if reply := self.reply(stream.read(struct.unpack(">H", size)[0]), 65000):
                        connected.sendall(struct.pack(">H", len(reply)) + reply)

    def close(self):
        self.udp.close()
        self.tcp.close()


class DnsTest(GatewayTest):
    def places(self, *hosts):
        self.port = free_port()
        return [self.origin(ok(host), port=self.port, host=host) for host in hosts]

    def names(self, zone):
        names = Names(zone)
        self.addCleanup(names.close)
        return names

    def gateway_for(self, port, name="svc.test", keep_stale="1h", balance="round_robin"):
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["{name}:{self.port}"], balance: {balance}}}}}
            discovery: {{dns: {{servers: ["127.0.0.1:{port}"], keep_stale: {keep_stale}}}}}
            admin: {{address: "127.0.0.1:0"}}
        """)

    def asked(self, gateway, count=20):
        """Which places answer that many requests; None for a 503."""
        client = gateway.client()
        replies = [client.get() for _ in range(count)]
        client.close()
        return {reply.body.decode() if reply.status == 200 else None for reply in replies}

    def status(self, gateway):
        with urllib.request.urlopen("http://%s:%d/status" % gateway.addresses["admin"]) as page:
            return json.load(page)["endpoints"]["origin"]


class HostNamesTest(DnsTest):
    def test_every_address_is_used_and_a_change_reaches_all_workers(self):
        self.places("127.0.0.1", "127.0.0.2", "127.0.0.3", "::1")
        names = self.names({"svc.test": (NOERROR, [(A, "127.0.0.1"), (A, "127.0.0.2"), (AAAA, "::1")])})
        gateway = self.gateway_for(names.port)
        self.assertEqual(self.asked(gateway), {"127.0.0.1", "127.0.0.2", "::1"})
        names.zone["svc.test"] = (NOERROR, [(A, "127.0.0.3"), (A, "127.0.0.2")])
        seen = set()
        until(lambda: seen.add(frozenset(self.asked(gateway))) or frozenset({"127.0.0.3", "127.0.0.2"}) in seen)
        for _ in range(10):  # new connections, on both workers
            self.assertEqual(self.asked(gateway), {"127.0.0.3", "127.0.0.2"})
        self.assertFalse(any(None in places for places in seen))  # and nothing failed on the way
        self.assertEqual({one["address"].split(":")[0] for one in self.status(gateway)}, {"127.0.0.3", "127.0.0.2"})

    def test_the_last_answer_is_kept_while_the_name_server_is_away(self):
        self.places("127.0.0.1")
        good = (NOERROR, [(A, "127.0.0.1")])
        for trouble in (None, (SERVFAIL, [])):
            names = self.names({"svc.test": good})
            gateway = self.gateway_for(names.port)
            names.zone["svc.test"] = trouble
            self.assertTrue(until(lambda: self.status(gateway)[0]["state"] == "stale", 20))
            self.assertEqual(self.asked(gateway), {"127.0.0.1"})
            one = self.status(gateway)[0]
            self.assertIn("cannot resolve svc.test", one["error"])
            self.assertGreaterEqual(one["age_s"], 1)
            names.zone["svc.test"] = good
            self.assertTrue(until(lambda: self.status(gateway)[0]["state"] == "current", 20))

    def test_and_given_up_after_keep_stale(self):
        self.places("127.0.0.1")
        names = self.names({"svc.test": (NOERROR, [(A, "127.0.0.1")])})
        gateway = self.gateway_for(names.port, keep_stale="2s")
        names.zone["svc.test"] = (SERVFAIL, [])
        self.assertTrue(until(lambda: self.asked(gateway, 1) == {None}, 20))

    def test_a_name_that_is_gone_has_to_be_denied_three_times(self):
        self.places("127.0.0.1")
        for gone in ((NXDOMAIN, []), (NOERROR, [])):
            names = self.names({"svc.test": (NOERROR, [(A, "127.0.0.1")])})
            gateway = self.gateway_for(names.port)
            before = len(names.asked)
            names.zone["svc.test"] = gone
            self.assertTrue(until(lambda: self.asked(gateway, 1) == {None}, 20))
            self.assertGreaterEqual(sum(1 for _, kind in names.asked[before:] if kind == A), 3)

    def test_the_gateway_starts_without_a_name_server(self):
        self.places("127.0.0.1")
        names = self.names({"svc.test": None})
        gateway = self.gateway_for(names.port)
        begun = time.monotonic()
        reply = self.client(gateway).get()
        self.assertEqual(reply.status, 503)
        self.assertLess(time.monotonic() - begun, 1)  # no request waits for a name
        names.zone["svc.test"] = (NOERROR, [(A, "127.0.0.1")])
        self.assertTrue(until(lambda: self.asked(gateway, 1) == {"127.0.0.1"}, 20))

    def test_aliases_are_followed_and_loops_are_not(self):
        self.places("127.0.0.1")
        names = self.names({"svc.test": (NOERROR, [(CNAME, "a.test"), (CNAME, "b.test", "a.test"), (A, "127.0.0.1", "b.test")])})
        gateway = self.gateway_for(names.port)
        self.assertEqual(self.asked(gateway, 3), {"127.0.0.1"})
        loop = self.names({"svc.test": (NOERROR, [(CNAME, "a.test"), (CNAME, "svc.test", "a.test")])})
        gateway = self.gateway_for(loop.port)
        self.assertEqual(self.asked(gateway, 1), {None})
        self.assertEqual(self.status(gateway), [])

    def test_a_huge_answer_comes_over_tcp_and_is_bounded(self):
        self.places("127.0.0.1")
        many = [(A, f"127.0.{i // 250}.{i % 250 + 1}") for i in range(1500)]
        names = self.names({"svc.test": (NOERROR, many)})
        gateway = self.gateway_for(names.port)
        self.assertEqual(len(self.status(gateway)), 1000)

    @needs("dnsmasq")
    def test_with_dnsmasq(self):
        self.places("127.0.0.1", "127.0.0.2")
        port = free_port()
        hosts = os.path.join(self.folder(), "hosts")

        def write(address):
            with open(hosts, "w") as file:
                file.write(f"{address} svc.test\n")

        write("127.0.0.1")
        dnsmasq = self.start("dnsmasq", "--keep-in-foreground", "--user=root", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv",
                             "--no-hosts", f"--addn-hosts={hosts}", "--local-ttl=1", "--pid-file", "--conf-file=/dev/null")
        gateway = self.gateway_for(port)
        self.assertTrue(until(lambda: self.asked(gateway, 1) == {"127.0.0.1"}, 20))
        write("127.0.0.2")
        dnsmasq.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: self.asked(gateway) == {"127.0.0.2"}, 20))
        dnsmasq.kill()
        self.assertTrue(until(lambda: self.status(gateway)[0]["state"] == "stale", 20))
        self.assertEqual(self.asked(gateway), {"127.0.0.2"})

    def test_etc_hosts_counts_too(self):
        self.places("127.0.0.1")
        names = self.names({})
        gateway = self.gateway_for(names.port, name="localhost")
        self.assertIn("127.0.0.1", self.asked(gateway))


class SrvTest(DnsTest):
    def serving(self, port, keep_stale="1h"):
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{dns: {{srv: _http._tcp.svc.test}}, balance: round_robin}}}}
            discovery: {{dns: {{servers: ["127.0.0.1:{port}"], keep_stale: {keep_stale}}}}}
            admin: {{address: "127.0.0.1:0"}}
        """)

    def origins(self, *names):
        return [self.origin(ok(name)) for name in names]

    def test_ports_weights_and_priorities_count_and_changes_arrive(self):
        one, two, three = self.origins("one", "two", "three")
        names = self.names({"a.test": (NOERROR, [(A, "127.0.0.1")]), "b.test": (NOERROR, [(A, "127.0.0.1")]), "_http._tcp.svc.test": (
            NOERROR, [(SRV, (1, 90, one.port, "a.test")), (SRV, (1, 10, two.port, "b.test")), (SRV, (2, 50, three.port, "a.test"))])})
        gateway = self.serving(names.port)
        self.assertEqual(self.asked(gateway, 200), {"one", "two"})
        self.assertGreater(len(one.requests), 4 * len(two.requests))
        self.assertEqual({place["srv"] for place in self.status(gateway)}, {"_http._tcp.svc.test"})
        names.zone["_http._tcp.svc.test"] = (NOERROR, [(SRV, (2, 50, three.port, "c.test")), (SRV, (1, 0, 9, "missing.test"))])
        names.zone["c.test"] = (NOERROR, [(A, "127.0.0.1")])
        seen = []
        self.assertTrue(until(lambda: seen.append(self.asked(gateway, 5)) or seen[-1] == {"three"}))
        self.assertFalse(any(None in places for places in seen))  # nothing failed on the way

    def test_the_last_answer_is_kept_and_a_denied_name_is_given_up(self):
        one, = self.origins("one")
        good = (NOERROR, [(SRV, (1, 0, one.port, "a.test"))])
        names = self.names({"a.test": (NOERROR, [(A, "127.0.0.1")]), "_http._tcp.svc.test": good})
        gateway = self.serving(names.port)
        names.zone["_http._tcp.svc.test"] = (SERVFAIL, [])
        self.assertTrue(until(lambda: "srv_error" in self.status(gateway)[0], 20))
        self.assertEqual(self.asked(gateway), {"one"})
        names.zone["_http._tcp.svc.test"] = good
        self.assertTrue(until(lambda: "srv_error" not in self.status(gateway)[0], 20))
        names.zone["_http._tcp.svc.test"] = (NXDOMAIN, [])
        self.assertTrue(until(lambda: self.asked(gateway, 2) == {None}, 20))

    def test_an_answer_too_large_for_a_datagram_and_one_that_loops(self):
        origins = self.origins(*(str(number) for number in range(40)))
        names = self.names({"a.test": (NOERROR, [(A, "127.0.0.1")]), "_http._tcp.svc.test": (
            NOERROR, [(SRV, (1, 1, origin.port, "a.test")) for origin in origins])})
        gateway = self.serving(names.port)
        self.assertEqual(self.asked(gateway, 120), {str(number) for number in range(40)})
        names.zone["_http._tcp.svc.test"] = (NOERROR, [(CNAME, "b.test", "_http._tcp.svc.test"), (CNAME, "_http._tcp.svc.test", "b.test")])
        self.assertTrue(until(lambda: self.asked(gateway, 2) == {None}, 20))  # as if it had none

    @needs("dnsmasq")
    def test_with_dnsmasq(self):
        one, two = self.origins("one", "two")
        port = free_port()
        self.start("dnsmasq", "--keep-in-foreground", "--user=root", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv",
                   "--no-hosts", "--local-ttl=1", "--pid-file", "--conf-file=/dev/null", "--host-record=a.test,127.0.0.1",
                   f"--srv-host=_http._tcp.svc.test,a.test,{one.port},1,3", f"--srv-host=_http._tcp.svc.test,a.test,{two.port},1,1")
        gateway = self.serving(port)
        self.assertTrue(until(lambda: self.asked(gateway, 8) == {"one", "two"}, 20))
        weights = {place["address"]: place["weight"] for place in self.status(gateway)}
        self.assertEqual(weights, {one.address: 1000, two.address: 333})

    def test_a_name_and_a_port(self):
        self.places("127.0.0.1")
        names = self.names({"svc.test": (NOERROR, [(A, "127.0.0.1")])})
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{dns: "svc.test:{self.port}"}}}}
            discovery: {{dns: {{servers: ["127.0.0.1:{names.port}"]}}}}
        """)
        self.assertEqual(self.asked(gateway), {"127.0.0.1"})


if __name__ == "__main__":
    unittest.main()
