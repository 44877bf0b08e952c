# tests/e2e/composition_test.py
#
# Several services become one answer, over real sockets: the bytes of the answer for each way in which a source can fail, and what
# becomes of the other calls.
import os
import signal
import sys
import unittest

from gateway import GatewayTest, ok, reachable, free_port, until

USER = b'{"id": 7, "n":1e2, "name":"\\u00e9"}'
ORDERS = b'[{"total":10.50,"total":1}]'

# A whole process, so that it can be stopped: accepts, and answers every request alike.
SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"[1]")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def status(line, body=b"", *fields):
    return ok(body, *fields).replace(b"200 OK", line.encode(), 1)


class Composed(GatewayTest):
    def home(self, similar, user=None, listener="", fallback="{value: []}", **options):
        self.users = self.origin(user or ok(USER))
        self.orders = self.origin(ok(ORDERS))
        self.text = f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"{listener}}}}}
            admin: {{address: "127.0.0.1:0"}}
            services:
              users: {{endpoints: ["{self.users.address}"]}}
              orders: {{endpoints: ["{self.orders.address}"]}}
              recommendations: {{endpoints: ["{similar}"]}}
            routes: [{{match: {{path: "/home/{{id}}"}}, to: {{composition: home}}}}]
            compositions:
              home:
                calls:
                  user: {{service: users, path: "/users/{{id}}"}}
                  orders: {{service: orders, path: "/of/{{user.id}}", query: {{name: "{{user.name}}"}}, fallback: [{{value: []}}]}}
                  similar: {{service: recommendations, path: "/similar/{{id}}", timeout: 300ms, fallback: [{fallback}]}}
        """
        return self.gateway(self.text, **options)


class Answers(Composed):
    WHOLE = b'{"user":' + USER + b',"orders":' + ORDERS + b',"similar":[1]}'
    PART = b'{"user":' + USER + b',"orders":' + ORDERS + b',"similar":[],"degraded":true,"failedServices":["similar"]}'

    def test_results_stand_as_they_came(self):
        gateway = self.home(self.origin(ok("[1]")).address)
        reply = self.client(gateway).get("/home/7")
        self.assertEqual((reply.status, reply.body), (200, self.WHOLE))
        self.assertEqual(reply.field("content-type"), "application/json")
        self.assertIsNone(reply.field("cache-control"))
        self.assertEqual(self.orders.requests[0].target, "/of/7?name=%C3%A9")

    def test_every_failure_of_a_source_degrades_the_answer(self):
        source = {
            "500": status("500 Oops", b"[1]"),
            "a redirect": status("302 Found", b"[1]", "Location: /elsewhere"),
            "a page of HTML": ok("<html>sorry</html>", "Content-Type: text/html"),
            "not JSON": ok("[01]"),
            "nothing": ok(""),
            "more behind it": ok("[1] [2]"),
            "depth": ok("[" * 100_000 + "]" * 100_000),
            "too much": ok('"' + "x" * (1024 * 1024) + '"'),
            "cut short": ok("[1]").replace(b"Length: 3", b"Length: 9"),
            "no HTTP": b"hello\r\n\r\n",
        }
        said = b""

        def script(wire):
            wire.request()
            wire.send(said)
            wire.close()

        gateway = self.home(self.origin(script=script).address)
        for name, said in source.items():
            with self.subTest(name):
                reply = self.client(gateway).get("/home/7")
                self.assertEqual((reply.status, reply.body), (200, self.PART))
                self.assertEqual(reply.field("cache-control"), "no-store")
        records = gateway.records(len(source))
        self.assertEqual([(record["degraded"], record["failed_services"]) for record in records], [(True, ["similar"])] * len(source))
        page = self.client(gateway, "admin").get("/metrics").body.decode()
        self.assertIn(f'portloom_degraded_total{{route="/home/{{id}}",call="similar"}} {len(source)}', page)

    def test_a_service_that_refuses(self):
        gateway = self.home(f"127.0.0.1:{free_port()}")
        reply = self.client(gateway).get("/home/7")
        self.assertEqual((reply.status, reply.body), (200, self.PART))

    def test_a_stopped_process_costs_its_timeout(self):
        port = free_port()
        process = self.start(sys.executable, "-c", SERVER, str(port))
        self.assertTrue(reachable(port))
        gateway = self.home(f"127.0.0.1:{port}")
        client = self.client(gateway)
        self.assertEqual(client.get("/home/7").body, self.WHOLE)
        os.kill(process.pid, signal.SIGSTOP)
        self.assertEqual(client.get("/home/7").body, self.PART)
        os.kill(process.pid, signal.SIGCONT)
        self.assertEqual(client.get("/home/7").body, self.WHOLE)

    def test_a_last_good_answer_is_every_workers_and_outlives_a_reload(self):
        similar = self.origin(ok("[1]"))
        gateway = self.home(similar.address, fallback="{stale: 1m}", workers=4)
        self.assertEqual(self.client(gateway).get("/home/7").body, self.WHOLE)
        similar.answer = lambda _: status("500 Oops")
        stale = self.PART.replace(b'"similar":[],', b'"similar":[1],')
        for _ in range(2):
            answers = {self.client(gateway).get("/home/7").body for _ in range(24)}
            self.assertEqual(answers, {stale}, "whichever worker a connection meets")
            gateway.write(self.text.replace("timeout: 300ms", "timeout: 400ms"))
            self.assertTrue(gateway.reload())

    def test_values_stay_in_their_place(self):
        gateway = self.home(self.origin(ok("[1]")).address, user=ok('{"id":"../a?b#c%2f&d","name":"x&y=z\\r\\nInjected: 1"}'))
        self.client(gateway).get("/home/7")
        self.assertEqual(self.orders.requests[0].target, "/of/..%2Fa%3Fb%23c%252f%26d?name=x%26y%3Dz%0D%0AInjected%3A%201")


class Body(Composed):
    def order(self):
        self.prices = self.origin(ok("1.50"))
        self.stock = self.origin(ok("true"))
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{prices: {{endpoints: ["{self.prices.address}"]}}, stock: {{endpoints: ["{self.stock.address}"]}}}}
            routes: [{{match: {{method: POST, path: /order}}, to: {{composition: order}}}}]
            compositions:
              order:
                calls:
                  price: {{service: prices, path: "/of/{{body.items[0].sku}}"}}
                  stock: {{service: stock, method: POST, path: /stock, body: {{items: "{{body.items}}", price: "{{price}}"}}}}
        """)

    def test_parts_of_it_go_on_byte_for_byte(self):
        client = self.client(self.order())
        body = '{"items": [{"sku":"a/b","n":1.0e1}]}'
        asked = f"POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        chunks = "".join(f"1\r\n{byte}\r\n" for byte in body)
        for text in (asked, f"POST /order HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"):
            reply = client.ask(text, "POST")
            self.assertEqual((reply.status, reply.body), (200, b'{"price":1.50,"stock":true}'))
        self.assertEqual([request.target for request in self.prices.requests], ["/of/a%2Fb"] * 2)
        self.assertEqual([request.body for request in self.stock.requests], [b'{"items":[{"sku":"a/b","n":1.0e1}],"price":1.50}'] * 2)

    def test_what_cannot_be_read_is_the_clients_fault(self):
        gateway = self.order()
        for body, status in (("<order/>", 400), ('{"items":', 400), ("[" * 100_000, 400), ('"' + "x" * 2**20 + '"', 413)):
            reply = self.client(gateway).ask(f"POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}", "POST")
            self.assertEqual(self.assert_problem(reply, status)["blame"], "client")
        self.assertEqual(self.prices.requests, [])


class Required(Composed):
    def test_its_failure_is_ours_to_tell(self):
        gateway = self.home(self.origin(ok("[1]")).address, user=status("404 Not Found", b"{}"))
        problem = self.assert_problem(self.client(gateway).get("/home/7"), 502)
        self.assertEqual((problem["failedServices"], problem["service"]), (["user"], "users"))
        self.assertEqual(gateway.records(1)[0]["service"], "users")
        self.assertEqual(self.orders.requests, [], "a call whose input has failed is not made")

    def test_a_client_that_leaves_ends_every_call(self):
        waiting = []

        def script(wire):
            wire.request()
            waiting.append(wire)
            waiting.append(wire.ended())

        users, similar = self.origin(script=script), self.origin(script=script)
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", timeouts: {{gone_grace: 10ms}}}}}}
            services:
              users: {{endpoints: ["{users.address}"]}}
              recommendations: {{endpoints: ["{similar.address}"]}}
            routes:
              - match: {{path: /home}}
                to: {{composition: {{calls: {{user: {{service: users, path: /, timeout: 30s}}, similar: {{service: recommendations, path: /, timeout: 30s}}}}}}}}
                policies: [{{timeout: 30s}}]
        """)
        client = self.client(gateway)
        client.send("GET /home HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        self.assertTrue(until(lambda: len(waiting) == 2))
        client.close()
        self.assertTrue(until(lambda: waiting.count(True) == 2), waiting)


    def test_a_client_that_leaves_in_the_second_stage_ends_what_runs_then(self):
        waiting = []

        def script(wire):
            wire.request()
            waiting.append(wire)
            waiting.append(wire.ended())

        users, orders, similar = self.origin(ok(USER)), self.origin(script=script), self.origin(script=script)
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", timeouts: {{gone_grace: 10ms}}}}}}
            services:
              users: {{endpoints: ["{users.address}"]}}
              orders: {{endpoints: ["{orders.address}"]}}
              recommendations: {{endpoints: ["{similar.address}"]}}
            defaults: {{call: {{timeout: 30s}}}}
            routes: [{{match: {{path: /home}}, to: {{composition: home}}, policies: [{{timeout: 30s}}]}}]
            compositions:
              home:
                calls:
                  user: {{service: users, path: /}}
                  orders: {{service: orders, path: "/{{user.id}}"}}
                  similar: {{service: recommendations, path: /}}
        """)
        client = self.client(gateway)
        client.send("GET /home HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        self.assertTrue(until(lambda: len(waiting) == 2))
        client.close()
        self.assertTrue(until(lambda: waiting.count(True) == 2), waiting)
        self.assertEqual(len(users.requests), 1)


if __name__ == "__main__":
    unittest.main()
