# tests/e2e/grpc_peer.py
#
# Debian's grpcio as both ends of gRPC, for grpc_test.py; run by /usr/bin/python3. Messages are bytes, so that no schema is needed.
# `serve`: says its port. `call HOST:PORT`: makes every kind of call and says, as JSON, what came of each.
import json
import sys
import threading
import time
from concurrent import futures

import grpc

CANCELLED = threading.Event()


def echo(request, context):
    context.send_initial_metadata((("x-initial-bin", b"\x00\x01\x02"),))
    told = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-trailing-bin", told.get("x-sent-bin", b"")), ("x-timeout", str(context.time_remaining() is not None))))
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: 50% \u00e4")


def collect(requests, context):
    return str(sum(len(each) for each in requests)).encode()


def count(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def chat(requests, context):
    for each in requests:
        yield each


def hang(request, context):
    context.add_callback(CANCELLED.set)
    while context.is_active():
        time.sleep(0.01)
    return b""


def cancelled(request, context):
    return b"yes" if CANCELLED.wait(5) else b"no"


def serve():
    kinds = {"Echo": grpc.unary_unary_rpc_method_handler(echo), "Fail": grpc.unary_unary_rpc_method_handler(fail),
             "Collect": grpc.stream_unary_rpc_method_handler(collect), "Count": grpc.unary_stream_rpc_method_handler(count),
             "Chat": grpc.stream_stream_rpc_method_handler(chat), "Hang": grpc.unary_unary_rpc_method_handler(hang),
             "Cancelled": grpc.unary_unary_rpc_method_handler(cancelled)}
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", kinds),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def status_of(call):
    try:
        call()
        return "OK"
    except grpc.RpcError as error:
        return error.code().name + ": " + (error.details() or "")


def call(address):
    channel = grpc.insecure_channel(address)
    unary = channel.unary_unary("/test.Peer/Echo")
    said = {}
    reply, done = unary.with_call(b"hello", metadata=(("x-sent-bin", b"\xff\xfe\x00"),), timeout=10)
    said["unary"] = reply.decode()
    said["initial"] = dict(done.initial_metadata()).get("x-initial-bin", b"").hex()
    trailing = dict(done.trailing_metadata())
    said["trailing"] = trailing.get("x-trailing-bin", b"").hex()
    said["timeout_passed"] = trailing.get("x-timeout")
    said["large"] = len(unary(b"x" * 3_000_000))
    said["fail"] = status_of(lambda: channel.unary_unary("/test.Peer/Fail")(b""))
    said["unknown"] = status_of(lambda: channel.unary_unary("/test.Peer/None")(b"")).split(":")[0]
    said["collect"] = channel.stream_unary("/test.Peer/Collect")(iter([b"12345"] * 100)).decode()
    said["count"] = sum(1 for _ in channel.unary_stream("/test.Peer/Count")(b"100000"))
    said["chat"] = sum(len(each) for each in channel.stream_stream("/test.Peer/Chat")(iter([b"ab"] * 1000)))
    said["deadline"] = status_of(lambda: channel.unary_unary("/test.Peer/Hang")(b"", timeout=0.5)).split(":")[0]
    hanging = channel.unary_unary("/test.Peer/Hang").future(b"")
    time.sleep(0.3)
    hanging.cancel()
    said["cancelled"] = channel.unary_unary("/test.Peer/Cancelled")(b"").decode()
    print(json.dumps(said), flush=True)


def once(address):
    """One unary call; says its status."""
    print(json.dumps(status_of(lambda: grpc.insecure_channel(address).unary_unary("/test.Peer/Echo")(b"", timeout=5))), flush=True)


if __name__ == "__main__":
    {"serve": serve, "call": call, "once": once}[sys.argv[1]](*sys.argv[2:])
