# tests/e2e/chaos_test.py
#
# One short storm of `./dev chaos`, so that it does not rot; and that a storm whose expectation is not met says so.
import json
import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree

from gateway import PROGRAM, TOP, GatewayTest, unless_sanitized

CHAOS = os.path.join(TOP, "bench/chaos")


@unless_sanitized("too slow for its load")
class Chaos(GatewayTest):
    def chaos(self, *arguments):
        return subprocess.run([sys.executable, CHAOS, *arguments], capture_output=True, text=True, timeout=50, env={**os.environ, "PORTLOOM": PROGRAM})

    def test_instances_that_are_killed_cost_no_client_an_answer(self):
        folder = self.folder()
        rows, chart = os.path.join(folder, "rows.json"), os.path.join(folder, "chart.svg")
        done = self.chaos("kill", "--quick", "--json", rows, "--chart", chart)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("\x1b", done.stdout)
        with open(rows) as file:
            values = {row["metric"]: row["median"] for row in json.load(file) if row["scenario"] == "chaos_kill"}
        self.assertEqual(values["failed"], 0)
        self.assertEqual(values["ok"], values["requests"])
        self.assertGreater(values["requests"], 1000)
        self.assertEqual(xml.etree.ElementTree.parse(chart).getroot().tag, "{http://www.w3.org/2000/svg}svg")

    def test_an_expectation_that_is_not_met_is_the_exit_status(self):
        done = self.chaos("errors", "--quick", "--attempts", "1")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("NOT MET  0 failed where a healthy endpoint existed", done.stdout)

    def test_what_there_is_not(self):
        done = self.chaos("rain")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no rain; there are kill, stop,", done.stderr)


if __name__ == "__main__":
    unittest.main()
