# tests/e2e/registering.py
#
# Instances that `portloom register` starts.
import os
import signal
import subprocess
import sys

from gateway import PROGRAM, GatewayTest

# An instance as a team would write it: says its name, ends with the signal's number where it is told to.
INSTANCE = """
import http.server, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(sys.argv[2])))
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
    def log_message(self, *ignored):
        pass
def end(number, frame):
    print("signal", number, flush=True)
    if number != signal.SIGUSR1:
        sys.exit(number)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, end)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


class RegisteringTest(GatewayTest):
    def register_instance(self, port, name, *options, **variables):
        """`portloom register orders` with an instance that says that name; what the instance prints is its standard output."""
        command = [PROGRAM, "register", "orders", "--port", str(port), "--ttl", "2s", "--drain", "200ms", *options, "--", sys.executable, "-c",
                   INSTANCE, str(port), name]
        return self.group(*command, stdout=subprocess.PIPE, env={**os.environ, **variables})

    def group(self, *command, **options):
        """Another program with all that it starts: a command goes on when `portloom register` is killed."""
        process = self.start(*command, start_new_session=True, stderr=subprocess.DEVNULL, **options)

        def end():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.addCleanup(end)
        return process
