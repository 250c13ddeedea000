"""Drives members with Python's grpcio: `python interop.py TARGET STUCK_TARGET [CA_FILE]`, over TLS given an authority.

The second target is a member without a quorum, whose reads wait. The generated modules are on PYTHONPATH. Prints one
JSON object per case; what the cases are is said in ../README.md.
"""

import json
import queue
import sys
import threading
import time

import grpc
from etcdserverpb import rpc_pb2, rpc_pb2_grpc

STREAMS = 1_000
STREAMED_KEYS = 3_000
LARGEST_REQUEST_BYTES = 1_572_864


class Stream:
    """A bidirectional stream: requests are put, responses are iterated over."""

    def __init__(self, method):
        self._requests = queue.Queue()
        self.responses = method(iter(self._requests.get, None), timeout=60)

    def send(self, request):
        self._requests.put(request)

    def end(self):
        self._requests.put(None)


class Interop:
    def __init__(self, target, stuck_target, ca_file):
        self.channel = open_channel(target, ca_file)
        self.stuck_kv = rpc_pb2_grpc.KVStub(open_channel(stuck_target, ca_file))
        self.kv = rpc_pb2_grpc.KVStub(self.channel)
        self.watch = rpc_pb2_grpc.WatchStub(self.channel)
        self.lease = rpc_pb2_grpc.LeaseStub(self.channel)
        self.maintenance = rpc_pb2_grpc.MaintenanceStub(self.channel)

    def key(self, name):
        return b"interop/" + name.encode()

    def open_watch(self, key):
        stream = Stream(self.watch.Watch)
        stream.send(rpc_pb2.WatchRequest(create_request=rpc_pb2.WatchCreateRequest(key=key)))
        assert next(stream.responses).created
        return stream

    def unary(self):
        key = self.key("unary")
        put = self.kv.Put(rpc_pb2.PutRequest(key=key, value=b"one"))
        found = self.kv.Range(rpc_pb2.RangeRequest(key=key))
        assert [(kv.value, kv.mod_revision) for kv in found.kvs] == [(b"one", put.header.revision)]
        compare = rpc_pb2.Compare(
            key=key, result=rpc_pb2.Compare.EQUAL, target=rpc_pb2.Compare.VALUE, value=b"one"
        )
        request = rpc_pb2.TxnRequest(
            compare=[compare],
            success=[rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=b"two"))],
        )
        assert self.kv.Txn(request).succeeded
        assert not self.kv.Txn(request).succeeded
        assert self.kv.DeleteRange(rpc_pb2.DeleteRangeRequest(key=key)).deleted == 1
        squeezed = self.kv.Put(
            rpc_pb2.PutRequest(key=key, value=b"z" * 100_000), compression=grpc.Compression.Gzip
        )
        assert squeezed.header.revision > put.header.revision
        assert len(self.kv.Range(rpc_pb2.RangeRequest(key=key)).kvs[0].value) == 100_000

    def errors(self):
        fails(
            lambda: self.kv.Put(rpc_pb2.PutRequest(key=b"k", lease=12345)),
            grpc.StatusCode.NOT_FOUND,
            "etcdserver: requested lease not found",
        )
        fails(
            lambda: self.kv.Put(rpc_pb2.PutRequest()),
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: key is not provided",
        )
        unknown = self.channel.unary_unary("/etcdserverpb.KV/Nothing")
        fails(lambda: unknown(b""), grpc.StatusCode.UNIMPLEMENTED, "unknown method Nothing for service etcdserverpb.KV")

    def bidirectional(self):
        key = self.key("watched")
        watch = self.open_watch(key)
        for value in [b"1", b"2", b"3"]:
            self.kv.Put(rpc_pb2.PutRequest(key=key, value=value))
            assert [event.kv.value for event in next(watch.responses).events] == [value]
        # A watch goes on when its client has nothing more to ask.
        watch.end()
        self.kv.Put(rpc_pb2.PutRequest(key=key, value=b"4"))
        assert [event.kv.value for event in next(watch.responses).events] == [b"4"]
        watch.responses.cancel()
        lease = self.lease.LeaseGrant(rpc_pb2.LeaseGrantRequest(TTL=60)).ID
        keep_alive = Stream(self.lease.LeaseKeepAlive)
        for _ in range(3):
            keep_alive.send(rpc_pb2.LeaseKeepAliveRequest(ID=lease))
            assert next(keep_alive.responses).TTL == 60
        keep_alive.end()
        assert list(keep_alive.responses) == []

    def server_streaming(self):
        keys = [self.key(f"many/{index:04}") for index in range(STREAMED_KEYS)]
        for put in [self.kv.Put.future(rpc_pb2.PutRequest(key=key, value=bytes(1000))) for key in keys]:
            put.result(timeout=60)
        request = rpc_pb2.RangeRequest(key=self.key("many/"), range_end=self.key("many0"))
        chunks = list(self.kv.RangeStream(request))
        assert len(chunks) > 1
        assert [kv.key for chunk in chunks for kv in chunk.range_response.kvs] == keys
        # One that is left in the middle, and one that is read slowly.
        left = self.kv.RangeStream(request)
        next(left)
        left.cancel()
        fails(lambda: list(left), grpc.StatusCode.CANCELLED)
        slow = 0
        for chunk in self.kv.RangeStream(request):
            slow += len(chunk.range_response.kvs)
            time.sleep(0.001)
        assert slow == len(keys)

    def cancellation(self):
        waiting = self.stuck_kv.Range.future(rpc_pb2.RangeRequest(key=b"k"))
        time.sleep(0.3)
        assert not waiting.done()
        waiting.cancel()
        assert waiting.code() == grpc.StatusCode.CANCELLED
        watch = self.open_watch(self.key("cancelled watch"))
        watch.responses.cancel()
        fails(lambda: next(watch.responses), grpc.StatusCode.CANCELLED)

    def deadlines(self):
        started = time.monotonic()
        fails(
            lambda: self.stuck_kv.Range(rpc_pb2.RangeRequest(key=b"k"), timeout=0.3),
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )
        watch = Stream(lambda requests, timeout: self.watch.Watch(requests, timeout=0.3))
        watch.send(rpc_pb2.WatchRequest(create_request=rpc_pb2.WatchCreateRequest(key=b"k")))
        assert next(watch.responses).created
        fails(lambda: next(watch.responses), grpc.StatusCode.DEADLINE_EXCEEDED)
        assert 0.5 < time.monotonic() - started < 20

    def large_messages(self):
        key = self.key("large")
        request = rpc_pb2.PutRequest(key=key, value=bytes(LARGEST_REQUEST_BYTES - 200))
        assert request.ByteSize() > LARGEST_REQUEST_BYTES - 200
        self.kv.Put(request)
        found = self.kv.Range(rpc_pb2.RangeRequest(key=key)).kvs[0]
        assert found.value == request.value
        watch = self.open_watch(key)
        self.kv.Put(request)
        assert next(watch.responses).events[0].kv.value == request.value
        watch.responses.cancel()
        fails(
            lambda: self.kv.Put(rpc_pb2.PutRequest(key=key, value=bytes(LARGEST_REQUEST_BYTES + 100))),
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: request is too large",
        )
        fails(
            lambda: self.kv.Put(rpc_pb2.PutRequest(key=key, value=bytes(4_000_000))),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )

    def concurrent_streams(self):
        """A reader thread per stream: grpcio's own asynchronous form would show no more of the member."""
        seen = {}

        def follow(index):
            key = self.key(f"stream {index}")
            seen[index] = [event.kv.value for event in next(watches[index].responses).events]

        watches = [None] * STREAMS
        openers = [
            threading.Thread(target=lambda i=i: watches.__setitem__(i, self.open_watch(self.key(f"stream {i}"))))
            for i in range(STREAMS)
        ]
        run_all(openers)
        readers = [threading.Thread(target=follow, args=(index,)) for index in range(STREAMS)]
        for reader in readers:
            reader.start()
        puts = [
            self.kv.Put.future(rpc_pb2.PutRequest(key=self.key(f"stream {i}"), value=b"%d" % i))
            for i in range(STREAMS)
        ]
        for put in puts:
            put.result(timeout=60)
        for reader in readers:
            reader.join(60)
        assert seen == {index: [b"%d" % index] for index in range(STREAMS)}, len(seen)
        for watch in watches:
            watch.responses.cancel()
        self.kv.Put(rpc_pb2.PutRequest(key=self.key("afterwards")))


def open_channel(target, ca_file):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if ca_file is None:
        return grpc.insecure_channel(target, options)
    with open(ca_file, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(target, credentials, options)


def run_all(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def fails(call, code, details=None):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} instead of {code}: {error.details()}"
        assert details is None or error.details() == details, error.details()
        return
    raise AssertionError(f"no error instead of {code}")


def main():
    target, stuck_target = sys.argv[1:3]
    ca_file = sys.argv[3] if len(sys.argv) > 3 else None
    interop = Interop(target, stuck_target, ca_file)
    cases = {
        "unary calls": interop.unary,
        "errors": interop.errors,
        "bidirectional streams": interop.bidirectional,
        "server streams": interop.server_streaming,
        "cancellation": interop.cancellation,
        "deadlines": interop.deadlines,
        "1.5 MiB messages": interop.large_messages,
        "1,000 concurrent streams": interop.concurrent_streams,
    }
    for name, case in cases.items():
        started = time.monotonic()
        fault = None
        try:
            case()
        except Exception as error:  # Whatever it is, the other cases have something to say.
            fault = f"{type(error).__name__}: {error}"
        milliseconds = round((time.monotonic() - started) * 1000)
        print(json.dumps({"case": name, "fault": fault, "milliseconds": milliseconds}), flush=True)


main()
