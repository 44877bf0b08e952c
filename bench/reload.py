# bench/reload.py
#
# How soon a large configuration counts: python3 bench/reload.py [--routes N] [--rounds N] [--workers N]
# 3,000 routes are loaded anew under load (connections that ask one after the other), with another destination for one of them each time. Said
# are the time that the swap takes, as the program tells it (from the checked document to its being in force on every worker); the time from the
# signal until requests on eight connections, spread over all workers, see the new destination; and how many requests failed. The program is
# $PORTLOOM.
import argparse
import asyncio
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time

from rig.line import Line

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.environ.get("PORTLOOM") or os.path.join(TOP, "build/release/portloom")
GOAL_MS = 30


def configuration(origin, routes, turn):
    lines = "\n".join(f"  - {{match: {{path: \"/api/v1/area{i % 97}/item{i}/{{id}}\"}}, to: shop}}" for i in range(routes - 2))
    return (f"version: 1\nlisteners: {{edge: {{address: \"127.0.0.1:0\"}}}}\nservices: {{shop: {{endpoints: [\"127.0.0.1:{origin}\"]}}}}\n"
            f"routes:\n{lines}\n  - {{match: {{path: /load}}, to: shop}}\n"
            f"  - {{match: {{path: /turn}}, to: {{response: {{status: 200, body: \"{turn}\"}}}}}}\ntelemetry: {{access_log: none}}\n")


def milliseconds(text):
    """"2ms345us" as the program writes a duration."""
    units = {"s": 1000, "ms": 1, "us": 0.001, "ns": 0.000001}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|us|ns|s)", text))


async def origin(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


class Gateway:
    """The program, and what it says."""

    def __init__(self, path, workers):
        self.process = subprocess.Popen([PROGRAM, "run", path, "--workers", str(workers)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while not (line := self.process.stderr.readline()).startswith(b"ready "):
            if not line:
                raise SystemExit("the program did not become ready")
        self.port = int(re.search(rb"edge=[^ ]*:(\d+)", line)[1])

    async def listen(self):
        loop = asyncio.get_running_loop()
        self.said = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.said), self.process.stderr)

    async def loaded(self):
        """What it took to build and to swap, in milliseconds."""
        while line := (await self.said.readline()).decode():
            if "not loaded" in line:
                raise SystemExit(line)
            if found := re.search(r"configuration loaded .*built=(\S+) swapped=(\S+)", line):
                return milliseconds(found[1]), milliseconds(found[2])
        raise SystemExit("the program ended")


async def load(port, counts):
    line = await Line(port).open()
    while counts["running"]:
        try:
            status, body = await line.ask("GET", "/load")
            counts["good" if (status, body) == (200, b"ok") else "failed"] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            counts["failed"] += 1
            line = await Line(port).open()


async def measure(folder, arguments):
    server = await asyncio.start_server(origin, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = os.path.join(folder, "portloom.yaml")

    def write(turn):
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(configuration(port, arguments.routes, turn))
        os.rename(path + ".new", path)

    write(0)
    gateway = Gateway(path, arguments.workers)
    await gateway.listen()
    counts = {"running": True, "good": 0, "failed": 0}
    loads = [asyncio.create_task(load(gateway.port, counts)) for _ in range(arguments.connections)]
    lines = [await Line(gateway.port).open() for _ in range(8)]
    built, swapped, seen = [], [], []

    async def sees(line, turn):
        while (await line.ask("GET", "/turn"))[1] != str(turn).encode():
            await asyncio.sleep(0.001)

    for turn in range(1, arguments.rounds + 1):
        write(turn)
        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGHUP)
        waiting = asyncio.create_task(gateway.loaded())
        await asyncio.gather(*(sees(line, turn) for line in lines))
        seen.append((time.monotonic() - begun) * 1000)
        took = await waiting
        built.append(took[0])
        swapped.append(took[1])
        await asyncio.sleep(0.1)
    counts["running"] = False
    await asyncio.gather(*loads)
    gateway.process.kill()
    server.close()
    for name, taken in (("read, checked and built", built), ("in force on all workers after that", swapped), ("seen by clients after the signal", seen)):
        taken.sort()
        print(f"{arguments.routes} routes, {arguments.workers} workers, {name}: {statistics.median(taken):.2f} ms (median), {taken[-1]:.2f} ms (most)")
    print(f"{arguments.rounds} reloads under load: {counts['good']} requests, {counts['failed']} failed")
    good = statistics.median(seen) <= GOAL_MS and counts["failed"] == 0
    print(f"goal, seen by clients of all workers {GOAL_MS} ms after the signal (median) and none failed: {'met' if good else 'MISSED'}")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--routes", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--connections", type=int, default=16, help="of the load")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        await measure(folder, arguments)


asyncio.run(main())
