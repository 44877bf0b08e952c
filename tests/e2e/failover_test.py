# tests/e2e/failover_test.py
#
# A service's instance dies and comes back, again and again, and no client sees it; nor a kept connection that the service closed.
import http.client
import sys
import threading
import time
import unittest

from gateway import GatewayTest, free_port, ok, reachable

INSTANCE = r'''
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    def do_GET(self):
        body = b"from %d" % self.server.server_port
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    def handle_error(self, *_): pass
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
'''


class Failover(GatewayTest):
    def instance(self, port):
        process = self.start(sys.executable, "-c", INSTANCE, str(port))
        self.assertTrue(reachable(port))
        return process

    def load(self, gateway, stop, outcomes):
        connection = http.client.HTTPConnection(*gateway.address, timeout=10)
        while not stop.is_set():
            try:
                connection.request("GET", "/")
                reply = connection.getresponse()
                outcomes.append((reply.status, reply.read()))
            except Exception as error:  # each of them is a failed GET
                outcomes.append((0, repr(error)))
                connection.close()
        connection.close()

    def test_no_get_fails_while_an_instance_is_killed_and_restarted(self):
        ports = [free_port(), free_port()]
        dying = self.instance(ports[0])
        self.instance(ports[1])
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["127.0.0.1:{ports[0]}", "127.0.0.1:{ports[1]}"]}}}}
        """)
        stop, outcomes = threading.Event(), []
        clients = [threading.Thread(target=self.load, args=(gateway, stop, outcomes)) for _ in range(6)]
        for client in clients:
            client.start()
        for _ in range(6):
            time.sleep(0.5)
            dying.kill()
            dying.wait()
            time.sleep(0.5)
            dying = self.instance(ports[0])
        time.sleep(0.5)
        stop.set()
        for client in clients:
            client.join()
        failed = [outcome for outcome in outcomes if outcome[0] != 200]
        print(f"{len(outcomes)} GETs, {len(failed)} failed")
        self.assertEqual(failed, [])
        self.assertGreater(len(outcomes), 100)
        self.assertEqual({body for _, body in outcomes}, {b"from %d" % port for port in ports})

    def test_all_instances_gone_and_back(self):
        port = free_port()
        instance = self.instance(port)
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["127.0.0.1:{port}"]}}}}
        """)
        client = self.client(gateway)
        self.assertEqual(client.get().status, 200)
        instance.kill()
        instance.wait()
        self.assert_problem(client.get(), 502, close=False)
        self.instance(port)
        self.assertEqual(client.get().status, 200)


class KeptConnections(GatewayTest):
    def through(self, origin, workers=1):
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["{origin.address}"], policies: [retry: {{attempts: 1}}]}}}}
        """, workers=workers)

    def test_one_that_the_service_closed_meanwhile_is_replaced_unseen(self):
        def script(wire):
            wire.request()
            wire.send(ok("x"))
        origin = self.origin(script=script)
        client = self.client(self.through(origin))
        for pause in (0, 0, 0.05, 0.05, 0):
            time.sleep(pause)
            self.assertEqual(client.get().status, 200)
        self.assertEqual(origin.connections, 5)

    def test_one_that_the_service_closes_as_it_is_used_is_replaced_unseen(self):
        def script(wire):
            wire.request()
            wire.send(ok("x"))
            wire.request()  # the second request is taken and the connection closed: as if the two had crossed
        origin = self.origin(script=script)
        client = self.client(self.through(origin))
        for _ in range(4):
            self.assertEqual(client.get().status, 200)

    def test_a_post_is_not_sent_twice(self):
        posts = []
        def script(wire):
            wire.request()
            wire.send(ok("x"))
            posts.append(wire.request())
        client = self.client(self.through(self.origin(script=script)))
        self.assertEqual(client.get().status, 200)
        reply = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        self.assert_problem(reply, 502, close=False)
        self.assertEqual(len(posts), 1)

    def test_connections_are_shared_by_clients(self):
        origin = self.origin(ok("x"))
        gateway = self.through(origin)
        for _ in range(20):
            client = gateway.client()
            self.assertEqual(client.get().status, 200)
            client.close()
        self.assertEqual(origin.connections, 1)


if __name__ == "__main__":
    unittest.main()
