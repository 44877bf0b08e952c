#!/usr/bin/env python3
"""Floods of HTTP/2: what each costs a proxy, and what a well-behaved connection beside it feels.

Each subject has one worker on one core, in front of the same origin (nginx); attackers and the well-behaved client share another core.
A flood runs for some seconds at the same offered rate for everybody; whoever is thrown out comes back at once. One line per flood, per
subject: CPU of the proxy in ms per second · peak resident memory in MiB · median and 99th percentile in ms of a request each 10 ms on a connection of
its own · attacking connections that were given up. Run it on a quiet machine: bench/floods.py [--seconds N] [--only FLOOD] [SUBJECT...]
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rig.kernel import cpu_ns, process_tree

TOP = Path(__file__).resolve().parent.parent
BODY, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def field(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def fields(path=b"/1k", method=b"GET"):
    return field(b":method", method) + field(b":scheme", b"http") + field(b":authority", b"shop") + field(b":path", path)


def number(value):
    return struct.pack(">I", value)


def hello(*settings):
    payload = b"".join(struct.pack(">HI", key, value) for key, value in settings)
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, payload) + frame(WINDOW_UPDATE, 0, 0, number(1 << 30))


def get(stream, path=b"/1k"):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, fields(path))


_LARGE = b"\x40\x01x\x7f\x80\x1e" + b"a" * 3967  # a field line that goes into the table, 3,967 bytes of value
_BOMB = fields() + _LARGE + b"\xbe" * 8000        # and is named 8,000 times


class Flood:
    """`first`: what a connection says at once; `unit(i)`: what it says again and again, i from 0; `rate`: units a second, all together."""

    def __init__(self, unit=None, first=hello(), rate=20_000, connections=8, reads=True):
        self.unit, self.first, self.rate, self.connections, self.reads = unit, first, rate, connections, reads


def _stream(i):
    return 2 * i + 1


def _hundred(path):
    return b"".join(get(_stream(i), path) for i in range(100))


FLOODS = {
    "none": Flood(rate=0, connections=0),
    "rapid reset": Flood(lambda i: get(_stream(i)) + frame(RST_STREAM, 0, _stream(i), number(8))),
    "provoked resets": Flood(lambda i: get(_stream(i)) + frame(WINDOW_UPDATE, 0, _stream(i), number(0))),
    "CONTINUATION": Flood(lambda i: frame(CONTINUATION, 0, 1, field(b"x", b"y")), hello() + frame(HEADERS, END_STREAM, 1, fields())),
    "SETTINGS": Flood(lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))),
    "PING": Flood(lambda i: frame(PING, 0, 0, b"12345678")),
    "PRIORITY": Flood(lambda i: frame(PRIORITY, 0, _stream(i % 1000), b"\0\0\0\0\x10")),
    "empty DATA": Flood(lambda i: frame(BODY, 0, 1), hello() + frame(HEADERS, END_HEADERS, 1, fields(method=b"POST"))),
    "HPACK bomb": Flood(lambda i: frame(HEADERS, END_STREAM | END_HEADERS, _stream(i), _BOMB), rate=500),
    "one-byte windows": Flood(lambda i: frame(WINDOW_UPDATE, 0, 1, number(1)), hello((4, 1)) + get(1, b"/1m")),
    "zero windows": Flood(first=hello((4, 0)) + _hundred(b"/100k"), connections=50),
    "slow readers": Flood(first=hello((4, 1 << 30)) + _hundred(b"/1m"), connections=50, reads=False),
}


class Attacker:
    def __init__(self, port, flood):
        self.flood, self.sent, self.i = flood, 0, 0
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        if not flood.reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        self.pending = flood.first

    def turn(self, units):
        """Says `units` more; False when the connection is over."""
        if self.flood.unit and len(self.pending) < 65536:
            self.pending += b"".join(self.flood.unit(self.i + k) for k in range(units))
            self.i += units
        try:
            if self.pending:
                self.pending = self.pending[self.socket.send(self.pending):]
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            while self.flood.reads:
                if not self.socket.recv(65536):
                    return False
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def attack(port, flood, seconds, core, result):
    os.sched_setaffinity(0, {core})
    attackers, given_up = [], 0
    end, last = time.monotonic() + seconds, time.monotonic()
    while (now := time.monotonic()) < end:
        while len(attackers) < flood.connections:
            try:
                attackers.append(Attacker(port, flood))
            except OSError:
                break
        units = int(flood.rate * (now - last) / max(1, flood.connections))
        if units > 0 or flood.unit is None:
            last = now
            alive = [one for one in attackers if one.turn(units)]
            given_up += len(attackers) - len(alive)
            attackers = alive
        time.sleep(0.005)
    result.value = given_up


def probe(port, seconds, core, pipe):
    """One request each 10 ms on one connection; the latencies in seconds. What is cut off counts as a second."""
    os.sched_setaffinity(0, {core})
    latencies, end, connection = [], time.monotonic() + seconds, None
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            if connection is None:
                connection, stream, held = socket.create_connection(("127.0.0.1", port), 2), 1, b""
                connection.sendall(hello((4, 1 << 20)))
            connection.settimeout(2)
            connection.sendall(get(stream))
            over = False
            while not over:
                held += connection.recv(65536) or b"\xff"
                if held.endswith(b"\xff"):
                    raise OSError
                while len(held) >= 9 and len(held) >= 9 + (size := int.from_bytes(held[:3], "big")):
                    kind, flags, number_of = held[3], held[4], int.from_bytes(held[5:9], "big")
                    if kind in (SETTINGS, PING) and not flags & ACK:
                        connection.sendall(frame(kind, ACK, 0, held[9:17] if kind == PING else b""))
                    over = over or (number_of == stream and kind in (BODY, HEADERS) and bool(flags & END_STREAM))
                    held = held[9 + size:]
            stream += 2
            latencies.append(time.monotonic() - began)
        except OSError:
            latencies.append(1.0)
            connection = None
        time.sleep(max(0.0, 0.01 - (time.monotonic() - began)))
    pipe.send(latencies)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


ORIGIN = """
daemon off; pid @DIR@/origin.pid; error_log /dev/null; worker_processes 1; events { worker_connections 8000; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path @DIR@/o1; proxy_temp_path @DIR@/o2; fastcgi_temp_path @DIR@/o3;
  uwsgi_temp_path @DIR@/o4; scgi_temp_path @DIR@/o5; server { listen 127.0.0.1:@ORIGIN@ backlog=4096; root @DIR@/files; } }
"""
NGINX = """
daemon off; pid @DIR@/nginx.pid; error_log /dev/null; worker_processes 1; events { worker_connections 8000; }
http { access_log off; client_body_temp_path @DIR@/n1; proxy_temp_path @DIR@/n2; fastcgi_temp_path @DIR@/n3; uwsgi_temp_path @DIR@/n4;
  scgi_temp_path @DIR@/n5; upstream origin { server 127.0.0.1:@ORIGIN@; keepalive 512; }
  server { listen 127.0.0.1:@PORT@ http2; location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_max_temp_file_size 0; } } }
"""
HAPROXY = """
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend door
  bind 127.0.0.1:@PORT@ proto h2
  default_backend origin
backend origin
  http-reuse always
  server one 127.0.0.1:@ORIGIN@
"""
PORTLOOM = """
version: 1
listeners: {edge: {address: "127.0.0.1:@PORT@"}}
services: {origin: {endpoints: ["127.0.0.1:@ORIGIN@"]}}
routes: [{to: origin}]
telemetry: {access_log: @DIR@/access.log}
"""


class Rig:
    def __init__(self, directory, portloom):
        self.directory, self.portloom, self.origin_port = Path(directory), portloom, free_port()
        self.proxy_core, self.load_core = 0, os.cpu_count() - 1
        files = self.directory / "files"
        files.mkdir()
        for name, size in (("1k", 1000), ("100k", 100_000), ("1m", 1_000_000)):
            (files / name).write_bytes(b"x" * size)
        self.directory.chmod(0o755)
        self.origin = self.start(self.load_core, ["nginx", "-p", directory, "-c", self.write("origin.conf", ORIGIN, 0)], self.origin_port)

    def write(self, name, text, port):
        path = self.directory / name
        path.write_text(text.replace("@DIR@", str(self.directory)).replace("@PORT@", str(port)).replace("@ORIGIN@", str(self.origin_port)))
        return str(path)

    def start(self, core, command, port):
        with open(self.directory / "log", "ab") as log:
            process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{command[0]} did not start: " + (self.directory / "log").read_text()[-500:])

    def command(self, name, port):
        if name.startswith("portloom"):
            return [self.portloom, "run", self.write("portloom.yaml", PORTLOOM, port), "--workers", "1", "--io", name.split("-")[1]]
        if name == "nginx":
            return ["nginx", "-p", self.directory, "-c", self.write("nginx.conf", NGINX, port)]
        if name == "haproxy":
            return ["haproxy", "-db", "-f", self.write("haproxy.cfg", HAPROXY, port)]
        return ["nghttpx", f"-f127.0.0.1,{port};no-tls", f"-b127.0.0.1,{self.origin_port}", "-n1", "--conf=/dev/null"]

    def measure(self, name, flood, seconds):
        port = free_port()
        process = self.start(self.proxy_core, self.command(name, port), port)
        try:
            given_up, (here, there) = multiprocessing.Value("i", 0), multiprocessing.Pipe()
            workers = [multiprocessing.Process(target=attack, args=(port, flood, seconds, self.load_core, given_up)),
                       multiprocessing.Process(target=probe, args=(port, seconds, self.load_core, there))]
            pids = process_tree(process.pid)
            before = cpu_ns(pids)
            for worker in workers:
                worker.start()
            latencies = sorted(here.recv())
            cpu = (cpu_ns(pids) - before) / 1e6 / seconds
            for worker in workers:
                worker.join()
            return {"cpu": cpu, "rss": sum(peak(pid) for pid in pids), "p50": latencies[len(latencies) // 2],
                    "p99": latencies[len(latencies) * 99 // 100], "given up": given_up.value, "alive": process.poll() is None}
        finally:
            stop(process)


def peak(pid):
    try:
        line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return 0


def stop(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("subjects", nargs="*", default=[])
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--only", action="append", choices=FLOODS)
    options.add_argument("--portloom", default=TOP / "build/release/portloom")
    chosen = options.parse_args()
    subjects = chosen.subjects or ["portloom-io_uring", "portloom-epoll", "nginx", "haproxy", "nghttpx"]
    subjects = [name for name in subjects if name.startswith("portloom") or shutil.which(name)]
    directory = tempfile.mkdtemp(prefix="portloom-floods-")
    rig = Rig(directory, chosen.portloom)
    print("| flood | " + " | ".join(subjects) + " |\n" + "|---" * (len(subjects) + 1) + "|", flush=True)
    try:
        for title in chosen.only or FLOODS:
            print(f"| {title} |", end="")
            for name in subjects:
                row = rig.measure(name, FLOODS[title], chosen.seconds)
                dead = "" if row["alive"] else " **ended**"
                print(f" {row['cpu']:.0f} · {row['rss'] / 2**20:.0f} · {row['p50'] * 1000:.1f}/{row['p99'] * 1000:.0f} · {row['given up']}{dead} |",
                      end="", flush=True)
            print()
    finally:
        stop(rig.origin)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
