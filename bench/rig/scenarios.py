"""What is measured: the table of scenarios, and the budgets of DESIGN section 10.

A new scenario is a new line here. One that needs another configuration names a `setup`: its templates are then
peers/NAME.SETUP.EXT.in instead of peers/NAME.EXT.in, and subjects without such a template are skipped.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    name: str
    kind: str  # "load": CPU per request under a closed loop; "idle": memory per held connection
    connections: int
    path: str
    body_bytes: int
    requests: int  # per round
    about: str
    rps: int = 0  # fixed rate; 0: as fast as answers come
    setup: str = "plain"


SCENARIOS = {
    scenario.name: scenario
    for scenario in [
        Scenario("h1_1", "load", 1, "/1k", 1024, 8_000, "HTTP/1.1, 1 kB answers, 1 connection"),
        Scenario("h1_8", "load", 8, "/1k", 1024, 30_000, "HTTP/1.1, 1 kB answers, 8 connections"),
        Scenario("h1_64", "load", 64, "/1k", 1024, 60_000, "HTTP/1.1, 1 kB answers, 64 connections"),
        Scenario("h1_256", "load", 256, "/1k", 1024, 60_000, "HTTP/1.1, 1 kB answers, 256 connections"),
        Scenario("h1_100k", "load", 16, "/100k", 102_400, 8_000, "HTTP/1.1, 100 kB answers, 16 connections"),
        Scenario("h1_10m", "load", 4, "/10m", 10_485_760, 80, "HTTP/1.1, 10 MB answers, 4 connections"),
        Scenario("idle_8000", "idle", 8_000, "/1k", 1024, 8_000, "8,000 idle keep-alive connections, one request made on each"),
    ]
}


@dataclass(frozen=True)
class Budget:
    """An upper bound for a Portloom engine. `against` is a subject, "peer" (the better of nginx and HAProxy in the same
    round), "forwarder" (the byte forwarder on the same engine) or "" (the bound is absolute)."""

    scenarios: tuple[str, ...]
    metric: str
    against: str
    io_uring: float
    epoll: float


_EVERY_LOAD = ("h1_1", "h1_8", "h1_64", "h1_256", "h1_100k", "h1_10m")

BUDGETS = [
    Budget(("h1_64",), "cpu_us_per_request", "peer", 0.70, 0.80),
    Budget(("h1_256",), "cpu_us_per_request", "peer", 0.68, 0.83),
    Budget(("h1_1", "h1_8"), "cpu_us_per_request", "peer", 0.85, 0.92),
    Budget(("h1_100k", "h1_10m"), "cpu_us_per_request", "peer", 0.55, 0.55),
    Budget(_EVERY_LOAD, "cpu_us_per_request", "forwarder", 1.40, 1.40),
    Budget(_EVERY_LOAD, "cpu_us_per_request", "envoy", 0.33, 0.33),
    Budget(("h1_1",), "p50_us", "forwarder", 1.15, 1.15),
    Budget(("idle_8000",), "bytes_per_connection", "", 1024, 1024),
]

PEERS = ("nginx", "haproxy")
