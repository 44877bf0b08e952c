# tests/e2e/big_test.py
#
# Bodies larger than memory may be: a gigabyte each way, and readers slower than their service.
import threading
import time
import unittest

from gateway import GatewayTest, ok, unless_sanitized

GIGABYTE = 1 << 30
MEMORY_MAX = 64 << 20
PIECE = bytes(1 << 20)


def sent_by(send, count):
    while count > 0:
        send(PIECE[:min(count, len(PIECE))])
        count -= len(PIECE)


def swallow(wire, count):
    count -= len(wire.buffer)
    wire.buffer.clear()
    room = bytearray(1 << 20)
    while count > 0:
        got = wire.socket.recv_into(room, min(count, len(room)))
        if got == 0:
            return count
        count -= got
    return 0


class Memory:
    """The highest VmRSS of a gateway while the block runs."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.highest = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over.is_set():
            self.highest = max(self.highest, self.gateway.memory())
            self.over.wait(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@unless_sanitized("it needs more memory")
class Big(GatewayTest):
    def through(self, script):
        origin = self.origin(script=script)
        return self.gateway(f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0", to: origin}}}}
            services: {{origin: {{endpoints: ["{origin.address}"]}}}}
        """)

    def assert_bounded(self, what, memory):
        print(f"{what}: highest VmRSS {memory.highest / (1 << 20):.1f} MiB")
        self.assertLess(memory.highest, MEMORY_MAX)

    def test_download_of_a_gigabyte(self):
        def script(wire):
            wire.request()
            wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n")
            sent_by(wire.send, GIGABYTE)
        gateway = self.through(script)
        client = self.client(gateway, timeout=30)
        with Memory(gateway) as memory:
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(client.head().status, 200)
            self.assertEqual(swallow(client, GIGABYTE), 0)
        self.assert_bounded("download", memory)
        self.assertEqual(gateway.records(1)[0]["bytes_out"], GIGABYTE)

    def test_upload_of_a_gigabyte(self):
        def script(wire):
            request = wire.head()
            left = swallow(wire, int(request.field("content-length")))
            wire.send(ok(str(left)))
        gateway = self.through(script)
        client = self.client(gateway, timeout=30)
        with Memory(gateway) as memory:
            client.send(f"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIGABYTE}\r\n\r\n")
            sent_by(client.send, GIGABYTE)
            self.assertEqual(client.reply().body, b"0")
        self.assert_bounded("upload", memory)
        self.assertEqual(gateway.records(1)[0]["bytes_in"], GIGABYTE)

    def test_chunked_both_ways_at_once(self):
        size = 128 << 20
        def script(wire):
            wire.head()
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while (count := int(wire.line(), 16)) > 0:
                wire.send(b"%x\r\n" % count + wire.take(count) + b"\r\n")
                wire.line()
                wire.seen.clear()
            wire.line()
            wire.send(b"0\r\n\r\n")
        gateway = self.through(script)
        client = self.client(gateway, timeout=30)
        with Memory(gateway) as memory:
            client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            sender = threading.Thread(target=lambda: (sent_by(lambda piece: client.send(b"%x\r\n" % len(piece) + piece + b"\r\n"), size),
                                                      client.send("0\r\n\r\n")))
            sender.start()
            self.assertEqual(client.head().status, 200)
            got = 0
            while (count := int(client.line(), 16)) > 0:
                got += len(client.take(count))
                client.line()
                client.seen.clear()
            sender.join()
        self.assertEqual(got, size)
        self.assert_bounded("chunked both ways", memory)

    def test_readers_slower_than_the_service(self):
        def script(wire):
            wire.request()
            wire.send(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n")
            sent_by(wire.send, GIGABYTE)
        gateway = self.through(script)
        with Memory(gateway) as memory:
            clients = [self.client(gateway) for _ in range(40)]
            for client in clients:
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for client in clients:
                    client.take(1000)
                time.sleep(0.05)
        self.assert_bounded("40 slow readers", memory)

    def test_service_slower_than_its_clients(self):
        release = threading.Event()
        def script(wire):
            wire.head()
            release.wait(10)
        gateway = self.through(script)
        blocked = []
        def push():
            client = self.client(gateway)
            client.send(f"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIGABYTE}\r\n\r\n")
            client.socket.settimeout(2)
            try:
                sent_by(client.send, GIGABYTE)
            except TimeoutError:
                blocked.append(client)
        with Memory(gateway) as memory:
            threads = [threading.Thread(target=push) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(len(blocked), 20)
        release.set()
        self.assert_bounded("20 blocked uploads", memory)


if __name__ == "__main__":
    unittest.main()
