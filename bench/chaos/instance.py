"""An instance of a service, as a process of its own, whose behaviour is set from outside.

    python3 instance.py ADDRESS:PORT NAME     prints "ready PORT", then obeys lines of JSON on its standard input

Each line is an object and is answered by one: {"delay": s} how long an answer takes · {"errors": share, "status": 503} · {"reset": share} of
requests after which the connection is reset instead of answered · {"places": n} how many are worked on at once (0: all), the others wait
in line · {"ask": true} changes nothing. The answer has how many requests came. Standard library only.
"""

import asyncio
import json
import random
import socket
import struct
import sys
from collections import deque


class Behaviour:
    def __init__(self, name: str):
        self.delay = 0.005
        self.errors = 0.0
        self.status = 503
        self.reset = 0.0
        self.places = 0
        self.requests = 0
        self.working = 0
        self.line: deque["Connection"] = deque()
        self.body = json.dumps({"instance": name}).encode()

    def obey(self, text: str) -> str:
        for key, value in json.loads(text).items():
            if key != "ask":
                setattr(self, key, value)
        return json.dumps({"requests": self.requests})


class Connection(asyncio.Protocol):
    """HTTP/1.1, kept alive, one request at a time, whose bodies are thrown away."""

    def __init__(self, behaviour: Behaviour):
        self.behaviour = behaviour
        self.buffer = b""
        self.busy = False
        self.gone = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.read()

    def read(self) -> None:
        end = self.buffer.find(b"\r\n\r\n")
        if self.busy or end < 0:
            return
        length = 0
        for line in self.buffer[:end].split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(self.buffer) < end + 4 + length:
            return
        self.buffer = self.buffer[end + 4 + length:]
        self.busy = True
        behaviour = self.behaviour
        behaviour.requests += 1
        if behaviour.places and behaviour.working >= behaviour.places:
            behaviour.line.append(self)
        else:
            self.work()

    def work(self) -> None:
        self.behaviour.working += 1
        asyncio.get_running_loop().call_later(self.behaviour.delay, self.answer)

    def answer(self) -> None:
        behaviour = self.behaviour
        behaviour.working -= 1
        while behaviour.line:
            waiting = behaviour.line.popleft()
            if not waiting.gone:  # who has left is not worked for
                waiting.work()
                break
        if self.gone:
            return
        self.busy = False
        if random.random() < behaviour.reset:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif random.random() < behaviour.errors:
            self.send(f"{behaviour.status} Failed", b"{}")
        else:
            self.send("200 OK", behaviour.body)
        self.read()

    def send(self, status: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def main(address: str, name: str) -> None:
    host, _, port = address.rpartition(":")
    behaviour = Behaviour(name)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(behaviour), host, int(port), backlog=1024, reuse_address=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    while line := await commands.readline():
        print(behaviour.obey(line.decode()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
