# tests/e2e/tls_test.py
#
# TLS at the door as other people's programs speak it: curl, Python's ssl, openssl s_client. Certificates are made by the
# openssl command as the tests run; no key lies in the tree.
import os
import socket
import ssl
import subprocess
import threading
import time
import unittest

from authority import Authority, openssl
from gateway import PATIENCE, Client, GatewayTest, needs, ok, run, until


@needs("openssl")
class Door(GatewayTest):
    def setUp(self):
        self.authority = Authority(self.folder())
        self.behind = self.origin(ok("behind"))

    def at(self, name):
        return self.authority.path(name)

    def pair(self, name, more=""):
        return f"{{cert: {self.at(name + '.pem')}, key: {{file: {self.at(name + '.key')}}}{more}}}"

    def start_gateway(self, *pairs, more=""):
        return self.gateway(f"""
            version: 1
            listeners:
              edge:
                address: "127.0.0.1:0"
                tls: {{certificates: [{', '.join(pairs)}]{more}}}
            admin: {{address: "127.0.0.1:0"}}
            services: {{origin: {{endpoints: ["{self.behind.address}"]}}}}
            routes: [{{match: {{path_prefix: /}}, to: origin}}]
        """)

    def port(self, gateway):
        return gateway.addresses["edge"][1]

    def connect(self, gateway, name, context=None, **options):
        raw = socket.create_connection(("127.0.0.1", self.port(gateway)), PATIENCE)
        self.addCleanup(raw.close)
        secured = (context or self.authority.context()).wrap_socket(raw, server_hostname=name, **options)
        self.addCleanup(secured.close)
        return secured

    def ask(self, connection, host="a.test"):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
        return int(answer.split(b" ")[1])


class Certificates(Door):
    def test_name_chooses_exactly_then_by_wildcard_else_the_first(self):
        for name, names in (("first", ("first.test",)), ("a", ("a.test",)), ("wild", ("*.a.test",))):
            self.authority.issue(name, *names)
        gateway = self.start_gateway(self.pair("first"), self.pair("a"), self.pair("wild"))
        for name, expected in (("a.test", "a"), ("b.a.test", "wild"), ("first.test", "first")):
            subject = dict(pair[0] for pair in self.connect(gateway, name).getpeercert()["subject"])
            self.assertEqual(subject["commonName"], expected)
        anyone = self.authority.context()
        anyone.check_hostname = False
        for name in ("c.b.a.test", "unknown.test"):
            subject = dict(pair[0] for pair in self.connect(gateway, name, anyone).getpeercert()["subject"])
            self.assertEqual(subject["commonName"], "first")

    def test_rsa_and_ecdsa_serve_one_name(self):
        self.authority.issue("ec", "a.test")
        self.authority.issue("rsa", "a.test", rsa=True)
        gateway = self.start_gateway(self.pair("ec"), self.pair("rsa"))
        for suite, expected in (("ECDHE-RSA-AES128-GCM-SHA256", "rsa"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "ec")):
            context = self.authority.context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(suite)
            subject = dict(pair[0] for pair in self.connect(gateway, "a.test", context).getpeercert()["subject"])
            self.assertEqual(subject["commonName"], expected)

    @needs("curl")
    def test_curl_and_what_the_origin_is_told(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        port = self.port(gateway)
        for version in ("1.2", "1.3"):
            out = subprocess.run(["curl", "-sS", "--cacert", self.at("ca.pem"), "--resolve", f"a.test:{port}:127.0.0.1", "--tls-max", version,
                                  f"https://a.test:{port}/x", f"https://a.test:{port}/y"], capture_output=True, text=True, timeout=PATIENCE,
                                 check=False)
            self.assertEqual((out.returncode, out.stdout), (0, "behindbehind"), out.stderr)
        self.assertEqual(self.behind.requests[-1].field("x-forwarded-proto"), "https")

    def test_plain_http_is_told_so(self):
        self.authority.issue("a", "a.test")
        client = self.client(self.start_gateway(self.pair("a")))
        reply = client.get("/")
        self.assert_problem(reply, 400, close=True)
        self.assertIn("TLS", reply.json()["detail"])

    def test_min_version_and_old_protocols(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"), more=', min_version: "1.3"')
        old = self.authority.context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.assertRaises(ssl.SSLError):
            self.connect(gateway, "a.test", old)
        self.assertEqual(self.connect(gateway, "a.test").version(), "TLSv1.3")

    def test_sessions_are_resumed_on_any_worker(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.authority.context()
            context.maximum_version = version
            first = self.connect(gateway, "a.test", context)
            self.assertEqual(self.ask(first), 200)
            for _ in range(6):
                again = self.connect(gateway, "a.test", context, session=first.session)
                self.assertTrue(again.session_reused)
                self.assertEqual(self.ask(again), 200)

    def test_a_resumed_session_brings_the_next_ticket(self):  # RFC 8446 C.4: a client uses a ticket once
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        ticket = self.at("ticket.pem")

        def tickets(*more):
            out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port(gateway)}", "-CAfile", self.at("ca.pem"),
                                  "-msg", "-ign_eof", *more], input="GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
                                 capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False).stdout
            return out.count("NewSessionTicket"), "\nReused," in out

        count, reused = tickets("-sess_out", ticket)
        self.assertGreater(count, 0)
        self.assertFalse(reused)
        count, reused = tickets("-sess_in", ticket)
        self.assertGreater(count, 0)
        self.assertTrue(reused)

    def test_renegotiation_is_refused(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port(gateway)}", "-tls1_2", "-CAfile", self.at("ca.pem")],
                             input="R\n", capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertIn("no renegotiation", out.stderr)


class Staples(Door):
    def staple(self):
        """A good OCSP response about a.pem, as `openssl ocsp` writes it."""
        serial = openssl("x509", "-noout", "-serial", "-in", self.at("a.pem")).stdout.decode().strip().split("=")[1]
        with open(self.at("index"), "w", encoding="ascii") as file:
            file.write(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=a\n")
        openssl("ocsp", "-issuer", self.at("ca.pem"), "-cert", self.at("a.pem"), "-reqout", self.at("request"))
        openssl("ocsp", "-index", self.at("index"), "-CA", self.at("ca.pem"), "-rsigner", self.at("ca.pem"), "-rkey", self.at("ca.key"),
                "-reqin", self.at("request"), "-respout", self.at("a.der"), "-ndays", "7")

    def said_by_s_client(self, gateway):
        return subprocess.run(["openssl", "s_client", "-status", "-connect", f"127.0.0.1:{self.port(gateway)}", "-servername", "a.test",
                               "-CAfile", self.at("ca.pem")], input="", capture_output=True, text=True, timeout=PATIENCE, check=False).stdout

    def test_response_is_stapled_while_it_fits(self):
        self.authority.issue("a", "a.test")
        self.staple()
        gateway = self.start_gateway(self.pair("a", f", ocsp: {self.at('a.der')}"))
        said = self.said_by_s_client(gateway)
        self.assertIn("OCSP Response Status: successful", said)
        self.assertIn("Cert Status: good", said)
        self.authority.issue("a", "a.test")  # another certificate: the response is about the old one
        self.assertTrue(gateway.reload())
        self.assertTrue(gateway.said("is not used: it is about another certificate"))
        self.assertIn("OCSP response: no response sent", self.said_by_s_client(gateway))


class Failures(Door):
    def fail(self, gateway, count=1):
        for _ in range(count):
            with self.assertRaises(ssl.SSLError):
                self.connect(gateway, "a.test", ssl.create_default_context())

    def test_a_failed_handshake_has_a_line_with_its_reason(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        self.fail(gateway)
        self.assertTrue(gateway.said("tls handshake failed listener=edge client=127.0.0.1 reason="))
        line = next(line for line in gateway.lines if "handshake failed" in line)
        self.assertIn("unknown ca", line)
        self.assertIn("a.test", line)

    def test_a_flood_of_them_does_not_flood_the_log(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        began = time.monotonic()
        self.fail(gateway, 100)
        seconds = time.monotonic() - began
        self.assertEqual(self.ask(self.connect(gateway, "a.test")), 200)
        lines = sum("handshake failed" in line for line in gateway.lines)
        self.assertLessEqual(lines, 2 * 5 * (int(seconds) + 2))  # two workers, five a second
        self.assertGreater(lines, 0)

    def test_garbage_and_silence(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        for garbage in (b"\x16\x03\x01\x00\x05hello", b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70000):
            client = self.client(gateway)
            client.send(garbage)
            client.rest()
        self.assertEqual(self.ask(self.connect(gateway, "a.test")), 200)


class Clients(Door):
    def test_required_and_optional(self):
        self.authority.issue("a", "a.test")
        self.authority.issue("caller")
        strangers = Authority(self.folder(), "strangers")
        strangers.issue("stranger")
        for demand, without in (("required", False), ("optional", True)):
            gateway = self.start_gateway(self.pair("a"), more=f", client_ca: {self.at('ca.pem')}, client_certificate: {demand}")
            self.assertEqual(self.ask(self.connect(gateway, "a.test", self.authority.context("caller"))), 200)
            try:
                status = self.ask(self.connect(gateway, "a.test"))
            except (OSError, IndexError):
                status = None
            self.assertEqual(status == 200, without)
            stranger = self.authority.context()
            stranger.load_cert_chain(strangers.path("stranger.pem"), strangers.path("stranger.key"))
            with self.assertRaises((OSError, IndexError)):
                self.ask(self.connect(gateway, "a.test", stranger))

    def test_a_name_that_asks_for_more_is_not_reached_through_another(self):
        self.authority.issue("open", "open.test")
        self.authority.issue("closed", "closed.test")
        gateway = self.start_gateway(self.pair("open"), self.pair("closed", f", client_ca: {self.at('ca.pem')}"))
        self.assertEqual(self.ask(self.connect(gateway, "open.test"), "open.test"), 200)
        self.assertEqual(self.ask(self.connect(gateway, "open.test"), "closed.test"), 421)
        self.authority.issue("caller")
        self.assertEqual(self.ask(self.connect(gateway, "closed.test", self.authority.context("caller")), "closed.test"), 200)


class Change(Door):
    def serial(self, gateway):
        return self.connect(gateway, "a.test").getpeercert()["serialNumber"]

    def test_a_new_pair_is_used_and_no_handshake_is_lost(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        before = self.serial(gateway)
        over, failures, count = threading.Event(), [], [0]

        def knock():
            while not over.is_set():
                try:
                    if self.ask(self.connect(gateway, "a.test")) != 200:
                        failures.append("not 200")
                    count[0] += 1
                except (OSError, IndexError) as error:
                    failures.append(error)

        knocking = threading.Thread(target=knock)
        knocking.start()
        self.authority.issue("a", "a.test")
        changed = until(lambda: self.serial(gateway) != before)
        over.set()
        knocking.join()
        self.assertTrue(changed)
        self.assertEqual(failures, [])
        self.assertGreater(count[0], 0)

    def test_a_broken_pair_keeps_the_old_one_and_is_named(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        before = self.serial(gateway)
        self.authority.issue("other")
        os.replace(self.at("other.key"), self.at("a.key"))
        self.assertTrue(gateway.reload())
        self.assertTrue(gateway.said("does not belong to the certificate"))
        self.assertEqual(self.serial(gateway), before)
        for name in ("a.pem", "a.key"):
            os.remove(self.at(name))
            self.assertTrue(gateway.reload())
            self.assertTrue(gateway.said("cannot read " + self.at(name)))
            self.assertEqual(self.serial(gateway), before)

    def test_an_expired_one_does_not_replace_a_valid_one(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        before = self.serial(gateway)
        self.authority.issue("a", "a.test", days=0)
        self.assertTrue(until(lambda: gateway.reload() and gateway.said(f"the certificate in {self.at('a.pem')} has expired")))
        self.assertEqual(self.serial(gateway), before)
        self.authority.issue("a", "a.test")
        self.assertTrue(gateway.reload())
        self.assertTrue(until(lambda: self.serial(gateway) != before))

    def test_an_expired_one_serves_where_there_is_no_other(self):
        self.authority.issue("a", "a.test", days=0)
        time.sleep(1.1)  # the last second of its life
        gateway = self.start_gateway(self.pair("a"))
        self.assertTrue(gateway.said("has expired"))
        context = self.authority.context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.assertEqual(self.ask(self.connect(gateway, "a.test", context)), 200)

    def test_tickets_outlast_a_reload(self):
        self.authority.issue("a", "a.test")
        gateway = self.start_gateway(self.pair("a"))
        context = self.authority.context()
        first = self.connect(gateway, "a.test", context)
        self.assertEqual(self.ask(first), 200)
        before = self.serial(gateway)
        self.authority.issue("a", "a.test")
        self.assertTrue(gateway.reload())
        self.assertTrue(until(lambda: self.serial(gateway) != before))
        again = self.connect(gateway, "a.test", context, session=first.session)
        self.assertTrue(again.session_reused)
        self.assertEqual(self.ask(again), 200)


class Check(Door):
    def test_names_the_key_of_the_file_that_is_wrong(self):
        self.authority.issue("a", "a.test")
        self.authority.issue("b", "b.test")
        with open(self.at("junk.pem"), "w", encoding="ascii") as file:
            file.write("junk\n")
        for cert, key, column, text in (("none.pem", "a.key", 15, "cannot read"), ("junk.pem", "a.key", 15, "no PEM certificate"),
                                        ("a.pem", "b.key", 0, "does not belong"), ("a.pem", "junk.pem", 0, "no PEM private key")):
            document = self.at("shop.yaml")
            with open(document, "w", encoding="ascii") as file:
                file.write("version: 1\nlisteners:\n  edge:\n    port: 0\n    tls:\n      certificates:\n"
                           f"        - cert: {cert}\n          key: {{file: {key}}}\nroutes: [{{to: {{response: {{status: 200}}}}}}]\n")
            out = run("check", document)
            self.assertEqual(out.returncode, 1, out.stderr)
            line = 7 if column else 8
            self.assertIn(f"{document}:{line}:", out.stderr)
            self.assertIn(text, out.stderr)
            self.assertNotIn("BEGIN", out.stderr + out.stdout)


if __name__ == "__main__":
    unittest.main()
