# tests/e2e/h2_client.py
#
# A client on top of other people's HTTP/2: the Python library h2 (Debian: python3-h2). Blocking, one connection, streams by hand.
import socket
import sys

from gateway import PATIENCE, Ended

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions
except ImportError:  # a Python that is not Debian's can use Debian's: the library is plain Python
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import h2.config
        import h2.connection
        import h2.events
        import h2.exceptions
    except ImportError:
        h2 = None


class Stream:
    def __init__(self):
        self.headers = []      # of the answer, pseudo-header fields too
        self.trailers = []
        self.body = b""
        self.ended = False     # END_STREAM came
        self.reset = None      # the code of a RST_STREAM

    @property
    def status(self):
        return int(dict(self.headers)[":status"])

    def field(self, name):
        return dict(self.headers).get(name)


class H2Client:
    """`strict`: the library checks what it is told to send."""

    def __init__(self, address, context=None, name="shop.test", strict=True, raw=None):
        self.socket = raw or socket.create_connection(address, PATIENCE)
        if context is not None:
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.scheme, self.name = "http" if context is None else "https", name
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=strict,
                                           normalize_outbound_headers=strict)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.streams = {}
        self.goaway = None   # the last one's error code
        self.flush()

    def close(self):
        self.socket.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def ask(self, method="GET", path="/", *fields, body=None, end=True, head=None):
        """Sends a request; returns the stream's number. `head`: all fields, in place of the usual ones."""
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Stream()
        head = head or [(":method", method), (":scheme", self.scheme), (":authority", self.name), (":path", path), *fields]
        self.h2.send_headers(number, head, end_stream=end and body is None)
        self.flush()
        if body is not None:
            self.send(number, body, end)
        return number

    def send(self, number, data, end=False):
        while data:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(data))
            if room == 0:
                self.turn()
                continue
            self.h2.send_data(number, data[:room])
            self.flush()
            data = data[room:]
        if end:
            self.h2.end_stream(number)
            self.flush()

    def turn(self):
        """Reads once; raises Ended at the end of the connection."""
        data = self.socket.recv(65536)
        if not data:
            raise Ended()
        for event in self.h2.receive_data(data):
            stream = self.streams.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = int(event.error_code)
            if stream is None:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                stream.headers = list(event.headers)
            elif isinstance(event, h2.events.TrailersReceived):
                stream.trailers = list(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                stream.body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                stream.ended = True
            elif isinstance(event, h2.events.StreamReset):
                stream.reset = int(event.error_code)
        self.flush()

    def wait(self, number, done=lambda stream: stream.ended or stream.reset is not None):
        """The stream, once it has ended or been reset (or what `done` says)."""
        while not done(self.streams[number]):
            self.turn()
        return self.streams[number]

    def get(self, path="/", *fields):
        return self.wait(self.ask("GET", path, *fields))
