"""Who is measured: how each proxy is started, with which configuration, and which version it is.

A subject is pinned to the proxy's core, has one worker, and listens on a free port in front of the same origin.
"""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from .setups import SETUPS

_BENCH = Path(__file__).resolve().parent.parent
_START_SECONDS = 20


class Unavailable(Exception):
    """The subject cannot run here; the text says why, in one line."""


def free_port(taken=set()):  # the set is shared by all calls on purpose: a port is given out once
    """A port below the ephemeral range, so that an outgoing connection cannot take it first."""
    for port in range(20_000, 32_000):
        if port in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken.add(port)
        return port
    raise Unavailable("no free port")


def version_of(command):
    """The version number in the first line a program says about itself; the last one there, because a path may come before it."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown version"
    said = next(iter((done.stdout + done.stderr).strip().splitlines()), "")
    numbers = re.findall(r"\b\d+\.\d+\.\d+[^\s/]*", said)
    return numbers[-1] if numbers else said or "unknown version"


class Tools:
    """Paths of what was built, and the cores."""

    def __init__(self, build, portloom, proxy_core, load_core, directory):
        self.build = Path(build)
        self.portloom = Path(portloom)
        self.proxy_core = proxy_core
        self.load_core = load_core
        self.directory = Path(directory)

    def tool(self, name):
        path = self.build / "bench" / name
        if not path.exists():
            raise SystemExit(f"{path} is missing: run `./dev build` first")
        return str(path)


class Process:
    """A program in its own process group, pinned to a core, its output in a file."""

    def __init__(self, command, core, log):
        self.log = Path(log)
        with open(self.log, "wb") as output:
            self.popen = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.popen.pid

    def wait_ready(self, tools, port, setup):
        """Until a request is answered well through the port, as the setup's clients make it."""
        command = [tools.tool(setup.tool), "--to", f"127.0.0.1:{port}", "--requests", "1", *setup.probe]
        deadline = time.monotonic() + _START_SECONDS
        problem = "did not answer"
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                problem = f"ended with status {self.popen.returncode}"
                break
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5)
                if done.returncode == 0:
                    return
                problem = "did not answer well" if done.returncode == 3 else done.stderr.strip() or "did not answer"
            except subprocess.TimeoutExpired:
                problem = "did not answer in time"
            time.sleep(0.05)
        self.stop()
        said = self.log.read_text(errors="replace").strip().splitlines()
        raise Unavailable(problem + (f": {said[-1]}" if said else ""))

    def stop(self):
        if self.popen.poll() is None:
            os.killpg(self.pid, signal.SIGTERM)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()


class Origin(Process):
    """What all subjects lead to; `setup` says what it speaks."""

    def __init__(self, tools, setup):
        self.port = free_port()
        tool = "bench_origin_h2" if setup.grpc else "bench_origin"
        super().__init__([tools.tool(tool), "--listen", f"127.0.0.1:{self.port}"], tools.load_core, tools.directory / f"{tool}.log")
        self.wait_ready(tools, self.port, SETUPS["grpc" if setup.grpc else "plain"])


class Subject:
    """One line of the result table. `command` gives the command line for a port; None in `process` until started."""

    def __init__(self, name, version, command, only=(), part=False):
        self.name = name
        self.only = only  # scenarios it is for; empty: all
        self.part = part  # where the others compose answers it is asked for one of the parts
        self.version = version
        self._command = command
        self.process = None
        self.port = 0

    def asked(self, scenario):
        """The scenario as this subject is asked."""
        setup = SETUPS[scenario.setup]
        if not (self.part and setup.part):
            return scenario
        together = {"together": setup.parts} if self.name == "direct" else {}  # what a client would do who composes nothing
        return replace(scenario, path=setup.part, body_bytes=setup.of_part().body_bytes, options=scenario.options | together)

    def start(self, tools, origin, setup):
        if self._command is None:  # direct: no proxy
            if setup not in ("plain", "grpc", "compose"):
                raise Unavailable(f"the origin cannot do setup '{setup}'")
            self.port = origin.port
            return
        self.port = free_port()
        command = self._command(self.port, origin.port, setup)
        self.process = Process(command, tools.proxy_core, tools.directory / f"{self.name}.log")
        try:
            known = SETUPS[setup]
            self.process.wait_ready(tools, self.port, known.of_part() if self.part and known.part else known)
        except Unavailable:
            self.process = None
            raise

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None


def _configuration(tools, name, setup, port, origin_port, **more):
    """Fills in a template of bench/peers/ and returns the file's path."""
    stem, extension = name.split(".", 1)
    file = f"{stem}.{setup}.{extension}" if SETUPS[setup].own_templates else name
    template = _BENCH / "peers" / f"{file}.in"
    if not template.exists():
        raise Unavailable(f"has no configuration for setup '{setup}' ({template.name})")
    values = {
        **SETUPS[setup].texts,
        "PORT": port,
        "ORIGIN_PORT": origin_port,
        "ADMIN_PORT": free_port(),
        "DIR": tools.directory,
        "CERTIFICATES": tools.directory,
        "LOG": tools.directory / "portloom-bench.log",
        "DESCRIPTORS": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        **more,
    }
    text = template.read_text()
    for _ in range(3):  # a setup's texts hold names themselves
        text = re.sub(r"@([A-Z_]+)@", lambda match: str(values[match[1]]), text)
    target = tools.directory / f"{port}.{file}"
    target.write_text(text)
    return target


def all_subjects(tools):
    """Every known subject by name. One that is not installed is in the second result, with the reason."""
    found = {}
    missing = {}

    def add(name, program, version, command, only=(), part=False):
        if program is None or shutil.which(str(program)) is None:
            missing[name] = "not found" + (f": {program}" if program else "")
        else:
            found[name] = Subject(name, version_of([program, *version]), command, only, part)

    def portloom(engine):
        def command(port, origin_port, setup):
            file = _configuration(tools, "portloom.yaml", setup, port, origin_port)
            return [tools.portloom, "run", file, "--io", engine, "--workers", "1"]
        def bare(port, origin_port, setup):
            file = _configuration(tools, "portloom.yaml", "plain", port, origin_port)
            return [tools.portloom, "run", file, "--io", engine, "--workers", "1"]
        add(f"portloom-{engine}", tools.portloom, ["version"], command)
        add(f"portloom-bare-{engine}", tools.portloom, ["version"], bare, ("policies_all",))
        add(f"portloom-plain-{engine}", tools.portloom, ["version"], command, ("compose_3",), part=True)

    def nginx(name, buffers, only=()):
        def command(port, origin_port, setup):
            directory = tools.directory / name
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
            file = _configuration(tools, "nginx.conf", setup, port, origin_port, DIR=directory, PROXY_BUFFERS=buffers)
            return ["nginx", "-p", directory, "-c", file, "-e", directory / "nginx.log"]
        add(name, "nginx", ["-v"], command, only)

    def forwarder(engine):
        def command(port, origin_port, setup):
            if setup != "plain":
                raise Unavailable(f"cannot do setup '{setup}'")
            return [tools.tool("bench_forwarder"), "--io", engine, "--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{origin_port}"]
        found[f"forwarder-{engine}"] = Subject(f"forwarder-{engine}", "byte forwarder, no HTTP", command)

    portloom("io_uring")
    portloom("epoll")
    nginx("nginx", "")
    # What nginx can do about large bodies when somebody tunes it; shown beside the stock buffers, no party to the ratio.
    nginx("nginx-large_buffers", "proxy_buffer_size 16k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;", ("h1_100k", "h1_10m"))
    add("haproxy", "haproxy", ["-v"],
        lambda port, origin_port, setup: ["haproxy", "-db", "-f", _configuration(tools, "haproxy.cfg", setup, port, origin_port)])
    add("envoy", "envoy", ["--version"],
        lambda port, origin_port, setup: ["envoy", "-c", _configuration(tools, "envoy.yaml", setup, port, origin_port), "--concurrency", "1",
                                          "--disable-hot-restart", "--log-level", "error"])
    # By fetch it does not come to 1,000 requests per second.
    for name, means, only in (("node", "fetch", ("compose_3",)), ("node-http", "http", ("compose_3", "compose_3_at_1000"))):
        add(name, "node", ["--version"],
            lambda port, origin_port, setup, means=means: ["node", _BENCH / "peers/compose.js", port, origin_port, means], only)
    forwarder("io_uring")
    forwarder("epoll")
    found["direct"] = Subject("direct", "no proxy", None, part=True)
    order = ["portloom-io_uring", "portloom-epoll", "portloom-bare-io_uring", "portloom-bare-epoll", "portloom-plain-io_uring",
             "portloom-plain-epoll", "node", "node-http", "nginx", "nginx-large_buffers", "haproxy", "envoy", "forwarder-io_uring", "forwarder-epoll", "direct"]
    return {name: found[name] for name in order if name in found}, missing
