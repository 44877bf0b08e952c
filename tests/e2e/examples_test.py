# tests/e2e/examples_test.py
#
# Each configuration of examples/, as it stands but for its ports, before real services: does it do what its first lines promise?
import os
import re
import shutil
import unittest
from pathlib import Path

from gateway import TOP, Gateway, GatewayTest, ok, run

EXAMPLES = Path(TOP) / "examples"


def listed():
    """File or folder names, as examples/README.md has them."""
    return {link.split("/")[0] for link in re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text(), re.M)}


class Example(GatewayTest):
    def run_example(self, name, **answers):
        """The gateway, and the service behind each port: `at_3001=` is its answer; without one it says its port and what was asked."""
        self.assertEqual((run("check", EXAMPLES / name).returncode, run("check", EXAMPLES / name).stderr), (0, ""))
        folder = Path(self.folder())
        source = (EXAMPLES / name).parent if "/" in name else EXAMPLES / name
        target = Path(shutil.copytree(source, folder / "example") if source.is_dir() else shutil.copy(source, folder))
        services = {}

        def move(match):
            port = match[1]
            if port not in services:
                given = answers.get("at_" + port)
                services[port] = self.origin(given or (lambda request: ok(f"{port} {request.method} {request.target}")))
            return services[port].address

        for file in target.rglob("*.yaml") if target.is_dir() else [target]:
            text = re.sub(r"127\.0\.0\.1:(3\d\d\d)\b", move, file.read_text())
            file.write_text(re.sub(r"127\.0\.0\.1:9900", "127.0.0.1:0", re.sub(r"\b(port: )\d+", r"\g<1>0", text)))
        gateway = Gateway(arguments=[str(target / "portloom.yaml" if target.is_dir() else target)])
        self.addCleanup(gateway.stop)
        return gateway, services

    def test_the_readme_lists_each(self):
        there = {path.name for path in EXAMPLES.iterdir() if path.name != "README.md"}
        self.assertEqual(listed(), there)
        text = Path(__file__).read_text()
        self.assertEqual([name for name in there if f'"{name}' not in text.replace("several-files/portloom.yaml", "several-files")], [])

    def test_minimal(self):
        gateway, _ = self.run_example("minimal.yaml")
        self.assertEqual(self.client(gateway).get("/a?b=c").body, b"3000 GET /a?b=c")

    def test_two_endpoints(self):
        gateway, services = self.run_example("two-endpoints.yaml")
        client = self.client(gateway)
        for _ in range(20):
            self.assertEqual(client.get("/orders").status, 200)
        self.assertTrue(services["3001"].requests and services["3002"].requests)
        services["3001"].close()
        self.assertEqual({client.get("/orders").body for _ in range(20)}, {b"3002 GET /orders"})

    def test_public_api(self):
        gateway, services = self.run_example("public-api.yaml")
        client = self.client(gateway)
        key = "X-Api-Key: try-me-only"
        self.assertEqual(client.get("/health").body, b"ok\n")
        self.assertEqual(client.get("/orders").status, 401)
        reply = client.get("/orders", key, "Origin: https://shop.example")
        self.assertEqual((reply.status, reply.body), (200, b"3000 GET /orders"))
        self.assertEqual(reply.field("access-control-allow-origin"), "https://shop.example")
        self.assertIn('"consumer";r=99', reply.field("ratelimit"))
        self.assertEqual(reply.field("x-content-type-options"), "nosniff")
        self.assertIsNone(services["3000"].requests[0].field("x-api-key"))
        preflight = client.ask("OPTIONS /orders HTTP/1.1\r\nHost: shop.test\r\nOrigin: https://shop.example\r\n"
                               "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-api-key\r\n\r\n")
        self.assertEqual((preflight.status, preflight.field("access-control-allow-headers")), (204, "x-api-key"))
        self.assertEqual([client.get("/orders", key).status for _ in range(99)], [200] * 99)
        refused = client.get("/orders", key)
        self.assertEqual(refused.status, 429)
        self.assertTrue(int(refused.field("retry-after")))

    def test_composed_page(self):
        user, orders, similar, best = b'{"id":7,"name":"Ada"}', b'[{"total":10.50}]', b'["lamp"]', b'["tea"]'
        down = set()

        def source(port, body):
            return lambda request: b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n" if port in down else ok(body)

        gateway, services = self.run_example("composed-page.yaml", at_3001=source(3001, user), at_3002=source(3002, orders),
                                             at_3003=source(3003, similar), at_3004=source(3004, best))
        client = self.client(gateway)
        whole = b'{"user":' + user + b',"orders":' + orders + b',"recommendations":' + similar + b"}"
        self.assertEqual(client.get("/home/7").body, whole)
        self.assertEqual([services[port].requests[0].target for port in ("3001", "3002", "3003")], ["/users/7", "/of/7", "/for/7"])
        down |= {3002, 3003}
        reply = client.get("/home/7")
        page = reply.json()
        self.assertTrue(reply.body.startswith(whole[:-1].replace(similar, best) + b","), "the last good orders, and another's answer")
        self.assertEqual((page["degraded"], page["failedServices"]), (True, ["orders", "recommendations"]))
        self.assertEqual([failure["service"] for failure in page["failures"]], ["orders", "recommendations"])
        self.assertEqual(reply.field("cache-control"), "no-store")
        down.add(3001)
        self.assertEqual(self.assert_problem(client.get("/home/7"), 502)["failedServices"], ["user"])

    def test_canary(self):
        gateway, _ = self.run_example("canary.yaml")
        clients = [self.client(gateway) for _ in range(4)]
        sides = {}
        for turn in range(4):
            for number in range(300):
                body = clients[(turn + number) % 4].get("/search?q=a", f"X-User: user-{number}").body
                self.assertRegex(body, rb"^300[12] GET /search\?q=a$")
                sides.setdefault(number, set()).add(body)
        self.assertEqual([number for number, seen in sides.items() if len(seen) > 1], [])
        share = sum(side == {b"3002 GET /search?q=a"} for side in sides.values()) / len(sides)
        self.assertGreater(share, 0.03)
        self.assertLess(share, 0.2)

    def test_several_files(self):
        os.environ["PORT"] = "0"
        self.addCleanup(os.environ.pop, "PORT", None)
        gateway, _ = self.run_example("several-files/portloom.yaml")
        client = self.client(gateway)
        for path, body in {"/products/7": b"3001 GET /v2/products/7", "/orders/9": b"3002 GET /orders/9", "/about": b"3000 GET /about"}.items():
            self.assertEqual(client.get(path).body, body)
        printed = run("check", "--print", EXAMPLES / "several-files/portloom.yaml").stdout
        for place in ("several-files/portloom.yaml:", "contexts/catalog.yaml:", "contexts/ordering.yaml:"):
            self.assertIn(place, printed)


if __name__ == "__main__":
    unittest.main()
