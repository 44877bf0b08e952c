"""The pages that take a reader by the hand are walked: their commands run in the order written, in one shell in an empty folder, and
must print what the page shows under them.

A block ```sh is run, each line of a ```console block that begins with "$ " too; the lines under it are what it prints. "..." stands
for anything, line breaks do not count (pages break long lines), and what differs from run to run counts as alike: ids, keys, dates,
times. A YAML block under a line that begins with `FILE` and ends with a colon becomes that file. <!-- not run: REASON --> keeps a block from
being run. Ports are replaced by free ones.

By hand: PORTLOOM=build/release/portloom python3 tests/docs/steps_test.py
"""

import os
import random
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))

from gateway import reachable  # noqa: E402

PORTLOOM = Path(os.environ.get("PORTLOOM") or TOP / "build/release/portloom").resolve()
BLOCK = re.compile(r"(?:^(?P<before>\S[^\n]*)\n\n?)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.M | re.S)
FILE = re.compile(r"`([\w./-]+)`.*:$")
PORT = re.compile(r"\b(8080|99\d\d|300\d)\b")
READING = re.compile(r"(?:curl(?!.*-X POST)|cat|tail|grep)\b")  # may be tried again: what it waits for is on its way
PATIENCE = 10
VARIES = [
    (r"\b[0-9a-f]{32,}\b", "ID"),
    (r"\bpl_\w+", "KEY"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", "DATE"),
    (r"(Retry-After: |;t=|_ms\":|hash=)[\w.]+", r"\1N"),
    (r"(built|swapped)=\S+", r"\1=N"),
    (r"engine=\w+ workers=\d+", "ENGINE"),
    (r"Python/[\d.]+", "PYTHON"),
]


def free_ports():
    """Of four digits, so that lengths stay as the page has them."""
    for port in range(random.randrange(5000, 9000), 9999):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield str(port)


def alike(text):
    for pattern, name in VARIES:
        text = re.sub(pattern, name, text)
    return re.sub(r"\s+", "", text)


def fits(shown, printed):
    pattern = ".*".join(re.escape(alike(part)) for part in shown.split("..."))
    return re.fullmatch(pattern, alike(printed), re.S) is not None


class Shell:
    """A bash that is told one command after the other."""

    def __init__(self, folder):
        environment = {**os.environ, "PATH": f"{PORTLOOM.parent}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C"}
        environment.pop("XDG_CONFIG_HOME", None)
        self.process = subprocess.Popen(["bash", "--norc"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.run("curl() { command curl -sS \"$@\"; }")

    def run(self, command):
        """What it prints, on both outputs."""
        end = f"== {time.monotonic_ns()} =="
        self.process.stdin.write(f"{command}\necho '{end}'\n".encode())
        self.process.stdin.flush()
        printed = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            deadline = time.monotonic() + PATIENCE
            while end.encode() not in printed:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise AssertionError(f"`{command}` does not come to an end; it printed:\n{printed.decode()}")
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    raise AssertionError(f"`{command}` ended the shell; it printed:\n{printed.decode()}")
                printed += piece
        return printed.decode().replace(end, "").rstrip("\n")

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def steps(page):
    """(line, command, what it prints or None) and (line, file, text), in the order of the page."""
    text = page.read_text()
    for block in BLOCK.finditer(text):
        before, kind, body = block["before"] or "", block["kind"], block["text"]
        line = text.count("\n", 0, block.start("text")) + 1
        if before.startswith("<!-- not run:"):
            continue
        if kind == "yaml" and (file := FILE.match(before)):
            yield line, ("file", file[1]), body
        elif kind == "sh":
            yield line, ("run", body.strip()), None
        elif kind == "console":
            for command in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", body, re.M):
                yield line + body.count("\n", 0, command.start()), ("run", command[1]), command[2]


class Pages(unittest.TestCase):
    def walk(self, name):
        page = TOP / "docs" / name
        folder = tempfile.TemporaryDirectory(prefix="portloom-steps-")
        self.addCleanup(folder.cleanup)
        shell = Shell(folder.name)
        self.addCleanup(shell.close)
        ports = free_ports()
        moved = {}

        def move(text):
            def free(match):
                if match[1] not in moved:
                    moved[match[1]] = next(ports)
                return moved[match[1]]
            return PORT.sub(free, text)

        count = 0
        for line, (what, subject), shown in steps(page):
            if what == "file":
                Path(folder.name, subject).write_text(move(shown))
                continue
            count += 1
            command = move(subject)
            printed = shell.run(command)
            for port in re.findall(r"http\.server (\d+)", command):  # a reader is slower than a service that starts
                self.assertTrue(reachable(int(port)), command)
            if shown is None:
                continue
            deadline = time.monotonic() + PATIENCE
            while not fits(move(shown), printed) and READING.match(command) and time.monotonic() < deadline:
                time.sleep(0.1)
                printed = shell.run(command)
            if os.environ.get("SHOW"):
                print(f"$ {command}\n{printed}", file=sys.stderr)
            elif not fits(move(shown), printed):
                self.fail(f"docs/{name}:{line}: $ {command}\n--- shown\n{move(shown)}--- printed\n{printed}")
        self.assertGreater(count, 10)

    def test_getting_started(self):
        self.walk("getting-started.md")

    def test_operating(self):
        self.walk("operating.md")


if __name__ == "__main__":
    unittest.main()
