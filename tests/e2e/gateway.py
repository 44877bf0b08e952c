# tests/e2e/gateway.py
#
# What the end-to-end tests stand on: Gateway runs the program under test with a configuration that the test writes inline,
# Origin is a service that the test scripts byte by byte, Client speaks bytes to the gateway. Standard library only.
# Environment: PORTLOOM (the program; default build/release/portloom), PORTLOOM_IO (auto, io_uring, epoll).
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import threading
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("PORTLOOM") or os.path.join(TOP, "build/release/portloom"))
ENGINE = os.environ.get("PORTLOOM_IO", "auto")
PATIENCE = 10  # seconds: an upper bound on whatever should come at once


class Ended(Exception):
    """The peer's stream ended before what was asked for had arrived."""


def run(*arguments, **options):
    """Runs the program to its end; the result has returncode, stdout and stderr as text."""
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=PATIENCE, **options)


def free_port():
    """One that nobody listens on, and that the system gives to no connection meanwhile: below those it chooses itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first_chosen = int(file.read().split()[0])
    while True:
        port = random.randrange(10000, first_chosen) if first_chosen > 12000 else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]


def until(condition, seconds=PATIENCE, pause=0.02):
    """Waits until condition() holds, at most that long; its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(pause)


class Message:
    """A request or response as it came: start line, fields in order, body, trailers, and every byte of it."""

    def __init__(self, start, fields):
        self.start = start
        self.fields = fields
        self.body = b""
        self.trailers = []
        self.raw = b""
        self.complete = True  # False: the stream ended inside it

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def field(self, name):
        values = self.all(name)
        return ", ".join(values) if values else None

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    def json(self):
        return json.loads(self.body)


class Wire:
    """A socket read message by message."""

    def __init__(self, connected, timeout=PATIENCE):
        self.socket = connected
        self.socket.settimeout(timeout)
        self.buffer = bytearray()
        self.seen = bytearray()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def close(self):
        self.socket.close()

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Ended()
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        self.seen += taken
        return taken

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        return self.take(self.buffer.index(b"\r\n") + 2)[:-2].decode("latin-1")

    def rest(self):
        try:
            while True:
                self.more()
        except (Ended, ConnectionError):
            return self.take(len(self.buffer))

    def ended(self):
        """Whether the peer closes without another byte."""
        try:
            return not self.buffer and not self.socket.recv(1)
        except ConnectionError:
            return True

    def head(self):
        self.seen = bytearray()
        start = self.line()
        fields = []
        while line := self.line():
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))
        return Message(start, fields)

    def chunks(self, message):
        body = bytearray()
        while True:
            size = int(self.line().split(";")[0], 16)
            if size == 0:
                message.body = bytes(body)
                break
            body += self.take(size)
            self.line()
        while line := self.line():
            name, _, value = line.partition(":")
            message.trailers.append((name, value.strip()))

    def request(self):
        message = self.head()
        if message.field("transfer-encoding"):
            self.chunks(message)
        else:
            message.body = self.take(int(message.field("content-length") or 0))
        message.raw = bytes(self.seen)
        return message

    def reply(self, method="GET"):
        message = self.head()
        status = message.status
        length = message.field("content-length")
        try:
            if method == "HEAD" or status < 200 or status in (204, 304):
                pass
            elif message.field("transfer-encoding"):
                self.chunks(message)
            elif length is not None:
                body = bytearray()
                while len(body) < int(length):
                    if not self.buffer:
                        message.body = bytes(body)
                        self.more()
                    body += self.take(min(len(self.buffer), int(length) - len(body)))
                message.body = bytes(body)
            else:
                message.body = self.rest()
        except (Ended, ConnectionError):
            message.complete = False
        message.raw = bytes(self.seen)
        return message


class Client(Wire):
    def __init__(self, address, timeout=PATIENCE):
        super().__init__(socket.create_connection(address, timeout), timeout)

    def ask(self, text, method="GET"):
        self.send(text)
        return self.reply(method)

    def get(self, path="/", *fields):
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: shop.test\r\n" + "".join(f + "\r\n" for f in fields) + "\r\n")


class Origin:
    """A service: `script(wire)` serves one connection, or `answer(request)` gives the bytes of each response."""

    def __init__(self, answer=None, script=None, port=0, host="127.0.0.1"):
        self.answer = answer
        self.script = script or self.serve
        self.requests = []
        self.connections = 0
        self.open = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connected, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(connected)
            threading.Thread(target=self.run, args=(connected,), daemon=True).start()

    def run(self, connected):
        try:
            self.script(Wire(connected, 30))
        except (Ended, OSError):
            pass
        finally:
            self.open.discard(connected)
            connected.close()

    def serve(self, wire):
        while True:
            request = wire.request()
            self.requests.append(request)
            wire.send(self.answer(request))

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connected in list(self.open):
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def ok(body=b"", *fields):
    """A complete 200."""
    if isinstance(body, str):
        body = body.encode()
    lines = "".join(field + "\r\n" for field in fields)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


class Gateway:
    """`portloom run`, from its ready line until stop()."""

    def __init__(self, configuration="", arguments=(), workers=2, engine=ENGINE, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="portloom-e2e-")
        self.own_folder = folder is None
        self.file = os.path.join(self.folder, "portloom.yaml")
        self.log = os.path.join(self.folder, "stdout")
        self.lines = []
        self.addresses = {}
        command = [PROGRAM, "run", "--io", engine, "--workers", str(workers), *arguments]
        if configuration:
            self.write(configuration)
            command.append(self.file)
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True, cwd=self.folder)
        self.is_ready = threading.Event()
        self.reader = threading.Thread(target=self.read_errors, daemon=True)
        self.reader.start()
        if not self.is_ready.wait(PATIENCE) or not self.addresses:
            self.stop()
            raise AssertionError("the gateway did not become ready:\n" + "\n".join(self.lines))

    def write(self, configuration):
        """Replaces the configuration file; reload() makes it count."""
        with open(self.file + ".new", "w") as file:
            file.write(textwrap.dedent(configuration))
        os.rename(self.file + ".new", self.file)

    def read_errors(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("ready listeners="):
                for name, host, port in re.findall(r"([\w.-]+)=([\d.]+|\[[^]]*\]):(\d+)", line.replace("listeners=", "")):
                    self.addresses[name] = ("127.0.0.1" if host in ("0.0.0.0", "[::]") else host.strip("[]"), int(port))
                self.engine = re.search(r"engine=(\S+)", line).group(1)
                self.is_ready.set()
        self.is_ready.set()

    @property
    def address(self):
        return self.addresses.get("edge") or next(iter(self.addresses.values()))

    @property
    def url(self):
        return "http://%s:%d" % self.address

    def client(self, listener="edge", timeout=PATIENCE):
        return Client(self.addresses[listener], timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def said(self, text):
        """Whether a line with that text appears on standard error."""
        return until(lambda: any(text in line for line in list(self.lines)))

    def reload(self):
        before = len(self.lines)
        self.signal(signal.SIGHUP)
        words = ("configuration loaded", "was not loaded")
        return until(lambda: any(word in line for line in self.lines[before:] for word in words))

    def records(self, count=0, path=None):
        """The access log's lines, once there are at least that many."""
        def read():
            with open(path or self.log) as file:
                return [json.loads(line) for line in file if line.startswith("{") and line.endswith("\n")]
        until(lambda: len(read()) >= count, 3)
        return read()

    def page(self, path):
        """One of the admin's, over a connection of its own."""
        client = self.client("admin")
        try:
            return client.get(path).body.decode()
        finally:
            client.close()

    def health(self, service):
        """How its instances are, as /status says."""
        return [one["health"] for one in json.loads(self.page("/status"))["endpoints"][service]]

    def memory(self, what="VmRSS"):
        """Bytes, from /proc."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(what + r":\s+(\d+) kB", file.read()).group(1)) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def wait(self, seconds=PATIENCE):
        return self.process.wait(seconds)

    def stop(self):
        died = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if died not in (None, 0, 1, 3, 4):
            raise AssertionError(f"the gateway ended by itself with status {died}:\n" + "\n".join(self.lines[-40:]))


class GatewayTest(unittest.TestCase):
    maxDiff = None

    def gateway(self, configuration="", **options):
        gateway = Gateway(configuration, **options)
        self.addCleanup(gateway.stop)
        return gateway

    def origin(self, answer=None, script=None, **options):
        if answer is None and script is None:
            answer = ok("hello")
        fixed = answer
        origin = Origin((lambda request: fixed) if isinstance(fixed, bytes) else fixed, script, **options)
        self.addCleanup(origin.close)
        return origin

    def client(self, gateway, listener="edge", timeout=PATIENCE):
        client = gateway.client(listener, timeout)
        self.addCleanup(client.close)
        return client

    def start(self, *command, **options):
        """Another program, ended with the test."""
        process = subprocess.Popen(command, **options)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout and process.stdout.close()))
        return process

    def folder(self):
        path = tempfile.mkdtemp(prefix="portloom-e2e-")
        self.addCleanup(shutil.rmtree, path, True)
        return path

    def assert_problem(self, reply, status, close=None):
        """Status, type and members of a problem (RFC 9457), and what becomes of the connection."""
        self.assertEqual(reply.status, status, reply.raw)
        self.assertEqual(reply.all("content-type"), ["application/problem+json"])
        self.assertTrue(reply.complete, reply.raw)
        problem = reply.json()
        for member in ("type", "title", "status", "detail", "request_id"):
            self.assertIn(member, problem)
            self.assertTrue(problem[member])
        self.assertEqual(problem["status"], status)
        if close is not None:
            self.assertEqual("close" in (reply.field("connection") or ""), close, reply.raw)
        return problem


def needs(program):
    return unittest.skipUnless(shutil.which(program), program + " is not installed")


def unless_sanitized(reason):
    """For what a program with sanitizers cannot show, such as how little memory it needs."""
    return unittest.skipIf(os.environ.get("PORTLOOM_SANITIZE"), "built with sanitizers: " + reason)


def reachable(port):
    """Waits until something listens there."""
    def attempt():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False
    return until(attempt)
