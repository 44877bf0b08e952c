# bench/registry.py
#
# What the registry costs and how soon a change counts: python3 bench/registry.py [--seconds N]
# 10,000 instances beat every 5 s over a connection each: the process's own CPU, from the kernel's accounting. Then one endpoint of 10,000
# services x 10 endpoints comes and goes: the time from the registration's first byte until requests on eight connections, spread over all
# workers, are answered by it (or 503 again); in the registry's own process, and in one that follows it. The program is $PORTLOOM.
import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import tempfile
import threading
import time

from rig.line import Line

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.environ.get("PORTLOOM") or os.path.join(TOP, "build/release/portloom")
SERVICES, ENDPOINTS, INSTANCES, EVERY = 10_000, 10, 10_000, 5.0


def start(text, folder, name):
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w") as file:
        file.write(text)
    process = subprocess.Popen([PROGRAM, "run", path], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    ports = {}
    for line in process.stderr:
        if line.startswith("ready "):
            for word in line.replace("listeners=", "").split():
                key, _, value = word.partition("=")
                ports[key] = value.rsplit(":", 1)[-1]
            break
    threading.Thread(target=process.stderr.read, daemon=True).start()  # nobody reads its warnings; it must not wait for that
    return process, {key: int(port) for key, port in ports.items() if port.isdigit()}


def cpu(process):
    total = 0
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def rss(process):
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def configuration(registry, services):
    names = "\n".join(f"  s{i}: {{registry: s{i}}}" for i in range(services))
    return (f"version: 1\nlisteners: {{edge: {{address: \"127.0.0.1:0\"}}}}\nservices:\n  target: {{registry: target}}\n{names}\n"
            f"routes: [{{match: {{path_prefix: /}}, to: target}}]\ntelemetry: {{access_log: none}}\ndiscovery: {{registry: {{{registry}}}}}\n")


async def beats(folder, seconds):
    process, ports = start(configuration('address: "127.0.0.1:0"', 0), folder, "beats")
    before = rss(process)
    lines = []

    async def enter(first):
        for i in range(first, INSTANCES, 50):
            line = await Line(ports["registry"]).open()
            _, answer = await line.ask("PUT", f"/v1/services/n{i % 1000}/i{i}", b'{"address":"10.0.0.1","port":80,"ttl":"30s"}')
            lines.append((line, f"/v1/services/n{i % 1000}/i{i}/heartbeat", f"Lease: {json.loads(answer)['lease']}\r\n"))

    await asyncio.gather(*(enter(i) for i in range(50)))
    each = (rss(process) - before) / INSTANCES
    failed = 0

    async def beat(line, path, field, offset, end):
        nonlocal failed
        due = time.monotonic() + offset
        while due < end:
            await asyncio.sleep(max(0, due - time.monotonic()))
            status, _ = await line.ask("POST", path, fields=field)
            failed += status != 204
            due += EVERY

    begun, used = time.monotonic(), cpu(process)
    end = begun + seconds
    await asyncio.gather(*(beat(*line, EVERY * i / INSTANCES, end) for i, line in enumerate(lines)))
    share = (cpu(process) - used) / (time.monotonic() - begun)
    print(f"{INSTANCES} instances, a beat each every {EVERY:.0f} s: {share:.2%} of a core, {failed} refused, "
          f"{each:.0f} bytes per instance with its connection")
    process.kill()


async def origin(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def changes(folder, rounds=200):
    server = await asyncio.start_server(origin, "127.0.0.1", 0)
    origin_port = server.sockets[0].getsockname()[1]
    registry, ports = start(configuration('address: "127.0.0.1:0"', SERVICES), folder, "registry")
    door = ports["registry"]

    async def fill(first):
        line = await Line(door).open()
        for service in range(first, SERVICES, 20):
            for i in range(ENDPOINTS):
                body = json.dumps({"address": f"10.0.0.{i}", "port": 80, "ttl": "1h"}).encode()
                await line.ask("PUT", f"/v1/services/s{service}/i{i}", body)

    begun = time.monotonic()
    await asyncio.gather(*(fill(i) for i in range(20)))
    print(f"{SERVICES} services x {ENDPOINTS} endpoints registered in {time.monotonic() - begun:.1f} s")
    follower, following = start(configuration(f'url: "http://127.0.0.1:{door}"', SERVICES), folder, "follower")
    admin = await Line(door).open()
    for name, process, port in (("in the registry's process", registry, ports["edge"]), ("in one that follows it", follower, following["edge"])):
        lines = [await Line(port).open() for _ in range(8)]

        async def sees(line, wanted):
            while (await line.ask("GET", "/"))[0] != wanted:
                pass

        taken = []
        lease = ""
        for i in range(rounds):
            begun = time.monotonic()
            if i % 2 == 0:
                body = json.dumps({"address": "127.0.0.1", "port": origin_port, "ttl": "1h"}).encode()
                _, answer = await admin.ask("PUT", "/v1/services/target/one", body)
                lease = json.loads(answer)["lease"]
            else:
                await admin.ask("DELETE", "/v1/services/target/one", fields=f"Lease: {lease}\r\n")
            await asyncio.gather(*(sees(line, 503 if i % 2 else 200) for line in lines))
            taken.append((time.monotonic() - begun) * 1000)
            await asyncio.sleep(0.01)
        taken.sort()
        print(f"one endpoint changed, {name}: all workers after {statistics.median(taken):.2f} ms (median), "
              f"{taken[int(rounds * 0.99) - 1]:.2f} ms (p99), {taken[-1]:.2f} ms (most); {rss(process) >> 20} MiB resident")
    registry.kill()
    follower.kill()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20, help="how long the beats are measured")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        await beats(folder, arguments.seconds)
        await changes(folder)


asyncio.run(main())
