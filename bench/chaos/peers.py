"""How proxies behave when services do not: Portloom, HAProxy and nginx under the same trouble, each configured as its manual advises.

Every scene runs each subject once, with the same instances, load and budget of attempts (3). The configurations are below: whoever knows
how one of them does better is welcome. Behaviour, not speed: loads are low, so that the machine is never the bottleneck.
"""

import asyncio
import socket
from dataclasses import dataclass

from load import Load, Summary
from report import Table
from town import PROGRAM, Instance, Town, free_port, installed


ATTEMPTS = 3


@dataclass
class Ask:
    """What a subject is to be configured for. `tiers`: ports, outermost first, each leading to the next one, the last to the instances."""

    addresses: list[str]
    tiers: list[int]
    places: int = 0  # what an instance works on at once, where that is known
    checks: bool = True  # may instances be asked whether they are well?


def endpoints_of(ask: Ask, tier: int) -> list[str]:
    """A tier has three addresses, as if it had three replicas."""
    if tier + 1 == len(ask.tiers):
        return ask.addresses
    return [f"127.0.0.{i}:{ask.tiers[tier + 1]}" for i in (1, 2, 3)]


def portloom(ask: Ask) -> str:
    text = "version: 1\ntelemetry: {access_log: none}\nlisteners:\n"
    text += "".join(f'  t{i}: {{address: "0.0.0.0:{port}"}}\n' for i, port in enumerate(ask.tiers)) + "services:\n"
    for i in range(len(ask.tiers)):
        text += f'  s{i}:\n    endpoints: [{", ".join(f"{chr(34)}{one}{chr(34)}" for one in endpoints_of(ask, i))}]\n'
        if ask.checks:
            text += "    outliers: {consecutive: 3, every: 1s, eject_for: 5s}\n"
        text += "    policies:\n"
        if ask.places:
            text += f"      - concurrency: {{requests: {ask.places * len(ask.addresses) * 3 // 2}, queue: 12, wait: 200ms}}\n"
        text += ("      - timeout: 3s\n"
                 f"      - retry: {{attempts: {ATTEMPTS}, causes: [refused, reset, timeout, gateway_error], statuses: [500]{', attempt_timeout: 1s' if not ask.places else ''}}}\n")
    text += "routes:\n" + "".join(f"  - {{listener: t{i}, match: {{path_prefix: /}}, to: s{i}}}\n" for i in range(len(ask.tiers)))
    return text


def haproxy(ask: Ask) -> str:
    text = ("global\n  maxconn 8000\n  nbthread 2\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server "
            f"{'1s' if not ask.places else '3s'}\n  timeout queue 200ms\n  retries {ATTEMPTS - 1}\n  option redispatch 1\n"
            "  retry-on conn-failure empty-response response-timeout 500 502 503 504\n")
    for i, port in enumerate(ask.tiers):
        text += f"frontend f{i}\n  bind 0.0.0.0:{port}\n  default_backend b{i}\nbackend b{i}\n  balance leastconn\n"
        options = ""
        if ask.checks:
            text += "  option httpchk GET /\n"
            options += " check inter 1s fall 2 rise 1 observe layer7 error-limit 3 on-error mark-down"
        if ask.places:
            options += f" maxconn {ask.places} maxqueue {16 // len(ask.addresses)}"
        text += "".join(f"  server s{n} {address}{options}\n" for n, address in enumerate(endpoints_of(ask, i)))
    return text


def nginx(ask: Ask) -> str:
    text = "worker_processes 2;\ndaemon off;\npid nginx.pid;\nerror_log stderr crit;\nevents { worker_connections 8000; }\nhttp {\n  access_log off;\n"
    text += "".join(f"  {kind}_temp_path {kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    for i, port in enumerate(ask.tiers):
        options = " max_fails=3 fail_timeout=2s" if ask.checks else " max_fails=0"
        options += f" max_conns={ask.places}" if ask.places else ""
        zone = f"    zone u{i} 128k;\n    least_conn;\n"
        text += f"  upstream u{i} {{\n{zone}" + "".join(f"    server {one}{options};\n" for one in endpoints_of(ask, i)) + "    keepalive 64;\n  }\n"
        text += (f"  server {{\n    listen 0.0.0.0:{port};\n    location / {{\n      proxy_pass http://u{i};\n      proxy_http_version 1.1;\n"
                 f'      proxy_set_header Connection "";\n      proxy_set_header Host $host;\n      proxy_connect_timeout 1s;\n'
                 f"      proxy_read_timeout {'1s' if not ask.places else '3s'};\n"
                 "      proxy_next_upstream error timeout http_500 http_502 http_503 http_504;\n"
                 f"      proxy_next_upstream_tries {ATTEMPTS};\n    }}\n  }}\n")
    return text + "}\n"


SUBJECTS = {
    "portloom": (portloom, "portloom.yaml", lambda file, folder: [PROGRAM, "run", file, "--workers", "2"]),
    "haproxy": (haproxy, "haproxy.cfg", lambda file, folder: ["haproxy", "-db", "-f", file]),
    "nginx": (nginx, "nginx.conf", lambda file, folder: ["nginx", "-p", folder, "-c", file, "-e", "stderr"]),
}


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


async def begin(town: Town, subject: str, ask: Ask) -> int:
    """Starts the subject; the port that clients ask."""
    write, name, command = SUBJECTS[subject]
    file = town.folder / name
    file.write_text(write(ask))
    town.folder.chmod(0o755)
    town.start(*command(str(file), str(town.folder)))
    await town.until(lambda: answers(ask.tiers[0]))
    await asyncio.sleep(0.5)
    return ask.tiers[0]


# ---- the scenes: each gives its figures, and what Portloom is held to

Figures = dict[str, float]


async def four(town: Town, subject: str, **more) -> tuple[list[Instance], int]:
    instances = await town.instances(4)
    return instances, await begin(town, subject, Ask([one.address for one in instances], [free_port()], **more))


async def slow(town: Town, subject: str, scale: float) -> Figures:
    instances, port = await four(town, subject)
    await instances[0].be(delay=0.1)
    load = Load(port, 300)
    await load.run(6 * scale)
    seen = Summary.of(load, 1 * scale)
    return {"p50_ms": seen.p50 * 1e3, "p99_ms": seen.p99 * 1e3, "failed": seen.failed}


async def errors(town: Town, subject: str, scale: float) -> Figures:
    instances, port = await four(town, subject)
    await instances[0].be(errors=0.5, status=500)
    load = Load(port, 300)
    await load.run(6 * scale)
    seen = Summary.of(load)
    return {"failed_percent": 100 * seen.failed / seen.requests, "p99_ms": seen.p99 * 1e3}


async def tiers(town: Town, subject: str, scale: float) -> Figures:
    instances = await town.instances(3, errors=1.0, status=503)
    port = await begin(town, subject, Ask([one.address for one in instances], [free_port() for _ in range(3)], checks=False))
    before = sum([await one.requests() for one in instances])
    load = Load(port, 200)
    await load.run(10 * scale)
    asked = sum([await one.requests() for one in instances]) - before
    return {"load_factor": asked / len(load.seen)}


async def restarts(town: Town, subject: str, scale: float) -> Figures:
    instances, port = await four(town, subject)
    load = Load(port, 300)
    running = asyncio.create_task(load.run(9 * scale))
    for one in instances:
        await asyncio.sleep(scale)
        await one.kill()
        await asyncio.sleep(scale)
        await one.start()
    await running
    seen = Summary.of(load)
    return {"failed": seen.failed, "p99_ms": seen.p99 * 1e3, "longest_gap_ms": seen.longest_gap * 1e3}


async def overload(town: Town, subject: str, scale: float) -> Figures:
    instances = await town.instances(4, delay=0.05, places=2)
    capacity = 4 * 2 / 0.05
    port = await begin(town, subject, Ask([one.address for one in instances], [free_port()], places=2, checks=False))
    load = Load(port, 3 * capacity, clients=600)
    await load.run(6 * scale)
    end = 6 * scale
    seen = Summary.of(load, scale, end)
    good = sum(1 for one in load.seen if not one.failure and scale <= one.ended - load.begun < end)
    return {"goodput_percent": 100 * good / (end - scale) / capacity, "p50_ms": seen.p50 * 1e3, "p99_ms": seen.p99 * 1e3}


@dataclass
class Scene:
    says: str
    act: object
    holds: object  # whether Portloom's figures are as they should be
    should: str


SCENES = {
    "slow": Scene("one of 4 instances answers 20 times slower (100 ms)", slow, lambda f: f["p99_ms"] < 100, "p99 below the slow one's 100 ms"),
    "errors": Scene("one of 4 answers every second request with 500", errors, lambda f: f["failed_percent"] == 0, "no client sees one"),
    "tiers": Scene("3 tiers that each try 3 times, the last service is down (503)", tiers, lambda f: f["load_factor"] <= 1.2, "load factor at most 1.2"),
    "restarts": Scene("4 instances are killed and restarted, one after the other", restarts, lambda f: f["failed"] == 0, "0 failed"),
    "overload": Scene("3 times as many requests as 4 instances can do", overload, lambda f: f["goodput_percent"] >= 90, "goodput at least 90 % of capacity"),
}


def compare(names: list[str], quick: bool, table: Table) -> tuple[list[dict], bool]:
    """Rows, and whether Portloom did what it should."""
    rows = []
    met = True
    for name in names:
        scene = SCENES[name]
        table.say(table.paint(f"{name}: {scene.says}", 1))
        for subject in SUBJECTS:
            if subject != "portloom" and not installed(subject):
                table.say(f"  {subject:<10}not installed")
                continue
            figures = asyncio.run(one(scene, subject, 0.5 if quick else 1.0))
            verdict = ""
            if subject == "portloom":
                came = scene.holds(figures)
                met = met and came
                verdict = "   " + (table.paint("met", 32) if came else table.paint("NOT MET", 31)) + ": " + scene.should
            table.say(f"  {subject:<10}" + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()) + verdict)
            for metric, value in figures.items():
                rows.append({"scenario": "behaviour_" + name, "subject": subject, "metric": metric, "median": value, "min": value, "max": value, "n": 1})
    return rows, met


async def one(scene: Scene, subject: str, scale: float) -> Figures:
    town = Town()
    try:
        return await scene.act(town, subject, scale)
    finally:
        await town.end()
