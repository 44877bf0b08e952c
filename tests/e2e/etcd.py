# tests/e2e/etcd.py
#
# An etcd cluster of real processes with its data in memory or a folder, what a test asks of it over its JSON gateway, and gateways that
# find their services there.
import base64
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from gateway import PATIENCE, free_port, needs, ok, until
from registering import RegisteringTest


def encoded(text):
    return base64.b64encode(text.encode()).decode()


class Member:
    def __init__(self, cluster, index):
        self.cluster, self.name = cluster, f"m{index}"
        self.port, self.peer = free_port(), free_port()
        self.folder = os.path.join(cluster.folder, self.name)
        self.process = None

    @property
    def url(self):
        return f"{self.cluster.scheme}://{self.cluster.host}:{self.port}"

    def start(self, initial):
        peer = f"http://127.0.0.1:{self.peer}"
        listen = f"{self.cluster.scheme}://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            ["etcd", "--name", self.name, "--data-dir", self.folder, "--listen-client-urls", listen, "--advertise-client-urls", listen,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", initial, "--heartbeat-interval", "50",
             "--election-timeout", "500", "--logger", "zap", "--log-level", "error", *self.cluster.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Etcd:
    """`authority`: its members speak TLS, with the certificate "etcd" of that."""

    def __init__(self, count=1, authority=None):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="portloom-etcd-", dir=memory)
        self.scheme, self.host, self.options, self.context = "http", "127.0.0.1", [], None
        if authority:
            self.scheme, self.host, self.context = "https", "localhost", authority.context()
            self.options = ["--cert-file", authority.path("etcd.pem"), "--key-file", authority.path("etcd.key")]
        self.token = None
        self.members = [Member(self, index) for index in range(count)]
        self.initial = ",".join(f"{one.name}=http://127.0.0.1:{one.peer}" for one in self.members)
        for member in self.members:
            member.start(self.initial)
        if not until(self.well, PATIENCE):
            self.close()
            raise AssertionError("etcd did not come up")

    @property
    def urls(self):
        return json.dumps([member.url for member in self.members])

    def well(self):
        try:
            return all(self.ask("kv/range", {"key": encoded("/")}, member) for member in self.members if member.process.poll() is None)
        except (OSError, ssl.SSLError):
            return False

    def ask(self, path, body, member=None):
        """The answer of that member, or of the first that gives one."""
        members = [member] if member else [one for one in self.members if one.process.poll() is None]
        end = time.monotonic() + PATIENCE
        while True:
            for one in members:
                headers = {"Authorization": self.token} if self.token else {}
                request = urllib.request.Request(f"{one.url}/v3/{path}", json.dumps(body).encode(), headers)
                try:
                    with urllib.request.urlopen(request, timeout=5, context=self.context) as answer:
                        return json.load(answer)
                except urllib.error.HTTPError as error:
                    what = error.read()
                    if error.code < 500 or time.monotonic() > end:
                        raise AssertionError(f"{path}: {error.code} {what}") from error
                except OSError:
                    if member or time.monotonic() > end:
                        raise
            time.sleep(0.05)

    def put(self, key, value):
        if not isinstance(value, str):
            value = json.dumps(value)
        return self.ask("kv/put", {"key": encoded(key), "value": encoded(value)})

    def delete(self, key):
        return self.ask("kv/deleterange", {"key": encoded(key)})

    def keys(self, prefix):
        answer = self.ask("kv/range", {"key": encoded(prefix), "range_end": encoded(prefix[:-1] + chr(ord(prefix[-1]) + 1))})
        return {base64.b64decode(one["key"]).decode(): json.loads(base64.b64decode(one["value"])) for one in answer.get("kvs", [])}

    def compact(self):
        revision = self.ask("kv/range", {"key": encoded("/")})["header"]["revision"]
        self.ask("kv/compaction", {"revision": revision, "physical": True})

    def leader(self):
        for member in self.members:
            if member.process.poll() is None:
                status = self.ask("maintenance/status", {}, member)
                if status["leader"] == status["header"]["member_id"]:
                    return member
        return None

    def close(self):
        for member in self.members:
            member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


# For those who stop a member without ending it.
STOP, CONTINUE = signal.SIGSTOP, signal.SIGCONT

SERVING = """
version: 1
listeners: {edge: {address: "127.0.0.1:0"}}
services: {orders: {etcd: /services/orders}}
routes: [{match: {path_prefix: /}, to: orders}]
admin: {address: "127.0.0.1:0"}
discovery: {etcd: {endpoints: %s%s}}
"""


@needs("etcd")
class EtcdTest(RegisteringTest):
    def etcd(self, *arguments, **options):
        etcd = Etcd(*arguments, **options)
        self.addCleanup(etcd.close)
        return etcd

    def serving(self, etcd, more="", **options):
        return self.gateway(SERVING % (etcd.urls, more), **options)

    def enter(self, etcd, name, port=0, **more):
        origin = self.origin(ok(name), port=port)
        etcd.put("/services/orders/" + name, {"address": "127.0.0.1", "port": origin.port, **more})
        return origin

    def get(self, gateway):
        """Status and body of one request through the gateway."""
        connection = http.client.HTTPConnection(*gateway.address, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def seen(self, gateway, count=12):
        """Who answers that many requests."""
        return {self.get(gateway) for _ in range(count)}

    def reaches(self, gateway, *names):
        expected = {(200, name) for name in names} or {(503, None)}
        return until(lambda: {(status, body if status == 200 else None) for status, body in self.seen(gateway)} == expected)
