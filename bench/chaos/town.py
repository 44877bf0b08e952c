"""The processes of a storm: instances of services, gateways, a registry, a name server; all on loopback, all ended with the town."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))

from gateway import PROGRAM, Gateway, free_port  # noqa: E402

INSTANCE = str(Path(__file__).with_name("instance.py"))
START = 10.0  # seconds that a process has to become ready


class Instance:
    """One instance process (instance.py), at an address that stays when it is started again."""

    def __init__(self, name: str, address: str):
        self.name = name
        self.address = address
        self.behaviour: dict = {}
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, **behaviour) -> "Instance":
        self.behaviour.update(behaviour)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, INSTANCE, self.address, self.name, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = await asyncio.wait_for(self.process.stdout.readline(), START)
        if not line.startswith(b"ready"):
            raise RuntimeError(f"the instance {self.name} did not start at {self.address}")
        await self.be()
        return self

    async def be(self, **behaviour) -> dict:
        """Changes how it behaves; what it says of itself."""
        self.behaviour.update(behaviour)
        self.process.stdin.write(json.dumps(self.behaviour or {"ask": True}).encode() + b"\n")
        return json.loads(await asyncio.wait_for(self.process.stdout.readline(), START))

    async def requests(self) -> int:
        return (await self.be())["requests"]

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()


class Town:
    def __init__(self, workers: int = 2):
        self.workers = workers
        self.folder = Path(tempfile.mkdtemp(prefix="portloom-chaos-"))
        self.all: list[Instance] = []
        self.ending: list = []
        self.marks: list[tuple[float, str]] = []  # what happened when
        self.dark: list[tuple[float, float]] = []  # when there was no healthy instance

    async def instance(self, name: str, host: str = "127.0.0.1", port: int = 0, **behaviour) -> Instance:
        made = Instance(name, f"{host}:{port or free_port()}")
        self.all.append(made)
        return await made.start(**behaviour)

    async def instances(self, count: int, prefix: str = "i", **behaviour) -> list[Instance]:
        return [await self.instance(f"{prefix}{i + 1}", **behaviour) for i in range(count)]

    async def gateway(self, configuration: str) -> Gateway:
        made = await asyncio.to_thread(Gateway, configuration, workers=self.workers)
        self.ending.append(made.stop)
        return made

    def start(self, *command: str, **options) -> subprocess.Popen:
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, **options)

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.ending.append(end)
        return process

    def mark(self, text: str) -> float:
        now = time.monotonic()
        self.marks.append((now, text))
        return now

    async def until(self, condition, seconds: float = START) -> None:
        """Waits until condition() holds."""
        end = time.monotonic() + seconds
        while not await asyncio.to_thread(condition):
            if time.monotonic() > end:
                raise RuntimeError("a storm waited in vain")
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        for one in self.all:
            one.signal(signal.SIGCONT)
            await one.kill()
        died = None
        for ending in reversed(self.ending):
            try:
                await asyncio.to_thread(ending)
            except AssertionError as error:  # a gateway had ended by itself
                died = error
        shutil.rmtree(self.folder, ignore_errors=True)
        if died is not None:
            raise died


def installed(program: str) -> bool:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin") is not None


__all__ = ["PROGRAM", "TOP", "Gateway", "Instance", "Town", "free_port", "installed"]
