# tests/e2e/telemetry_test.py
#
# What the gateway tells about its requests, on the wire: traces that go on and begin, what is sampled and hidden, a log that nobody
# reads, and a Prometheus that we did not write.
import json
import os
import re
import socket
import subprocess
import unittest
import urllib.parse
import urllib.request

from gateway import PATIENCE, GatewayTest, free_port, needs, ok, until

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Telemetry(GatewayTest):
    def start_gateway(self, telemetry="", behind=None, **options):
        self.behind = behind or self.origin(ok("behind"))
        return self.gateway(self.configuration(telemetry), **options)

    def configuration(self, telemetry, route="/"):
        return f"""
            version: 1
            listeners: {{edge: {{address: "127.0.0.1:0"}}}}
            admin: {{address: "127.0.0.1:0"}}
            services: {{origin: {{endpoints: ["{self.behind.address}"]}}}}
            routes: [{{name: all, match: {{path_prefix: {route}}}, to: origin}}]
            telemetry: {{{telemetry}}}
        """

    def metrics(self, gateway):
        return self.client(gateway, "admin").get("/metrics").body.decode()

    def dropped(self, gateway):
        return int(re.search(r"^portloom_log_dropped_total (\d+)", self.metrics(gateway), re.M).group(1))


class Traces(Telemetry):
    def test_a_trace_goes_on(self):
        gateway = self.start_gateway()
        parent = f"00-{TRACE}-b7ad6b7169203331-01"
        self.assertEqual(self.client(gateway).get("/", "traceparent: " + parent, "tracestate: a=1", "tracestate: b=2").status, 200)
        request = self.behind.requests[0]
        self.assertEqual(request.all("traceparent"), [parent])
        self.assertEqual(", ".join(request.all("tracestate")), "a=1, b=2")
        self.assertEqual(gateway.records(1)[0]["trace_id"], TRACE)

    def test_a_trace_begins_where_there_is_none(self):
        gateway = self.start_gateway()
        client = self.client(gateway)
        for field in ("X-Nothing: 1", f"traceparent: 00-{TRACE}-0000000000000000-01"):
            self.assertEqual(client.get("/", field, "tracestate: orphan=1").status, 200)
        records = gateway.records(2)
        for request, record in zip(self.behind.requests, records):
            self.assertRegex(request.field("traceparent"), f"^00-{record['trace_id']}-[0-9a-f]{{16}}-01$")
            self.assertEqual(request.all("tracestate"), [])
            self.assertNotEqual(record["trace_id"], TRACE)
        self.assertNotEqual(records[0]["trace_id"], records[1]["trace_id"])

    def test_the_share_that_is_to_be_recorded(self):
        gateway = self.start_gateway("traces: {sample: 0%}")
        self.assertEqual(self.client(gateway).get("/").status, 200)
        self.assertRegex(self.behind.requests[0].field("traceparent"), "-00$")


class Log(Telemetry):
    def test_sampling_and_hiding_change_with_a_reload(self):
        gateway = self.start_gateway("access_log: {sample: {ok: 0%}, redact: [query.pin]}")
        client = self.client(gateway)
        self.assertEqual(client.get("/well?pin=1234").status, 200)
        client.ask("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n")
        records = gateway.records(1)
        self.assertEqual([record["status"] for record in records], [400])
        gateway.write(self.configuration("access_log: {redact: [query.pin]}"))
        gateway.reload()
        self.assertEqual(self.client(gateway).get("/well?x=1&p%69n=1234").status, 200)
        self.assertEqual(gateway.records(2)[1]["path"], "/well?x=1&p%69n=***")
        self.assertEqual(self.behind.requests[-1].target, "/well?x=1&p%69n=1234")  # only the log does not see it

    @unittest.skipUnless(os.access("/dev/full", os.W_OK), "there is no /dev/full")
    def test_a_full_disk_costs_lines_and_no_request(self):
        gateway = self.start_gateway("access_log: {to: /dev/full}")
        client = self.client(gateway)
        for _ in range(50):
            self.assertEqual(client.get("/").status, 200)
        until(lambda: self.dropped(gateway) == 50)
        self.assertTrue(gateway.said("the access log cannot be written"))

    def test_a_reader_that_is_stuck_costs_lines_and_no_request(self):
        path = os.path.join(self.folder(), "pipe")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        gateway = self.start_gateway(f"access_log: {{to: {path}}}", workers=1)
        client = self.client(gateway)
        long = "/" + "x" * 7000
        for _ in range(250):  # the pipe holds 64 KiB, the worker's ring 1 MiB
            self.assertEqual(client.get(long).status, 200)
        self.assertGreater(self.dropped(gateway), 0)
        gateway.process.terminate()
        self.assertEqual(gateway.wait(), 0)


class Labels(Telemetry):
    def test_series_of_deleted_routes_end_with_a_reload(self):
        gateway = self.start_gateway()
        self.assertEqual(self.client(gateway).get("/").status, 200)
        until(lambda: 'route="all"' in self.metrics(gateway))
        gateway.write(self.configuration("").replace("name: all", "name: other_one"))
        gateway.reload()
        self.assertEqual(self.client(gateway).get("/").status, 200)
        until(lambda: 'route="other_one"' in self.metrics(gateway))
        self.assertNotIn('route="all"', self.metrics(gateway))


@needs("prometheus")
class Prometheus(Telemetry):
    def ask_prometheus(self, port, query):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    def test_scrapes_the_metrics(self):
        gateway = self.start_gateway()
        for _ in range(7):
            self.assertEqual(self.client(gateway).get("/").status, 200)
        until(lambda: "portloom_upstream_requests_total{" in self.metrics(gateway))
        folder, port = self.folder(), free_port()
        with open(os.path.join(folder, "prometheus.yml"), "w", encoding="ascii") as file:
            json.dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [
                {"job_name": "portloom", "static_configs": [{"targets": ["%s:%d" % gateway.addresses["admin"]]}]}]}, file)
        self.start("prometheus", "--config.file=" + os.path.join(folder, "prometheus.yml"), "--storage.tsdb.path=" + folder,
                   f"--web.listen-address=127.0.0.1:{port}", "--log.level=error")
        until(lambda: self.ask_prometheus(port, "up == 1"), seconds=30, pause=0.3)
        [total] = self.ask_prometheus(port, "portloom_requests_total")
        self.assertEqual(total["value"][1], "7")
        self.assertEqual({name: total["metric"][name] for name in ("listener", "route", "service", "status")},
                         {"listener": "edge", "route": "all", "service": "origin", "status": "200"})
        [quantile] = self.ask_prometheus(port, "histogram_quantile(1, portloom_request_duration_seconds_bucket)")
        self.assertGreater(float(quantile["value"][1]), 0)
        self.assertEqual(self.ask_prometheus(port, "portloom_config_last_reload_ok")[0]["value"][1], "1")


if __name__ == "__main__":
    unittest.main()
