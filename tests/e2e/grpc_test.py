# tests/e2e/grpc_test.py
#
# gRPC through the gateway between peers that we did not write: Debian's grpcio (under /usr/bin/python3) and grpc-js, each as client and
# as server. ./dev test installs both; where one is missing its tests are skipped and say so.
import json
import os
import subprocess
import unittest

from gateway import TOP, GatewayTest, free_port, ok

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.environ.get("PORTLOOM_NODE_MODULES") or os.path.join(TOP, "build/node/node_modules")
ENVIRONMENT = {**os.environ, "NODE_PATH": MODULES, "GRPC_VERBOSITY": "NONE"}
PEERS = {"grpcio": ["/usr/bin/python3", os.path.join(HERE, "grpc_peer.py")], "grpc-js": ["node", os.path.join(HERE, "grpc_peer.js")]}


def missing(peer):
    test = ["/usr/bin/python3", "-c", "import grpc"] if peer == "grpcio" else ["node", "-e", "require('@grpc/grpc-js')"]
    try:
        return subprocess.run(test, env=ENVIRONMENT, capture_output=True, check=False).returncode != 0
    except OSError:
        return True


MISSING = {peer for peer in PEERS if missing(peer)}
EXPECTED = {"unary": "hello", "initial": "000102", "trailing": "fffe00", "timeout_passed": "True", "large": 3_000_000,
            "fail": "FAILED_PRECONDITION: not now: 50% \u00e4", "unknown": "UNIMPLEMENTED", "collect": "500", "count": 100_000, "chat": 2000,
            "deadline": "DEADLINE_EXCEEDED", "cancelled": "yes"}


class Grpc(GatewayTest):
    def serve(self, peer):
        process = self.start(*PEERS[peer], "serve", env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return int(process.stdout.readline())

    def start_gateway(self, port, more="", protocol="grpc"):
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{peer: {{endpoints: ["127.0.0.1:{port}"], protocol: {protocol}}}}}
            routes: [{{match: {{path_prefix: /}}, to: peer{more}}}]
        """)

    def ask(self, peer, gateway, what="call"):
        out = subprocess.run([*PEERS[peer], what, "%s:%d" % gateway.address], env=ENVIRONMENT, capture_output=True, text=True, timeout=50, check=False)
        self.assertEqual(out.returncode, 0, out.stderr)
        return json.loads(out.stdout)

    def every_kind(self, client, server):
        for peer in (client, server):
            if peer in MISSING:
                self.skipTest(peer + " is not installed")
        self.assertEqual(self.ask(client, self.start_gateway(self.serve(server))), EXPECTED)

    def test_grpcio_to_grpcio(self):
        self.every_kind("grpcio", "grpcio")

    def test_grpc_js_to_grpc_js(self):
        self.every_kind("grpc-js", "grpc-js")

    def test_grpcio_to_grpc_js(self):
        self.every_kind("grpcio", "grpc-js")

    def test_grpc_js_to_grpcio(self):
        self.every_kind("grpc-js", "grpcio")

    @unittest.skipIf("grpcio" in MISSING, "grpcio is not installed")
    def test_failures_of_ours_are_statuses(self):
        nobody = self.start_gateway(free_port())
        self.assertTrue(self.ask("grpcio", nobody, "once").startswith("UNAVAILABLE: "))
        limited = self.start_gateway(free_port(), ", policies: [{rate_limit: {requests: 1, per: 1h, key: client.address}}]")
        self.ask("grpcio", limited, "once")
        self.assertTrue(self.ask("grpcio", limited, "once").startswith("RESOURCE_EXHAUSTED: "))

    @unittest.skipIf("grpcio" in MISSING, "grpcio is not installed")
    def test_http_errors_are_statuses(self):
        origin = self.origin(ok("not gRPC").replace(b"200 OK", b"404 Not Found"))
        self.assertTrue(self.ask("grpcio", self.start_gateway(origin.port, protocol="http1"), "once").startswith("UNIMPLEMENTED: "))


if __name__ == "__main__":
    unittest.main()
