# tests/e2e/command_test.py
#
# The command line: exit statuses, messages, and what is printed can be used.
import json
import os
import signal
import socket
import subprocess
import textwrap
import unittest

from gateway import PROGRAM, GatewayTest, ok, run

GOOD = """\
version: 1
listeners: {edge: {address: "127.0.0.1:0"}}
services: {shop: {endpoints: ["127.0.0.1:3000"]}}
routes: [{match: {path_prefix: /}, to: shop}]
"""


class Check(GatewayTest):
    def file(self, text, name="portloom.yaml"):
        path = os.path.join(self.folder(), name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_good_file(self):
        path = self.file(GOOD)
        self.assertEqual(run("check", path).returncode, 0)
        printed = run("check", "--print", path)
        self.assertEqual(printed.returncode, 0)
        self.assertEqual(run("check", self.file(printed.stdout)).returncode, 0, printed.stdout)

    def test_wrong_files_say_where(self):
        for text, place, says in ((GOOD.replace("endpoints", "endpionts"), "3:19", "endpoints"),
                                  (GOOD.replace("to: shop", "to: shpo"), "4:40", "shpo"),
                                  (GOOD.replace("version: 1", "version: 7"), "1:10", "version"),
                                  (GOOD.replace("127.0.0.1:3000", "127.0.0.1:99999"), "3:31", "99999"),
                                  (GOOD + "policies: 1\n", "5:1", "policies"),
                                  (GOOD.replace("routes: [", "routes: [["), None, None),
                                  ("", None, None)):
            with self.subTest(says=says):
                path = self.file(text)
                result = run("check", path)
                self.assertEqual(result.returncode, 1)
                said = result.stdout + result.stderr
                self.assertRegex(said, "(?m)^" + path + r":\d+:\d+: error: .+")
                if place:
                    self.assertIn(f"{path}:{place}: error: ", said)
                    self.assertIn(says, said)
                    line, column = map(int, place.split(":"))
                    shown = said.split(f"{path}:{place}: error: ")[1].split("\n")
                    self.assertEqual(shown[1], text.split("\n")[line - 1])
                    self.assertEqual(shown[2].index("^"), column - 1)

    def test_all_problems_at_once_in_every_format(self):
        path = self.file(GOOD.replace("endpoints", "endpionts").replace("to: shop", "to: shpo"))
        lines = [json.loads(line) for line in run("check", "--format", "json", path).stdout.splitlines()]
        errors = [line for line in lines if line["severity"] == "error"]
        self.assertGreaterEqual(len(errors), 2)
        for error in errors:
            self.assertEqual(list(error), ["file", "line", "column", "severity", "key", "message", "hint"])
            self.assertEqual(error["file"], path)
        said = run("check", "--format", "github", path)
        self.assertRegex(said.stdout + said.stderr, r"(?m)^::error file=.+,line=3,col=19")

    def test_several_files_merge(self):
        more = self.file("services: {shop: {connect_timeout: 3s}}\n", "more.yaml")
        self.assertEqual(run("check", self.file(GOOD), more).returncode, 0)

    def test_what_is_large_too_large_or_no_text(self):
        path = os.path.join(self.folder(), "portloom.yaml")
        for content, status, says in ((b"# " + b"x" * 10_000_000 + b"\n" + GOOD.encode(), 0, "^ok: "),
                                      (b"# " + b"x" * 17_000_000 + b"\n" + GOOD.encode(), 1, ":1:1: error: the file is larger than 16 MiB"),
                                      (GOOD.encode() + b"# caf\xe9\n", 1, "error: this byte belongs to no UTF-8 text"),
                                      (GOOD.encode() + b"# \0\n", 1, "error: this byte belongs to no UTF-8 text")):
            with open(path, "wb") as file:
                file.write(content)
            said = subprocess.run([PROGRAM, "check", path], capture_output=True, timeout=30)
            self.assertEqual(said.returncode, status, said.stderr[:300])
            self.assertRegex((said.stdout + said.stderr).decode(errors="replace"), says)

    def test_missing_file(self):
        result = run("check", "/nowhere/portloom.yaml")
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nowhere/portloom.yaml", result.stdout + result.stderr)


class Commands(GatewayTest):
    def test_usage_is_2(self):
        for arguments in ([], ["fly"], ["run", "--io", "magic"], ["run", "--wings"], ["check"], ["check", "--format", "xml", "x"],
                          ["run", "--listen", ":0"], ["run", "--listen", ":0", "--to", "ftp://a"], ["key", "new"]):
            with self.subTest(arguments):
                self.assertEqual(run(*arguments, cwd=self.folder()).returncode, 2)

    def test_run_without_a_configuration_is_2_and_helps(self):
        result = run("run", cwd=self.folder(), env={**os.environ, "XDG_CONFIG_HOME": "/nowhere"})
        self.assertEqual(result.returncode, 2)
        self.assertIn("--listen", result.stderr)

    def test_run_with_a_wrong_file_is_1(self):
        path = os.path.join(self.folder(), "bad.yaml")
        with open(path, "w") as file:
            file.write(GOOD.replace("to: shop", "to: shpo"))
        result = run("run", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{path}:4:40: error: ", result.stderr)
        self.assertNotIn("ready", result.stderr)

    def test_busy_port_is_3(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for workers in ("1", "2"):
                result = run("run", "--workers", workers, "--listen", f"127.0.0.1:{port}", "--to", "http://127.0.0.1:1")
                self.assertEqual(result.returncode, 3, result.stderr)
                self.assertIn(str(port), result.stderr)

    def test_port_of_another_gateway_is_3(self):
        first = self.gateway(arguments=["--listen", "127.0.0.1:0", "--to", "http://127.0.0.1:1"])
        for workers in ("1", "2"):
            process = self.start(PROGRAM, "run", "--workers", workers, "--listen", "127.0.0.1:%d" % first.address[1], "--to", "http://127.0.0.1:1",
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.assertEqual(process.wait(3), 3)
            except subprocess.TimeoutExpired:
                self.fail("two gateways share one port")

    def test_schema_is_json(self):
        result = run("schema")
        self.assertEqual(result.returncode, 0)
        schema = json.loads(result.stdout)
        self.assertIn("2020-12", schema["$schema"])
        for key in ("version", "listeners", "services", "routes"):
            self.assertIn(key, schema["properties"])

    def test_version_and_help(self):
        self.assertRegex(run("version").stdout, r"^portloom \d+\.\d+\.\d+\n$")
        for arguments in (["--help"], ["run", "--help"], ["check", "--help"]):
            result = run(*arguments)
            self.assertEqual(result.returncode, 0)
            self.assertIn("Usage", result.stdout)

    def test_new_key_fits_the_configuration(self):
        result = run("key", "new", "acme")
        self.assertEqual(result.returncode, 0)
        key = next(line.strip() for line in result.stdout.splitlines() if line.strip().startswith("pl_"))
        consumers = result.stdout[result.stdout.index("consumers:"):]
        gateway = self.gateway(textwrap.dedent("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0", policies: [{authenticate: [{api_key: x-api-key}]}]}}
            routes: [{match: {path_prefix: /}, to: {response: {status: 200, body: let in}}}]
        """) + consumers)
        client = self.client(gateway)
        self.assertEqual(client.get("/", "X-Api-Key: " + key).body, b"let in")
        self.assertEqual(client.get("/", "X-Api-Key: " + key + "0").status, 401)

    def test_run_with_two_addresses(self):
        origin = self.origin(ok("hello"))
        gateway = self.gateway(arguments=["--listen", ":0", "--to", f"http://{origin.address}"])
        self.assertEqual(self.client(gateway).get().body, b"hello")

    def test_printed_configuration_passes_check_and_runs(self):
        origin = self.origin(ok("hello"))
        printed = run("run", "--listen", "127.0.0.1:0", "--to", f"http://{origin.address}", "--print")
        self.assertEqual(printed.returncode, 0)
        path = os.path.join(self.folder(), "printed.yaml")
        with open(path, "w") as file:
            file.write(printed.stdout)
        self.assertEqual(run("check", path).returncode, 0)
        self.assertEqual(self.client(self.gateway(arguments=[path])).get().body, b"hello")

    def test_ready_line(self):
        gateway = self.gateway("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0"}, side: {address: "127.0.0.1:0"}}
            admin: {address: "127.0.0.1:0"}
            routes: [{listener: edge, match: {path_prefix: /}, to: {response: {status: 200}}},
                     {listener: side, match: {path_prefix: /}, to: {response: {status: 202}}}]
        """)
        self.assertRegex(gateway.lines[-1], r"^ready listeners=edge=127\.0\.0\.1:\d+,side=127\.0\.0\.1:\d+ admin=127\.0\.0\.1:\d+")
        self.assertEqual([self.client(gateway, name).get().status for name in ("edge", "side")], [200, 202])

    def test_service_manager_is_notified(self):
        path = os.path.join(self.folder(), "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(5)
            os.environ["NOTIFY_SOCKET"] = path
            self.addCleanup(os.environ.pop, "NOTIFY_SOCKET", None)
            gateway = self.gateway(arguments=["--listen", "127.0.0.1:0", "--to", "http://127.0.0.1:1"])
            self.assertIn(b"READY=1", manager.recv(1000))
            gateway.signal(signal.SIGTERM)
            self.assertIn(b"STOPPING=1", manager.recv(1000))
            self.assertEqual(gateway.wait(), 0)


if __name__ == "__main__":
    unittest.main()
