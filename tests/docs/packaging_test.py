"""What packaging/ holds fits the program: metrics that alerts and dashboard ask for exist, alerts fire where they should, systemd
takes the unit, and the manual page and completions are those that the program prints.

By hand: PORTLOOM=build/release/portloom python3 tests/docs/packaging_test.py; UPDATE=1 rewrites what is made.
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

TOP = Path(__file__).resolve().parents[2]
PACKAGING = TOP / "packaging"
os.environ.setdefault("PORTLOOM", str(TOP / "build/release/portloom"))
PORTLOOM = os.path.abspath(os.environ["PORTLOOM"])
sys.path.insert(0, str(TOP / "tests/e2e"))

from gateway import GatewayTest, needs  # noqa: E402

MADE = {"man/portloom.1": ["manual"], "completion/portloom.bash": ["completion", "bash"], "completion/_portloom": ["completion", "zsh"]}
FAMILY = re.compile(r"\b((?:portloom|process)_[a-z_]+[a-z])\b")


def run(*command: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False, **options)


def asked_for(text: str) -> set[str]:
    """Metric families that an expression names; a histogram's parts count as the histogram."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in FAMILY.findall(text)}


class Metrics(GatewayTest):
    def test_alerts_and_dashboard_ask_for_metrics_that_exist(self):
        gateway = self.gateway("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0"}}
            admin: {address: "127.0.0.1:0"}
            routes: [{match: {path_prefix: /}, to: {response: {status: 200}}}]
        """, workers=1)
        page = self.client(gateway, "admin").get("/metrics").body.decode()
        families = set(re.findall(r"^# TYPE (\S+)", page, re.M))
        board = json.loads((PACKAGING / "grafana/portloom.json").read_text())
        expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
        expressions += [variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
        rules = (PACKAGING / "prometheus/portloom.rules.yaml").read_text()
        expressions += re.findall(r"expr: (?:>-\n)?((?:.+\n)(?: {10}.+\n)*)", rules)
        asked = set().union(*map(asked_for, expressions))
        self.assertGreater(len(asked), 10)
        self.assertEqual(asked - families, set())

    def test_every_metric_of_ours_is_on_the_dashboard_or_behind_an_alert(self):
        gateway = self.gateway("""
            version: 1
            listeners: {edge: {address: "127.0.0.1:0"}}
            admin: {address: "127.0.0.1:0"}
            routes: [{match: {path_prefix: /}, to: {response: {status: 200}}}]
        """, workers=1)
        page = self.client(gateway, "admin").get("/metrics").body.decode()
        families = set(re.findall(r"^# TYPE (portloom_\S+)", page, re.M))
        text = (PACKAGING / "grafana/portloom.json").read_text() + (PACKAGING / "prometheus/portloom.rules.yaml").read_text()
        text += (TOP / "docs/telemetry.md").read_text()
        self.assertEqual(families - asked_for(text), set())


class Alerts(unittest.TestCase):
    @needs("promtool")
    def test_each_fires_where_it_should(self):
        done = run("promtool", "test", "rules", PACKAGING / "prometheus/portloom.rules.test.yaml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @needs("promtool")
    def test_all_are_tested(self):
        name = re.compile(r"alert(?:name)?: (Portloom\w+)|alertname=\"(Portloom\w+)\"")
        rules, tests = ({first or second for first, second in name.findall((PACKAGING / "prometheus" / file).read_text())}
                        for file in ("portloom.rules.yaml", "portloom.rules.test.yaml"))
        self.assertEqual(rules, tests)


class Unit(unittest.TestCase):
    @needs("systemd-analyze")
    def test_systemd_takes_it(self):
        with tempfile.TemporaryDirectory() as folder:
            unit = Path(folder) / "portloom.service"
            unit.write_text((PACKAGING / "systemd/portloom.service").read_text().replace("/usr/bin/portloom", PORTLOOM))
            done = run("systemd-analyze", "verify", "--man=no", unit)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    @needs("systemd-analyze")
    def test_it_is_hardened(self):
        done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", PACKAGING / "systemd/portloom.service")
        self.assertEqual(done.returncode, 0, done.stdout)


class Made(unittest.TestCase):
    def test_is_what_the_program_prints(self):
        for file, command in MADE.items():
            printed = run(PORTLOOM, *command).stdout
            self.assertGreater(len(printed), 500)
            if os.environ.get("UPDATE"):
                (PACKAGING / file).write_text(printed)
            self.assertEqual((PACKAGING / file).read_text(), printed, f"run again with UPDATE=1: {file}")

    @needs("groff")
    def test_the_manual_page_is_good_troff(self):
        done = run("groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-z", PACKAGING / "man/portloom.1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def complete(self, *words: str) -> list[str]:
        script = f'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _portloom; printf "%s\\n" "${{COMPREPLY[@]}}"'
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "shop.yaml").touch()
            done = run("bash", "-c", script, "bash", PACKAGING / "completion/portloom.bash", *words, cwd=folder)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    @needs("bash")
    def test_bash_completes(self):
        self.assertIn("check", self.complete("portloom", ""))
        self.assertEqual(self.complete("portloom", "sch"), ["schema"])
        self.assertEqual(self.complete("portloom", "run", "--io", ""), ["auto", "io_uring", "epoll"])
        self.assertEqual(self.complete("portloom", "run", "--io", "e"), ["epoll"])
        self.assertIn("--listen", self.complete("portloom", "run", "--l"))
        self.assertEqual(self.complete("portloom", "check", "sh"), ["shop.yaml"])
        self.assertEqual(self.complete("portloom", "key", "n"), ["new"])
        self.assertEqual(self.complete("portloom", "completion", "z"), ["zsh"])

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_reads_it(self):
        done = run("zsh", "-n", PACKAGING / "completion/_portloom")
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
