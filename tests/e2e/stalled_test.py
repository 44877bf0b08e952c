# tests/e2e/stalled_test.py
#
# 5,000 clients ask for 10 MB and never read. A fresh request is answered as if they were not there, and memory is bounded.
import os
import resource
import socket
import sys
import time
import unittest

from gateway import Client, GatewayTest, free_port, ok, reachable, until

STALLED = 5000

# A process of its own with an event loop, so that thousands of blocked answers cost no thread and do not disturb the measurement.
SERVICE = r'''
import asyncio, resource, sys
SIZE = 10_000_000
PIECE = bytes(64 * 1024)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for at in range(0, SIZE, len(PIECE)):
                writer.write(PIECE[:min(len(PIECE), SIZE - at)])
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()
asyncio.run(main())
'''


def busy(pid):
    """Seconds of processor time so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stalled(GatewayTest):
    def settle(self, *processes):
        """Until all buffers are full and nobody does anything."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            before = sum(map(busy, processes))
            time.sleep(0.5)
            if sum(map(busy, processes)) - before < 0.05:
                return
        self.fail("the stalled downloads do not come to rest")

    def test_a_fresh_request_among_stalled_downloads(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = min(STALLED, (hard - 500) // 2)  # the gateway needs two per client
        port = free_port()
        service = self.start(sys.executable, "-c", SERVICE, str(port))
        self.assertTrue(reachable(port))
        fresh = self.origin(ok("fresh"))
        gateway = self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services:
              big: {{endpoints: ["127.0.0.1:{port}"], connect_timeout: 20s, pool: {{connections: 10000}}}}
              fresh: {{endpoints: ["{fresh.address}"]}}
            routes:
              - {{match: {{path: /big}}, to: big}}
              - {{match: {{path: /fresh}}, to: fresh}}
        """)
        clients = []
        self.addCleanup(lambda: [client.close() for client in clients])
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(gateway.address)
            client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(client)
        self.assertTrue(until(lambda: gateway.descriptors() >= 2 * count, 20, 0.2), gateway.descriptors())
        self.settle(gateway.process.pid, service.pid)
        worst = 0
        for _ in range(10):
            begun = time.monotonic()
            client = Client(gateway.address)
            self.assertEqual(client.get("/fresh").body, b"fresh")
            client.close()
            worst = max(worst, time.monotonic() - begun)
        print(f"{count} stalled downloads: fresh GET within {worst * 1000:.1f} ms, VmRSS {gateway.memory() / (1 << 20):.1f} MiB, "
              f"{gateway.descriptors()} descriptors")
        self.assertLess(worst, 1)
        self.assertLess(gateway.memory(), (count + 64) << 20)  # limits.buffered is 1 MiB per request


if __name__ == "__main__":
    unittest.main()
