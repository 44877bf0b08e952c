"""A load of requests at a fixed rate, and what clients saw of it.

Open loop: a request counts from when it was due, however long it had to wait for a connection, so that a gateway that stands still cannot
hide it. Each client has one connection; one that breaks is opened again.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

PATIENCE = 5.0  # a client waits no longer


@dataclass
class Seen:
    """What became of one request. `failure` is empty when it was answered by a 200."""

    due: float
    ended: float
    failure: str = ""
    degraded: bool = False

    @property
    def took(self) -> float:
        return self.ended - self.due


@dataclass
class Load:
    port: int
    rate: float
    clients: int = 64
    path: str = "/"
    seen: list[Seen] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        self.begun = time.monotonic()
        self.next = 0
        self.count = int(self.rate * seconds)
        await asyncio.gather(*(self.client() for _ in range(self.clients)))
        self.ended = time.monotonic()
        self.seen.sort(key=lambda one: one.ended)

    async def client(self) -> None:
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self.next < self.count:
            due = self.begun + self.next / self.rate
            self.next += 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            try:
                async with asyncio.timeout(PATIENCE):
                    if line is None:
                        line = await asyncio.open_connection("127.0.0.1", self.port)
                    status, body, stays = await self.ask(*line)
                if not stays:
                    line[1].close()
                    line = None
                self.note(due, "" if status == 200 else str(status), b'"degraded":true' in body)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError) as error:
                if line is not None:
                    line[1].close()
                line = None
                self.note(due, "no answer" if isinstance(error, TimeoutError) else "broken")
        if line is not None:
            line[1].close()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bytes, bool]:
        writer.write(f"GET {self.path} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            at = head.find(b"content-length:")
            body = await reader.readexactly(int(head[at + 15:].split(b"\r\n")[0])) if at >= 0 else await reader.read()
        return int(head[9:12]), body, b"connection: close" not in head

    def note(self, due: float, failure: str, degraded: bool = False) -> None:
        self.seen.append(Seen(due, time.monotonic(), failure, degraded))


def quantile(sorted_values: list[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] if sorted_values else 0.0


@dataclass
class Summary:
    requests: int
    ok: int
    degraded: int
    failed: int
    failures: dict[str, int]
    p50: float
    p99: float
    longest_gap: float  # between two answers that were good, from the first request to the last

    @classmethod
    def of(cls, load: Load, begin: float = 0.0, end: float = float("inf")) -> "Summary":
        """Of the requests that were due within this time of the load's own."""
        seen = [one for one in load.seen if begin <= one.due - load.begun < end]
        good = [one for one in seen if not one.failure]
        took = sorted(one.took for one in good)
        times = [load.begun + begin, *(one.ended for one in good), min(load.ended, load.begun + end)]
        failures = Counter(one.failure for one in seen if one.failure)
        return cls(len(seen), len(good), sum(one.degraded for one in good), len(seen) - len(good), dict(failures.most_common()),
                   quantile(took, 0.50), quantile(took, 0.99), max((b - a for a, b in zip(times, times[1:])), default=0.0))
