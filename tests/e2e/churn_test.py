# tests/e2e/churn_test.py
#
# Full load over HTTP/1.1 and HTTP/2 while the configuration is loaded anew every second and an instance of the service is killed and
# started again, over and over: no request fails that a healthy instance could serve. PORTLOOM_CHURN_SECONDS=60 for the long form.
import os
import re
import subprocess
import time
import unittest

from gateway import GatewayTest, free_port, needs, reachable

SECONDS = int(os.environ.get("PORTLOOM_CHURN_SECONDS", "5"))

NGINX = """\
daemon off; master_process off; pid {folder}/{port}.pid; error_log /dev/null crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 "from {port}\\n"; }} }}
}}
"""


class Churn(GatewayTest):
    def instance(self, port):
        path = os.path.join(self.place, f"{port}.conf")
        with open(path, "w") as file:
            file.write(NGINX.format(folder=self.place, port=port))
        process = self.start("nginx", "-c", path, "-e", "/dev/null")
        self.assertTrue(reachable(port))
        return process

    def configuration(self, turn):
        return f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            services: {{shop: {{endpoints: ["127.0.0.1:{self.ports[0]}", "127.0.0.1:{self.ports[1]}"]}}}}
            routes:
              - {{match: {{path: /turn-{turn}}}, to: {{response: {{status: 200}}}}}}
              - {{match: {{path_prefix: /}}, to: shop}}
            telemetry: {{access_log: {{to: stdout, sample: {{ok: 0%, failed: 100%}}}}}}
        """

    def load(self, gateway, *arguments):
        return subprocess.Popen(["h2load", "-D", str(SECONDS), "-t", "1", *arguments, gateway.url + "/"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    @needs("nginx")
    @needs("h2load")
    def test_nothing_fails_under_reloads_and_dying_instances(self):
        self.place = self.folder()
        self.ports = [free_port(), free_port()]
        dying, _ = [self.instance(port) for port in self.ports]
        gateway = self.gateway(self.configuration(0))
        loads = {"HTTP/1.1": self.load(gateway, "--h1", "-c", "32"), "HTTP/2": self.load(gateway, "-c", "4", "-m", "16")}
        faults = []
        begun, turn, kills = time.monotonic(), 0, 0
        while (left := begun + SECONDS - time.monotonic()) > 0.5:
            turn += 1
            gateway.write(self.configuration(turn))
            self.assertTrue(gateway.reload())
            if turn % 2 == 0:
                dying = self.instance(self.ports[0])
            else:
                dying.kill()
                dying.wait()
                kills += 1
            time.sleep(max(0, min(left - 0.5, begun + turn - time.monotonic())))
        for name, load in loads.items():
            report, _ = load.communicate(timeout=30)
            counts = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", report)
            statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", report)
            self.assertIsNotNone(counts, report)
            print(f"{gateway.engine} {name}: {SECONDS} s, {turn} reloads, {kills} kills: {counts[0]}; {statuses[0]}")
            self.assertGreater(int(counts[3]), 100 * SECONDS, report)
            faults.append((name, int(counts[4]), int(counts[5]), *(int(statuses[i]) for i in (2, 3, 4))))
        for fault in faults:  # failed, errored, 3xx, 4xx, 5xx
            self.assertEqual(fault[1:], (0, 0, 0, 0, 0), (fault, gateway.records()[:10]))
        self.assertTrue(all("was not loaded" not in line for line in gateway.lines))


if __name__ == "__main__":
    unittest.main()
