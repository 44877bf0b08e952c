"""What a setup means: the parts that differ in the peers' templates, the certificates, and how to see that a subject is ready.

A setup is a row of SETUPS. Its texts stand in for @LISTEN@, @CODEC@ and the like in peers/*.in; `own_templates` says that the
subject's template is peers/NAME.SETUP.EXT.in instead, because more differs than the door.
"""

import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Setup:
    tls: bool = False
    h2: bool = False  # what clients speak; the origin speaks HTTP/1.1
    grpc: bool = False  # clients and origin speak HTTP/2
    own_templates: bool = False
    header: str = ""  # a header line that every request carries
    texts: dict = field(default_factory=dict)
    path: str = "/1k"  # what shows that a subject is up
    body_bytes: int = 1024
    parts: int = 1  # how many of them one answer has
    part: str = ""  # where answers are composed: one of the parts, for subjects that compose nothing; 1 kB

    def of_part(self):
        return replace(self, path=self.part, body_bytes=1024)

    @property
    def tool(self):
        """The load generator that speaks it."""
        return "bench_load_h2" if self.h2 else "bench_load"

    @property
    def probe(self):
        """Options of the load generator for a few requests that show whether a subject is up."""
        options = (["--tls", "1"] if self.tls else []) + (["--field", self.header] if self.header else [])
        return options + ["--path", self.path, "--body-bytes", str(self.body_bytes)] + (["--grpc", "1"] if self.grpc else [])


_NGINX_TLS = ("ssl_certificate @CERTIFICATES@/bench.pem; ssl_certificate_key @CERTIFICATES@/bench.key; ssl_protocols TLSv1.2 TLSv1.3; "
              "ssl_session_tickets on;")
_ENVOY_TLS = """transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: [@ALPN@]
                tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}
                tls_certificates:
                  - {certificate_chain: {filename: @CERTIFICATES@/bench.pem}, private_key: {filename: @CERTIFICATES@/bench.key}}"""

_PLAIN = {"NGINX_LISTEN": "", "NGINX_TLS": "", "HAPROXY_BIND": "", "ENVOY_CODEC": "HTTP1", "ENVOY_TLS": "",
          "PORTLOOM_TLS": "", "ALPN": ""}
_TLS = {"PORTLOOM_TLS": ", tls: {certificates: [{cert: @CERTIFICATES@/bench.pem, key: {file: @CERTIFICATES@/bench.key}}]}",
        "NGINX_TLS": _NGINX_TLS, "ENVOY_TLS": _ENVOY_TLS}


def _routes(count):
    """So many routes under /api/v1, beside the one for /1k."""
    return "".join(f'  - {{match: {{path: "/api/v1/area{i % 100}/item{i}/{{id}}"}}, to: {{service: origin, path: /1k}}}}\n' for i in range(count - 1))


# Streams in flight are 32; what a connection may have open is left at each one's default, which is 100 or more.
SETUPS = {
    "plain": Setup(texts=_PLAIN),
    "tls": Setup(tls=True, texts=_PLAIN | _TLS | {"NGINX_LISTEN": "ssl", "HAPROXY_BIND": "ssl crt @CERTIFICATES@/bench.both.pem alpn http/1.1",
                                                  "ALPN": "http/1.1"}),
    "h2": Setup(h2=True, texts=_PLAIN | {"NGINX_LISTEN": "http2", "HAPROXY_BIND": "proto h2", "ENVOY_CODEC": "HTTP2"}),
    "tls_h2": Setup(tls=True, h2=True, texts=_PLAIN | _TLS | {
        "NGINX_LISTEN": "ssl http2", "HAPROXY_BIND": "ssl crt @CERTIFICATES@/bench.both.pem alpn h2,http/1.1", "ENVOY_CODEC": "HTTP2",
        "ALPN": "h2, http/1.1"}),
    "policies": Setup(own_templates=True, header="x-api-key: secret", texts=_PLAIN),
    "grpc": Setup(h2=True, grpc=True, own_templates=True, texts=_PLAIN, path="/bench.Bench/Unary", body_bytes=1029),
    "compose": Setup(own_templates=True, texts=_PLAIN, path="/home", body_bytes=3110, part="/j1k", parts=3),
    **{f"routes_{count}": Setup(own_templates=True, texts=_PLAIN | {"ROUTES": _routes(count)}) for count in (10, 1_000, 100_000)},
}


def make_certificate(directory):
    """An ECDSA P-256 certificate of this run, for every subject the same."""
    directory = Path(directory)
    certificate, key = directory / "bench.pem", directory / "bench.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                    "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    (directory / "bench.both.pem").write_text(certificate.read_text() + key.read_text())
