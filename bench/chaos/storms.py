"""The storms: each is a small town, a load, what happens to it, and what is expected of what clients see.

A storm's `blow` gets the town and the scale of time (1: as written), and runs beside the load; what it expects is checked afterwards.
"""

import asyncio
import signal
import time
from dataclasses import dataclass
from typing import Awaitable, Callable

from load import Load, Summary
from town import PROGRAM, Instance, Town, free_port, installed

Expectation = tuple[str, bool]  # what was expected, and whether it came so


@dataclass
class Weather:
    """What a storm has to work with."""

    town: Town
    port: int
    scale: float
    attempts: int
    load: Load | None = None

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self.scale)


@dataclass
class Storm:
    name: str
    says: str
    seconds: float
    prepare: Callable[[Weather], Awaitable[object]]
    blow: Callable[[Weather, object], Awaitable[None]]
    expect: Callable[[Weather], list[Expectation]]
    rate: float = 300.0
    path: str = "/"
    needs: str = ""  # a program


STORMS: list[Storm] = []


def service(instances: list[Instance], attempts: int, more: str = "") -> str:
    """A service as somebody who has read the manual writes it. {addresses} that fail are tried elsewhere, and left out for a while."""
    addresses = ", ".join(f'"{one.address}"' for one in instances)
    return f"""
    endpoints: [{addresses}]
    outliers: {{consecutive: 3, eject_for: 2s, every: 1s, share: 50%}}
    policies:
      - timeout: 3s
      - retry: {{attempts: {attempts}, causes: [refused, reset, timeout, gateway_error], statuses: [500], attempt_timeout: 250ms, budget: 50%}}{more}"""


def shop(services: dict[str, str], to: str = "shop", more: str = "") -> str:
    written = "".join(f"\n  {name}:{text}" for name, text in services.items())
    return f"""version: 1
listeners: {{edge: {{address: "127.0.0.1:0"}}}}
admin: {{address: "127.0.0.1:0"}}
telemetry: {{access_log: none}}
services:{written}
routes: [{{match: {{path_prefix: /}}, to: {to}}}]
{more}"""


async def four(weather: Weather) -> list[Instance]:
    instances = await weather.town.instances(4)
    gateway = await weather.town.gateway(shop({"shop": service(instances, weather.attempts)}))
    weather.port = gateway.address[1]
    return instances


# ---- what may be expected

def summary(weather: Weather) -> Summary:
    return Summary.of(weather.load)


def none_failed(weather: Weather) -> Expectation:
    """Failures count that were due, or came, while there was a healthy instance."""
    dark = weather.town.dark
    failed = [one for one in weather.load.seen if one.failure and not any(a <= one.ended and one.due <= b for a, b in dark)]
    return f"0 failed where a healthy endpoint existed: {len(failed)}", not failed


def no_gap(weather: Weather, seconds: float) -> Expectation:
    longest = summary(weather).longest_gap
    return f"an answer at least every {seconds:g} s: {longest:.2f} s", longest <= seconds


def faster(weather: Weather, seconds: float) -> Expectation:
    p99 = summary(weather).p99
    return f"p99 below {seconds * 1000:g} ms: {p99 * 1000:.0f} ms", p99 < seconds


def storm(name: str, says: str, seconds: float, expect, prepare=four, **more):
    """Registers the decorated function as the storm's `blow`."""
    def register(blow):
        STORMS.append(Storm(name, says, seconds, prepare, blow, expect, **more))
        return blow
    return register


# ---- the storms

@storm("kill", "instances are killed one by one, and come back", 8, lambda w: [none_failed(w), no_gap(w, 1)])
async def kill(weather: Weather, instances: list[Instance]) -> None:
    for one in instances[:3]:
        await weather.wait(1)
        weather.town.mark(f"{one.name} killed")
        await one.kill()
        await weather.wait(1)
        await one.start()
        weather.town.mark(f"{one.name} back")


@storm("stop", "an instance stands still (SIGSTOP): it accepts, and never answers", 8, lambda w: [none_failed(w), no_gap(w, 1), faster(w, 1)])
async def stop(weather: Weather, instances: list[Instance]) -> None:
    for one in instances[:2]:
        await weather.wait(1)
        weather.town.mark(f"{one.name} stopped")
        one.signal(signal.SIGSTOP)
        await weather.wait(2)
        one.signal(signal.SIGCONT)
        weather.town.mark(f"{one.name} goes on")


@storm("slow", "an instance answers 20 times slower than the others", 6, lambda w: [none_failed(w), faster(w, 0.1)])
async def slow(weather: Weather, instances: list[Instance]) -> None:
    await weather.wait(1.5)
    weather.town.mark("i1 slow")
    await instances[0].be(delay=0.1)
    await weather.wait(3)
    await instances[0].be(delay=0.005)
    weather.town.mark("i1 well")


@storm("reset", "an instance resets half of its connections in place of an answer", 6, lambda w: [none_failed(w), no_gap(w, 1)])
async def reset(weather: Weather, instances: list[Instance]) -> None:
    await weather.wait(1.5)
    weather.town.mark("i1 resets")
    await instances[0].be(reset=0.5)
    await weather.wait(3)
    await instances[0].be(reset=0.0)
    weather.town.mark("i1 well")


@storm("errors", "an instance answers every second request with 503, another with 500", 8, lambda w: [none_failed(w), no_gap(w, 1)])
async def errors(weather: Weather, instances: list[Instance]) -> None:
    await weather.wait(1.5)
    weather.town.mark("i1, i2 fail")
    await instances[0].be(errors=0.5, status=503)
    await instances[1].be(errors=0.5, status=500)
    await weather.wait(4)
    await instances[0].be(errors=0.0)
    await instances[1].be(errors=0.0)
    weather.town.mark("i1, i2 well")


@storm("dark", "all instances are killed at once; one comes back, then all", 8,
       lambda w: [none_failed(w), no_gap(w, 2 * w.scale + 1.5)])
async def dark(weather: Weather, instances: list[Instance]) -> None:
    await weather.wait(2)
    begun = weather.town.mark("all killed")
    await asyncio.gather(*(one.kill() for one in instances))
    await weather.wait(2)
    await instances[0].start()
    back = weather.town.mark("i1 back")
    # An endpoint that could not be reached is asked again after a second: until then nobody knows that it is healthy.
    weather.town.dark.append((begun - 0.1, back + 1.1))
    await weather.wait(2)
    await asyncio.gather(*(one.start() for one in instances[1:]))
    weather.town.mark("all back")


async def page(weather: Weather) -> list[Instance]:
    town = weather.town
    users, reviews = await town.instances(2, "user"), await town.instances(1, "reviews")
    gateway = await town.gateway(shop(
        {"users": service(users, weather.attempts), "reviews": service(reviews, weather.attempts)}, "{composition: home}",
        """compositions:
  home:
    calls:
      user: {service: users, path: /me}
      reviews: {service: reviews, path: /latest, timeout: 500ms, fallback: [{value: []}]}
"""))
    weather.port = gateway.address[1]
    return reviews


def degraded_only_while(weather: Weather) -> Expectation:
    """Two seconds after the service is back every answer is whole."""
    (away, _), (back, _) = weather.town.marks[0], weather.town.marks[-1]
    seen = weather.load.seen
    while_away = sum(one.degraded for one in seen if away <= one.due < back)
    before = sum(one.degraded for one in seen if one.ended < away)
    after = sum(one.degraded for one in seen if one.due > back + 2)
    return f"degraded only while the optional service is away: {before} before, {while_away} then, {after} later", while_away > 0 == before + after


@storm("compose", "a composition loses an optional service, and has it again", 8, lambda w: [none_failed(w), degraded_only_while(w)], page)
async def compose(weather: Weather, reviews: list[Instance]) -> None:
    await weather.wait(2)
    weather.town.mark("reviews killed")
    await reviews[0].kill()
    await weather.wait(2.5)
    await reviews[0].start()
    weather.town.mark("reviews back")


class Registered:
    """An instance that `portloom register` runs and registers."""

    def __init__(self, town: Town, url: str, name: str):
        self.town = town
        self.url = url
        self.name = name
        self.port = free_port()
        self.instance = Instance(name, f"127.0.0.1:{self.port}")

    async def start(self) -> None:
        town = self.town
        if self.instance not in town.all:
            town.all.append(self.instance)
        if self.instance.process is None or self.instance.process.returncode is not None:
            await self.instance.start()
        # The command that it runs is a stand-in for the instance: what is killed and drained is the registration.
        self.registration = town.start(PROGRAM, "register", "shop", "--port", str(self.port), "--id", self.name, "--registry", self.url,
                                       "--ttl", "3s", "--", "sleep", "1000")


async def with_registry(weather: Weather) -> dict:
    town = weather.town
    port = free_port()
    file = town.folder / "registry.json"
    written = town.folder / "registry.yaml"
    written.write_text(shop({"shop": " {registry: shop}"}, more=f'discovery: {{registry: {{address: "127.0.0.1:{port}", file: {file}}}}}\n')
                       .replace('admin: {address: "127.0.0.1:0"}\n', ""))

    def registry():
        return town.start(PROGRAM, "run", str(written), "--workers", "1")
    place = {"registry": registry, "process": registry(), "instances": []}
    url = f"http://127.0.0.1:{port}"
    for i in range(3):
        one = Registered(town, url, f"i{i + 1}")
        place["instances"].append(one)
        await one.start()
    more = "".join(f"\n    {line}" for line in (
        "registry: shop", "outliers: {consecutive: 3, eject_for: 2s, every: 1s}", "policies:", "  - timeout: 3s",
        f"  - retry: {{attempts: {weather.attempts}, causes: [refused, reset, timeout], attempt_timeout: 250ms}}"))
    gateway = await town.gateway(shop({"shop": more}, more=f'discovery: {{registry: {{url: "{url}"}}}}\n'))
    weather.port = gateway.address[1]

    def all_known() -> bool:
        try:
            return gateway.page("/status").count('"127.0.0.1:') >= 3 and all(
                f"127.0.0.1:{one.port}" in gateway.page("/status") for one in place["instances"])
        except OSError:
            return False
    await town.until(all_known)
    return place


@storm("registry", "the registry is killed and comes back; registrations come and go", 10, lambda w: [none_failed(w), no_gap(w, 1)], with_registry)
async def registry(weather: Weather, place: dict) -> None:
    town = weather.town
    await weather.wait(1)
    place["process"].kill()
    town.mark("registry killed")
    await weather.wait(2)
    place["process"] = place["registry"]()
    town.mark("registry back")
    await weather.wait(1)
    for one in place["instances"][:2]:
        town.mark(f"{one.name} leaves")
        one.registration.send_signal(signal.SIGTERM)
        await weather.wait(1)
        await one.start()
        town.mark(f"{one.name} registers")
        await weather.wait(1)


async def named(weather: Weather) -> dict:
    town = weather.town
    port = free_port()
    old = await town.instance("old", "127.0.0.2", port)
    new = await town.instance("new", "127.0.0.3", port)
    hosts = town.folder / "hosts"
    hosts.write_text("127.0.0.2 shop.test\n")
    dns = free_port()
    server = town.start("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}", "--local-ttl=1", f"--port={dns}",
                        "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", f"--pid-file={town.folder}/dnsmasq.pid")
    await asyncio.sleep(0.3)
    more = service([], weather.attempts).replace("endpoints: []", f'endpoints: ["shop.test:{port}"]')
    gateway = await town.gateway(shop({"shop": more}, more=f'discovery: {{dns: {{servers: ["127.0.0.1:{dns}"]}}}}\n'))
    weather.port = gateway.address[1]
    return {"old": old, "new": new, "hosts": hosts, "server": server}


@storm("dns", "a name moves to another address, and the old instance ends when its TTL is over", 8, lambda w: [none_failed(w), no_gap(w, 1)], named,
       needs="dnsmasq")
async def dns(weather: Weather, place: dict) -> None:
    town = weather.town
    await weather.wait(1)
    place["hosts"].write_text("127.0.0.3 shop.test\n")
    place["server"].send_signal(signal.SIGHUP)
    town.mark("name moves")
    await asyncio.sleep(2.5)  # not scaled: the TTL is a second, and so is the gateway's shortest look
    await place["old"].kill()
    town.mark("old killed")
    await weather.wait(1)
    place["server"].send_signal(signal.SIGSTOP)
    town.mark("name server stands still")
    await weather.wait(2)
    place["server"].send_signal(signal.SIGCONT)
    town.mark("goes on")


async def run(one: Storm, scale: float, attempts: int, workers: int) -> tuple[Weather, list[Expectation]]:
    """The storm, from its first process to its last."""
    town = Town(workers)
    weather = Weather(town, 0, scale, attempts)
    try:
        place = await one.prepare(weather)
        weather.load = Load(weather.port, one.rate, path=one.path)
        town.marks.clear()
        blowing = asyncio.create_task(one.blow(weather, place))
        started = time.monotonic()
        await weather.load.run(one.seconds * scale)
        while not blowing.done():  # what happens took longer than planned: it is still looked at
            more = Load(weather.port, one.rate, path=one.path)
            await more.run(0.5)
            weather.load.seen += more.seen
            weather.load.ended = more.ended
        await blowing
        weather.load.begun = started
        return weather, one.expect(weather)
    finally:
        await town.end()


def unavailable(one: Storm) -> str:
    """Why it cannot be run here; empty: it can."""
    return f"{one.needs} is not installed" if one.needs and not installed(one.needs) else ""
