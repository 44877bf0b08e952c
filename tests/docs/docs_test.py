"""Every YAML block of README.md and docs/, and every file of examples/, is a whole configuration that `portloom check` accepts
without a warning and that two other parsers read alike: PyYAML (YAML 1.1) and npm's yaml (1.2), where they are installed.
An example of several files is a folder with a portloom.yaml.
Relative links lead to files and headings that exist. The benchmark rig starts.

By hand: PORTLOOM=build/release/portloom python3 tests/docs/docs_test.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Iterator

try:
    import yaml
except ImportError:
    yaml = None

TOP = Path(__file__).resolve().parents[2]
PORTLOOM = os.environ.get("PORTLOOM", str(TOP / "build/release/portloom"))
PAGES = [TOP / "README.md", TOP / "CHANGELOG.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def documents() -> Iterator[tuple[str, str]]:
    """(place, text) of all configurations that are shown."""
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            yield f"{page.relative_to(TOP)}:{text.count(chr(10), 0, block.start()) + 2}", block[1]
    for example in sorted((TOP / "examples").glob("*.yaml")):
        yield str(example.relative_to(TOP)), example.read_text()


def odd_keys(value: object, path: str = "") -> Iterator[str]:
    """Keys that YAML 1.1 does not read as text: `on`, `yes`, numbers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield f"{path}: the key {key!r} is no text for a YAML 1.1 parser"
            yield from odd_keys(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from odd_keys(inner, path)


NODE = """
let text = '';
process.stdin.on('data', (piece) => text += piece).on('end', () => {
  const yaml = require('yaml');
  process.stdout.write(JSON.stringify(JSON.parse(text).map((one) => yaml.parse(one))));
});
"""


def read_by_node(texts: list[str]) -> list[object] | None:
    """What npm's yaml (YAML 1.2) makes of them; None where it is not installed."""
    if shutil.which("node") is None:
        return None
    environment = {**os.environ, "NODE_PATH": os.pathsep.join([os.environ.get("NODE_PATH", ""), "/usr/share/nodejs"])}
    ran = subprocess.run(["node", "-e", NODE], input=json.dumps(texts), capture_output=True, text=True, timeout=60, env=environment)
    if "Cannot find module 'yaml'" in ran.stderr:
        return None
    if ran.returncode != 0:
        raise AssertionError(ran.stderr)
    return json.loads(ran.stdout)


def make_files(folder: Path, text: str) -> None:
    """The files that a configuration names as certs/NAME.pem, certs/NAME.key and secrets/NAME."""
    for name in re.findall(r"\bsecrets/([\w-]+)", text):
        (folder / "secrets").mkdir(exist_ok=True)
        (folder / "secrets" / name).write_text("0123456789abcdef" * 4)
    for name in re.findall(r"\bcerts/([\w-]+)\.pem", text):
        (folder / "certs").mkdir(exist_ok=True)
        pair = ["-keyout", folder / f"certs/{name}.key", "-out", folder / f"certs/{name}.pem"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=example", *pair],
                       capture_output=True, check=True, timeout=60)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    titles = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


class Documents(unittest.TestCase):
    def test_there_are_some(self) -> None:
        self.assertGreater(len(list(documents())), 5)

    def test_check_accepts_them(self) -> None:
        folder = tempfile.mkdtemp(prefix="portloom-docs-")
        self.addCleanup(shutil.rmtree, folder, True)
        for place, text in documents():
            with self.subTest(place):
                make_files(Path(folder), text)
                ran = subprocess.run([PORTLOOM, "check", "-"], input=text, capture_output=True, text=True, timeout=20, cwd=folder)
                said = ran.stdout + ran.stderr
                self.assertEqual(ran.returncode, 0, f"\n{place}\n{said}")
                self.assertNotIn("warning", said, place)

    def test_check_accepts_examples_of_several_files(self) -> None:
        folders = sorted((TOP / "examples").glob("*/portloom.yaml"))
        self.assertTrue(folders)
        for example in folders:
            with self.subTest(example.parent.name):
                ran = subprocess.run([PORTLOOM, "check", example], capture_output=True, text=True, timeout=20)
                self.assertEqual((ran.returncode, ran.stderr), (0, ""))

    @unittest.skipIf(yaml is None, "PyYAML is not installed")
    def test_another_parser_reads_them(self) -> None:
        for place, text in documents():
            with self.subTest(place):
                self.assertEqual(list(odd_keys(yaml.safe_load(text))), [], place)

    @unittest.skipIf(yaml is None, "PyYAML is not installed")
    def test_two_parsers_read_them_alike(self) -> None:
        texts = list(documents())
        values = read_by_node([text for _, text in texts])
        if values is None:
            self.skipTest("node, or its package yaml, is not installed")
        self.assertEqual(read_by_node(["a: on"]), [{"a": "on"}])  # what the two differ in is seen
        self.assertEqual(yaml.safe_load("a: on"), {"a": True})
        for (place, text), value in zip(texts, values, strict=True):
            with self.subTest(place):
                self.assertEqual(yaml.safe_load(text), value, place)


class Benchmarks(unittest.TestCase):
    def test_the_rig_says_what_it_measures(self) -> None:
        said = subprocess.run([sys.executable, str(TOP / "bench/run.py"), "--help"], capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("h1_64", said.stdout)

    def test_the_rig_derives_figures_within_a_round(self) -> None:
        sys.path.insert(0, str(TOP / "bench"))
        self.addCleanup(sys.path.remove, str(TOP / "bench"))
        from rig import report, scenarios

        costs = {"portloom-epoll": 40.0, "portloom-plain-epoll": 16.0, "node": 800.0, "node-http": 200.0}
        figures = {name: {"cpu_us_per_request": cost} for name, cost in costs.items()}
        report.derive(scenarios.SCENARIOS["compose_3"], figures)
        self.assertEqual(figures["portloom-epoll"],
                         {"cpu_us_per_request": 40, "ratio_node": 0.05, "ratio_node_http": 0.2, "ratio_three_plain": 40 / 48})
        self.assertEqual(figures["portloom-plain-epoll"], {"cpu_us_per_request": 16})
        figures = {name: {"p50_us": 3.0 * i, "p99_us": 5.0 * i} for i, name in enumerate(("direct", "portloom-io_uring"), 1)}
        report.derive(scenarios.SCENARIOS["compose_3_at_1000"], figures)
        self.assertEqual((figures["portloom-io_uring"]["added_p50_us"], figures["portloom-io_uring"]["added_p99_us"]), (3, 5))


class Links(unittest.TestCase):
    def test_they_lead_somewhere(self) -> None:
        for page in PAGES:
            for link in LINK.findall(FENCED.sub("", page.read_text())):
                if "://" in link or link.startswith("mailto:"):
                    continue
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                with self.subTest(f"{page.relative_to(TOP)}: {link}"):
                    self.assertTrue(target.exists(), "there is no such file")
                    if anchor and target.suffix == ".md":
                        self.assertIn(anchor, anchors(target))


if __name__ == "__main__":
    unittest.main()
