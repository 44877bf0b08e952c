"""What is measured: the table of scenarios, and the budgets of DESIGN section 10.

A new scenario is a new line here. One that needs another configuration names a `setup`: rig/setups.py says what it puts into
the templates of peers/, or names templates of its own.
"""

from dataclasses import dataclass, field


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
    tool: str = "bench_load"
    options: dict = field(default_factory=dict)  # more for the load tool
    derived: tuple = ()


@dataclass(frozen=True)
class Derived:
    """A figure that is made, within a round, of a subject's own and another's: divided by `times` the other's, or less the other's.
    `against` may hold {engine}: the subject's own."""

    name: str
    metric: str
    against: str
    times: float = 1
    less: bool = False


SCENARIOS = {
    scenario.name: scenario
    for scenario in [
        Scenario("h1_1", "load", 1, "/1k", 1024, 8_000, "HTTP/1.1, 1 kB answers, 1 connection"),
        Scenario("h1_8", "load", 8, "/1k", 1024, 30_000, "HTTP/1.1, 1 kB answers, 8 connections"),
        Scenario("h1_64", "load", 64, "/1k", 1024, 60_000, "HTTP/1.1, 1 kB answers, 64 connections"),
        Scenario("h1_256", "load", 256, "/1k", 1024, 60_000, "HTTP/1.1, 1 kB answers, 256 connections"),
        Scenario("h1_100k", "load", 16, "/100k", 102_400, 8_000, "HTTP/1.1, 100 kB answers, 16 connections"),
        Scenario("h1_10m", "load", 4, "/10m", 10_485_760, 80, "HTTP/1.1, 10 MB answers, 4 connections"),
        Scenario("tls_h1_64", "load", 64, "/1k", 1024, 40_000, "HTTP/1.1 over TLS 1.3, 1 kB answers, 64 connections", setup="tls",
                 options={"tls": 1}),
        Scenario("tls_handshake", "load", 16, "/1k", 1024, 4_000, "a new connection with a full TLS 1.3 handshake for each request",
                 setup="tls", options={"tls": 1, "handshake": "full"}),
        Scenario("tls_handshake_resumed", "load", 16, "/1k", 1024, 4_000, "a new connection with a resumed TLS 1.3 session for each request",
                 setup="tls", options={"tls": 1, "handshake": "resumed"}),
        Scenario("h2_8x32", "load", 8, "/1k", 1024, 60_000, "HTTP/2 by prior knowledge to HTTP/1.1, 8 connections of 32 streams", setup="h2",
                 tool="bench_load_h2", options={"streams": 32}),
        Scenario("tls_h2", "load", 8, "/1k", 1024, 60_000, "HTTP/2 by ALPN over TLS 1.3 to HTTP/1.1, 8 connections of 32 streams",
                 setup="tls_h2", tool="bench_load_h2", options={"streams": 32, "tls": 1}),
        Scenario("grpc_unary", "load", 8, "/bench.Bench/Unary", 1029, 40_000, "unary gRPC passed through, 8 connections of 32 streams",
                 setup="grpc", tool="bench_load_h2", options={"streams": 32, "grpc": 1}),
        *(Scenario(f"routes_{count}", "load", 64, "/api/v1/area7/item7/1", 1024, 60_000, f"h1_64 among {count:,} routes; the goal is that all cost alike",
                   setup=f"routes_{count}") for count in (10, 1_000, 100_000)),
        Scenario("policies_all", "load", 64, "/1k", 1024, 60_000, "every policy on one request, beside the same gateway without any; else as h1_64",
                 setup="policies", options={"field": "x-api-key: secret"}),
        Scenario("compose_3", "load", 64, "/home", 3110, 30_000, "one answer of three sources of 1 kB, 64 connections", setup="compose",
                 derived=(Derived("ratio_node", "cpu_us_per_request", "node"), Derived("ratio_node_http", "cpu_us_per_request", "node-http"),
                          Derived("ratio_three_plain", "cpu_us_per_request", "portloom-plain-{engine}", times=3))),
        Scenario("compose_3_at_1000", "load", 16, "/home", 3110, 4_000, "the same at 1,000 requests per second: what is added to the slowest of three calls",
                 rps=1_000, setup="compose", derived=tuple(Derived(f"added_{metric}", metric, "direct", less=True) for metric in ("p50_us", "p99_us"))),
        Scenario("idle_8000", "idle", 8_000, "/1k", 1024, 8_000, "8,000 idle keep-alive connections, one request made on each"),
        Scenario("idle_8000_tls", "idle", 8_000, "/1k", 1024, 8_000, "8,000 idle keep-alive connections over TLS, one request made on each",
                 setup="tls", options={"tls": 1}),
    ]
}


@dataclass(frozen=True)
class Budget:
    """An upper bound for a Portloom engine. `against` is a subject, "peer" (the better of nginx and HAProxy in the same
    round), "forwarder" (the byte forwarder on the same engine), "portloom-bare" (without policies, on the same engine) or "" (the bound is absolute)."""

    scenarios: tuple[str, ...]
    metric: str
    against: str
    io_uring: float
    epoll: float


# Without TLS and HTTP/2: what the byte forwarder can be compared with.
_EVERY_LOAD = ("h1_1", "h1_8", "h1_64", "h1_256", "h1_100k", "h1_10m")

BUDGETS = [
    Budget(("h1_64",), "cpu_us_per_request", "peer", 0.70, 0.80),
    Budget(("h1_256",), "cpu_us_per_request", "peer", 0.68, 0.83),
    Budget(("h1_1", "h1_8"), "cpu_us_per_request", "peer", 0.85, 0.92),
    Budget(("h1_100k", "h1_10m"), "cpu_us_per_request", "peer", 0.55, 0.55),
    Budget(("h2_8x32", "tls_h1_64", "tls_h2"), "cpu_us_per_request", "peer", 0.82, 0.82),
    Budget(("tls_handshake",), "cpu_us_per_request", "peer", 0.90, 0.90),
    Budget(_EVERY_LOAD, "cpu_us_per_request", "forwarder", 1.40, 1.40),
    Budget((*_EVERY_LOAD, "h2_8x32", "tls_h1_64", "tls_h2"), "cpu_us_per_request", "envoy", 0.33, 0.33),
    Budget(("policies_all",), "cpu_us_per_request", "portloom-bare", 1.25, 1.25),
    Budget(("compose_3",), "ratio_node", "", 0.10, 0.10),
    Budget(("compose_3",), "ratio_three_plain", "", 0.90, 0.90),
    Budget(("compose_3_at_1000",), "added_p50_us", "", 100, 100),
    Budget(("compose_3_at_1000",), "added_p99_us", "", 500, 500),
    Budget(("h1_1",), "p50_us", "forwarder", 1.15, 1.15),
    Budget(("idle_8000",), "bytes_per_connection", "", 1024, 1024),
    Budget(("idle_8000_tls",), "bytes_per_connection", "", 12 * 1024, 12 * 1024),
]

PEERS = ("nginx", "haproxy")
