# tests/e2e/door_test.py
#
# Who is let in at a listener, and as whom: PROXY headers from programs that we did not write, bounds on connections and memory.
import socket
import struct
import subprocess
import threading
import unittest

from gateway import Ended, GatewayTest, Wire, free_port, needs, ok, reachable, unless_sanitized, until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(source, port=1):
    block = socket.inet_aton(source) + socket.inet_aton("192.0.2.9") + struct.pack(">HH", port, 80)
    return SIGNATURE + b"\x21\x11" + struct.pack(">H", len(block)) + block


def refused(page, reason):
    for line in page.splitlines():
        if line.startswith("portloom_connections_refused_total{") and f'reason="{reason}"' in line and 'listener="edge"' in line:
            return int(float(line.split()[-1]))
    return None


class Door(GatewayTest):
    def doors(self, listener="", limits="{}", **options):
        self.behind = self.origin(lambda request: ok(request.field("x-forwarded-for") or ""))
        return self.gateway(f"""
            version: 1
            limits: {limits}
            listeners: {{edge: {{address: "127.0.0.1:0", {listener}}}}}
            services: {{origin: {{endpoints: ["{self.behind.address}"]}}}}
            routes: [{{match: {{path_prefix: /}}, to: origin}}]
            admin: {{address: "127.0.0.1:0"}}
        """, **options)

    def page(self, gateway):
        with_admin = self.client(gateway, "admin")
        return with_admin.get("/metrics").body.decode()


class ProxyProtocol(Door):
    def proxied(self, more="", **options):
        return self.doors('proxy_protocol: true, trusted_proxies: ["127.0.0.1"], ' + more, **options)

    def test_the_proxied_address_is_the_client_everywhere(self):
        gateway = self.proxied('policies: [{ip_filter: {deny: ["198.51.100.0/24"]}}]')
        for header in (b"PROXY TCP4 203.0.113.5 192.0.2.9 4711 80\r\n", version_2("203.0.113.5")):
            client = self.client(gateway)
            client.send(header)
            self.assertEqual(client.get("/in").body, b"203.0.113.5")
        client = self.client(gateway)
        client.send(version_2("198.51.100.7"))
        self.assertEqual(client.get("/out").status, 403)
        records = gateway.records(3)
        self.assertEqual(sorted(record["client"] for record in records), ["198.51.100.7", "203.0.113.5", "203.0.113.5"])

    def test_no_header_no_service(self):
        gateway = self.proxied("timeouts: {headers: 300ms}")
        plain = self.client(gateway)
        plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(plain.ended())
        silent = self.client(gateway)
        self.assertTrue(silent.ended())
        garbage = self.client(gateway)
        garbage.send(SIGNATURE + b"\x21\x11\xff\xff")
        self.assertTrue(garbage.ended())
        self.assertEqual(refused(self.page(gateway), "proxy_protocol"), 3)
        self.assertEqual(self.behind.connections, 0)

    def test_only_from_trusted_proxies(self):
        gateway = self.doors('proxy_protocol: true, trusted_proxies: ["192.0.2.0/24"]')
        client = self.client(gateway)
        try:
            client.send(version_2("203.0.113.5") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        except ConnectionError:
            pass
        self.assertTrue(client.ended())
        self.assertEqual(refused(self.page(gateway), "proxy_protocol"), 1)

    @needs("curl")
    def test_curl(self):
        gateway = self.proxied()
        out = subprocess.run(["curl", "-s", "--haproxy-protocol", gateway.url + "/curl"], capture_output=True, timeout=20)
        self.assertEqual((out.returncode, out.stdout), (0, b"127.0.0.1"))

    @needs("haproxy")
    def test_haproxy_in_front(self):
        """Both versions, plain and on the way to TLS, from HAProxy itself."""
        folder = self.folder()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=shop.test", "-addext", "subjectAltName=DNS:shop.test", "-keyout", "key.pem", "-out", "cert.pem"],
                       cwd=folder, check=True, capture_output=True)
        tls = f"tls: {{certificates: [{{cert: {folder}/cert.pem, key: {{file: {folder}/key.pem}}}}]}}"
        for options in ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,ssl,unique-id"):
            for secure in (False, True):
                gateway = self.proxied(tls if secure else "")
                port = free_port()
                text = f"""
                    defaults
                      mode tcp
                      timeout connect 3s
                      timeout client 5s
                      timeout server 5s
                    frontend f
                      bind 127.0.0.1:{port}
                      unique-id-format %rt
                      default_backend b
                    backend b
                      source 127.0.0.1
                      server s {gateway.address[0]}:{gateway.address[1]} {options}
                """
                with open(f"{folder}/haproxy.cfg", "w") as file:
                    file.write("\n".join(line[20:] for line in text.splitlines()) + "\n")
                self.start("haproxy", "-db", "-q", "-f", f"{folder}/haproxy.cfg")
                self.assertTrue(reachable(port))
                scheme = "https" if secure else "http"
                out = subprocess.run(["curl", "-s", "--insecure", "--interface", "127.0.0.3", f"{scheme}://127.0.0.1:{port}/"],
                                     capture_output=True, timeout=20)
                self.assertEqual((out.returncode, out.stdout), (0, b"127.0.0.3"), (options, secure, gateway.lines))
                self.assertEqual(gateway.records(1)[0]["client"], "127.0.0.3")

    def test_check_warns_where_anybody_may_claim_an_address(self):
        gateway = self.doors("proxy_protocol: true")
        self.assertTrue(any("may claim any address" in line for line in gateway.lines), gateway.lines)


class Connections(Door):
    def test_the_bound_of_the_process(self):
        gateway = self.doors(limits="{connections: 3}")
        kept = [self.client(gateway) for _ in range(3)]
        for client in kept:
            self.assertEqual(client.get().status, 200)
        over = self.client(gateway)
        self.assertTrue(over.ended())
        self.assertEqual(refused(self.page(gateway), "connections"), 1)
        kept[0].close()
        def again():
            client = self.client(gateway)
            try:
                return client.get().status == 200
            except Exception:
                return False
        self.assertTrue(until(again))

    def test_the_bound_per_address_over_all_workers(self):
        gateway = self.doors(limits="{connections_per_address: 4}", workers=2)
        def come(source):
            client = Wire(socket.create_connection(gateway.address, 5, (source, 0)))
            self.addCleanup(client.close)
            try:
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                return client, client.reply().status
            except (Ended, ConnectionError):
                return client, None
        ones = [come("127.0.0.1") for _ in range(6)]
        self.assertEqual(sorted((status for _, status in ones), key=str), [200, 200, 200, 200, None, None])
        self.assertEqual(come("127.0.0.2")[1], 200)
        self.assertEqual(refused(self.page(gateway), "connections_per_address"), 2)
        next(client for client, status in ones if status).close()
        self.assertTrue(until(lambda: come("127.0.0.1")[1] == 200))


@unless_sanitized("it needs more memory")
class Memory(Door):
    def test_near_the_bound_new_requests_get_503_and_idle_connections_end(self):
        """Requests that wait for a service pile up; the gateway says no before it is over, and recovers."""
        gateway = self.doors(limits="{memory: 28MiB}")
        page = lambda: self.page(gateway)
        level = lambda: int(next(line for line in page().splitlines() if line.startswith("portloom_memory_level ")).split()[1])
        self.assertEqual(level(), 0)
        idle = self.client(gateway)
        self.assertEqual(idle.get().status, 200)
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        def answer(request):
            if request.target == "/held":
                go_on.wait(30)
            return ok("small")
        self.behind.answer = answer
        held = []
        for _ in range(900):
            client = self.client(gateway)
            client.send(f"GET /held HTTP/1.1\r\nHost: a\r\nX-Filler: {'x' * 60000}\r\n\r\n")
            held.append(client)
            if len(held) % 5 == 0 and level() > 0:
                break
        self.assertTrue(until(lambda: level() > 0), gateway.memory() >> 20)
        self.assertTrue(idle.ended())
        def told():
            client = self.client(gateway)
            try:
                return client.get()
            except Exception:  # spent: closed as it came
                held.pop().close()
                return None
        reply = until(told)
        self.assert_problem(reply, 503, close=True)
        self.assertEqual(reply.json()["limit"], "memory")
        self.assertTrue(gateway.said("new requests get 503"))
        go_on.set()
        for client in held:
            client.close()
        self.assertTrue(until(lambda: level() == 0, 20), gateway.memory() >> 20)
        self.assertEqual(self.client(gateway).get().body, b"small")
        self.assertTrue(gateway.said("serving again"))
        self.assertEqual(self.client(gateway, "admin").get("/status").json()["memory"]["level"], "plenty")


if __name__ == "__main__":
    unittest.main()
