"""One round of one subject: run the load between two readings of the kernel's accounting."""

import json
import select
import subprocess
import time

from . import kernel

_ROUND_SECONDS_MAX = 120
FOREIGN_MAX = 0.05  # of a core; a round with more is repeated


_QUIET_SECONDS_MAX = 5


def wait_for_quiet(tools):
    """Until both cores were idle for 0.3 s, or patience ends. The proxies and the origin are idle between measurements."""
    cores = (tools.proxy_core, tools.load_core)
    deadline = time.monotonic() + _QUIET_SECONDS_MAX
    while time.monotonic() < deadline:
        before = [kernel.idle_seconds(core) for core in cores]
        time.sleep(0.3)
        if all(kernel.idle_seconds(core) - idle > 0.3 * (1 - FOREIGN_MAX) - 0.01 for core, idle in zip(cores, before)):
            return


class Failed(Exception):
    """The round gave no figures; the text says why."""


class Load:
    """A running bench_load that stops at its marks."""

    def __init__(self, tools, port, scenario, **options):
        command = ["taskset", "-c", str(tools.load_core), tools.tool(scenario.tool), "--to", f"127.0.0.1:{port}", "--path", scenario.path,
                   "--body-bytes", str(scenario.body_bytes), "--gate", "1"]
        for name, value in (scenario.options | options).items():
            command += [f"--{name}", str(value)]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        readable, _, _ = select.select([self._popen.stdout], [], [], _ROUND_SECONDS_MAX)
        text = self._popen.stdout.readline() if readable else ""
        if not text:
            self._popen.kill()
            raise Failed("load generator stopped" if readable else "no result in time")
        return text

    def proceed(self):
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()

    def close(self):
        self._popen.stdin.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class Reading:
    """CPU of the proxy, of the origin, and idle time of both cores, at one moment."""

    def __init__(self, tools, subject, origin):
        self.idle = [kernel.idle_seconds(core) for core in (tools.proxy_core, tools.load_core)]
        self.tree = kernel.process_tree(subject.process.pid) if subject.process else []
        self.proxy = kernel.cpu_ns(self.tree) / 1e9
        self.origin = kernel.cpu_ns([origin.pid]) / 1e9
        self.time = time.monotonic()


def measure_load(tools, scenario, subject, origin, requests):
    """Figures of one round, with `foreign` = the larger share of either core that somebody else used."""
    scenario = subject.asked(scenario)
    options = {"connections": scenario.connections, "requests": requests, "warmup": max(requests // 20, 2 * scenario.connections * scenario.options.get("streams", 1))}
    if scenario.rps:
        options["rps"] = scenario.rps
    load = Load(tools, subject.port, scenario, **options)
    try:
        load.line()
        before = Reading(tools, subject, origin)
        load.proceed()
        result = json.loads(load.line())
        after = Reading(tools, subject, origin)
        resident = kernel.resident_bytes(after.tree)
    finally:
        load.close()
    if result["errors"]:
        raise Failed(f"{result['errors']} errors in {result['requests']} requests")
    wall = after.time - before.time
    proxy = after.proxy - before.proxy
    own = [proxy, after.origin - before.origin + result["load_cpu_us"] / 1e6]
    # Both sides are pinned, so what a core did beyond its own side's CPU was somebody else's.
    foreign = [(wall - (after.idle[i] - before.idle[i]) - own[i]) / wall for i in range(2)]
    figures = {name: result[name] for name in ("requests_per_second", "p50_us", "p99_us")}
    if subject.process:
        figures["cpu_us_per_request"] = proxy * 1e6 / result["requests"]
        figures["rss_bytes"] = resident
    else:
        foreign[0] = 0.0
    return figures, max(foreign)


def measure_idle(tools, scenario, subject, origin):
    """Growth of the proxy's own memory from none to all connections. The subject was started for this round: memory that a
    former round left in its heap would hide the growth."""
    warm = Load(tools, subject.port, scenario, connections=64, requests=2_000)
    try:
        warm.line()
        warm.proceed()
        warm.line()
    finally:
        warm.close()
    time.sleep(0.5)
    tree = kernel.process_tree(subject.process.pid)
    before = kernel.anonymous_bytes(tree)
    load = Load(tools, subject.port, scenario, idle=scenario.connections)
    try:
        held = json.loads(load.line())
        time.sleep(1.0)  # buffers of the last requests go back
        after = kernel.anonymous_bytes(tree)
        resident = kernel.resident_bytes(tree)
        load.proceed()
        closed = json.loads(load.line())["closed_while_idle"]
    finally:
        load.close()
    if held["errors"] or closed:
        raise Failed(f"{held['errors']} errors, {closed} connections closed by the proxy")
    return {"bytes_per_connection": (after - before) / scenario.connections, "rss_bytes": resident}, 0.0
