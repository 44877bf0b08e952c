"""A client that asks one thing after the other, for benches that bring their own load."""

import asyncio


class Line:
    """One HTTP/1.1 connection, kept alive."""

    def __init__(self, port):
        self.port = port

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def ask(self, method, path, body=b"", fields=""):
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: r\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return int(head[9:12]), await self.reader.readexactly(length)
