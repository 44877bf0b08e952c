# tests/e2e/demo_test.py
#
# `portloom demo` as a newcomer runs it: what its tour prints, that the commands it names do what it says, and how it ends.
import json
import os
import pty
import re
import signal
import subprocess
import textwrap
import threading
import unittest
import urllib.error
import urllib.request

from gateway import PROGRAM, TOP, GatewayTest, needs, until

LAST = "Ctrl-C ends it.\n"
WHOLE = ["user", "orders", "favourite", "notifications", "recommendations"]


class Demo:
    """The demo, once its tour is over."""

    def __init__(self, folder, *arguments, terminal=False, wait=True):
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        environment |= {"XDG_STATE_HOME": folder, "TERM": "xterm"}
        out = subprocess.PIPE
        if terminal:
            self.terminal, out = pty.openpty()
        self.process = subprocess.Popen([PROGRAM, "demo", *arguments], stdout=out, stderr=subprocess.PIPE, env=environment, cwd=folder)
        if terminal:
            os.close(out)
        self.text = ""
        self.errors = ""
        self.readers = [threading.Thread(target=self.read, daemon=True), threading.Thread(target=self.read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()
        if wait and not until(lambda: LAST in self.text, 30):
            self.stop()
            raise AssertionError("the tour did not end:\n" + self.text + self.errors)

    def read(self):
        descriptor = self.process.stdout.fileno() if self.process.stdout else self.terminal
        while True:
            try:
                piece = os.read(descriptor, 65536)
            except OSError:  # of a terminal: its other end is gone
                return
            if not piece:
                return
            self.text += piece.decode().replace("\r\n", "\n")

    def read_errors(self):
        for line in self.process.stderr:
            self.errors += line.decode()

    def stop(self, number=signal.SIGINT):
        """The exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        for reader in self.readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        return status

    def section(self, number):
        return re.search(rf"^{number}\. .*?(?=^\d\. |^Try, |\Z)", self.text, re.M | re.S)[0]

    def url(self, path):
        return re.search(r"\$ curl (http://[\d.]+:\d+)/home/1", self.text)[1] + path

    @property
    def admin(self):
        return re.search(r"(http://[\d.]+:\d+)/reload", self.text)[1]

    @property
    def file(self):
        return re.search(r"\S+/shop\.yaml", self.text)[0]


def ask(url, form=None):
    """(status, body)."""
    request = urllib.request.Request(url, data=form.encode() if form is not None else None)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def page_of(section):
    """The page that a section shows, as it was before it was broken into lines."""
    lines = re.search(r"^  (\{.*?\})\n\n", section, re.M | re.S)[1].split("\n")
    return "".join(line.strip() for line in lines)


class Tour(GatewayTest):
    def setUp(self):
        self.demo = Demo(self.folder())
        self.addCleanup(self.demo.stop)

    def test_it_shows_what_is_there(self):
        demo = self.demo
        with self.subTest("a pipe gets plain text"):
            self.assertNotIn("\x1b", demo.text)
            self.assertEqual([line for line in demo.text.splitlines() if line != line.rstrip()], [])
        with self.subTest("standard error is for the ready line"):
            self.assertRegex(demo.errors, r"\Aready listeners=shop=127\.0\.0\.1:\d+ admin=127\.0\.0\.1:\d+ [^\n]*\n\Z")
        with self.subTest("the page"):
            page = page_of(demo.section(1))
            self.assertEqual(list(json.loads(page)), WHOLE)
            self.assertEqual(ask(demo.url("/home/1")), (200, page))
        with self.subTest("the page without one of its services"):
            self.assertIn("HTTP/1.1 200 OK\n", demo.section(2))
            self.assertIn("  Cache-Control: no-store\n", demo.section(2))
            less = json.loads(page_of(demo.section(2)))
            self.assertEqual(less, {**json.loads(page), "recommendations": [], "degraded": True, "failedServices": ["recommendations"]})
        with self.subTest("an explanation"):
            self.assertRegex(demo.section(3), r"(?m)^ +chosen +GET /home/\{id\} ")
            self.assertRegex(demo.section(3), r"(?s)stage 1\n +user .* stage 2\n +orders .*\n +waits for user\n")
            self.assertEqual(len(re.findall("rejected", demo.section(3))), 3)
        with self.subTest("a slip"):
            self.assertIn("  HTTP/1.1 422 Unprocessable Content\n", demo.section(4))
            self.assertIn('error: unknown key "falback"\n', demo.section(4))
            self.assertIn('^ did you mean "fallback"?\n', demo.section(4))
            self.assertIn("error: 400 has no unit\n", demo.section(4))
            self.assertIn("  HTTP/1.1 200 OK\n", demo.section(4))
            for line, caret in re.findall(r"^(.*falback.*)\n( +)\^ did you mean", demo.section(4), re.M)[-1:]:
                self.assertEqual(line[len(caret):][:7], "falback")
        with self.subTest("reloads under load"):
            numbers = re.search(r"loaded (\d+) times:\n +(\d+) requests, (\d+) failed; (\d+) pages", demo.section(5))
            loaded, requests, failed, degraded = map(int, numbers.groups())
            self.assertEqual((loaded, failed), (20, 0))
            self.assertGreaterEqual(requests, 2000)
            self.assertGreater(requests, degraded)
            self.assertGreater(degraded, requests // 4)
        with self.subTest("it leaves everything as it was"):
            self.assertEqual(subprocess.run([PROGRAM, "check", demo.file], capture_output=True, text=True).stderr, "")
            self.assertEqual(json.loads(ask(demo.admin + "/status")[1]).get("reload_error", ""), "")
            self.assertEqual(ask(demo.url("/home/1"))[1], page_of(demo.section(1)))

    def test_the_readme_shows_these_pages(self):
        with open(os.path.join(TOP, "README.md")) as file:
            readme = file.read()
        for number in (1, 2):
            page = textwrap.dedent(re.search(r"^  \{.*?\}\n(?=\n)", self.demo.section(number), re.M | re.S)[0])
            self.assertIn("```json\n" + page + "```\n", readme)
        with open(self.demo.file) as file:
            self.assertIn(re.search(r"^compositions:\n(?: .*\n)+", file.read(), re.M)[0], readme)

    @needs("curl")
    def test_the_commands_do_what_it_says(self):
        steps = re.findall(r"^  (\S.*)\n    (.+)$", self.demo.text.split("\nTry, ")[1], re.M)
        said = {}
        ran_in = self.folder()
        for shows, command in steps:
            if "tail -f" in command or "EDITOR" in command:
                continue
            ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, cwd=ran_in)
            self.assertEqual(ran.returncode, 0, command + "\n" + ran.stderr)
            said[shows] = ran.stdout + ran.stderr
            if "home.svg" in command:
                with open(os.path.join(ran_in, "home.svg")) as drawing:
                    self.assertIn("</svg>", drawing.read())

        def of(start):
            return next(text for shows, text in said.items() if shows.startswith(start))

        self.assertEqual(of("every second page is degraded").count('"degraded":true'), 2)
        self.assertIn('"failedServices":["recommendations"]', of("the switch knows off"))
        self.assertIn('"failedServices":["user"]', of("502"))
        self.assertIn('"answered_by":"monolith"', of("the monolith answers"))
        for status in ("401", "201", "504", "404", "405", "502"):
            self.assertIn(f"HTTP/1.1 {status} ", of(status))
        self.assertEqual(of("200 five times").split(), ["200"] * 5 + ["429"] * 2)
        self.assertIn('portloom_degraded_total{route="GET /home/{id}",call="recommendations"}', of("how often which part"))
        self.assertIn("chosen", of("what would become of a request"))
        self.assertIn('"version"', of("state, configuration"))

    def test_an_edit_is_loaded_and_a_slip_is_told(self):
        with open(self.demo.file) as file:
            text = file.read()
        with open(self.demo.file, "w") as file:
            file.write(text.replace("fallback: [{omit: true}]", "fallback: [{value: null}]").replace("to: monolith", "to: monolit"))
        self.assertTrue(until(lambda: 'did you mean "monolith"?' in self.demo.errors), self.demo.errors)
        self.assertEqual(ask(self.demo.url("/catalogue"))[0], 200)

    def test_it_ends_when_it_is_asked_to(self):
        self.assertEqual(self.demo.stop(), 0)
        self.assertIn("The shop is closed.", self.demo.text)
        folder = os.path.dirname(self.demo.file)
        self.assertEqual(sorted(os.listdir(folder)), ["access.log", "gateway.log", "shop.yaml"])


class Ends(GatewayTest):
    def test_in_the_middle_of_its_tour(self):
        for signals in ((signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)):
            with self.subTest(signals):
                demo = Demo(self.folder(), wait=False)
                self.addCleanup(demo.stop)
                self.assertTrue(until(lambda: "\n1. " in demo.text))
                for number in signals:
                    demo.process.send_signal(number)
                self.assertIn(demo.stop(0), (0, 4))
                self.assertNotIn("Try, in another terminal", demo.text)

    def test_when_its_port_is_taken(self):
        demo = Demo(self.folder())
        self.addCleanup(demo.stop)
        port = demo.url("").rsplit(":", 1)[1]
        second = subprocess.run([PROGRAM, "demo", "--port", port], capture_output=True, text=True, timeout=10)
        self.assertEqual((second.returncode, second.stdout), (3, ""))
        self.assertIn(port, second.stderr)

    def test_headings_are_bold_on_a_terminal(self):
        demo = Demo(self.folder(), terminal=True)
        self.addCleanup(demo.stop)
        self.assertIn("\x1b[1m1. ", demo.text)
        self.assertEqual(re.sub(r"\x1b\[[01]m", "", demo.text).count("\x1b"), 0)


if __name__ == "__main__":
    unittest.main()
