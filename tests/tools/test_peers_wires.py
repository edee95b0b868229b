"""RESP and gRPC as peers get them: what is asked, and whose answer an answer is, however the bytes are cut."""

from __future__ import annotations

import pytest

from loadgen.workload import CAUSAL_READ, CAUSAL_WRITE, STRONG_READ, STRONG_WRITE
from tools.peers_wires import GrpcWire, PeerError, RespWire, Wire, encode_request, field, frame

READ, WRITE = (STRONG_READ, 1.0), (STRONG_WRITE, 2.0)
MESSAGE = bytes(5)  # of gRPC, empty


def fed(wire: Wire, data: bytes, size: int) -> tuple[list[object], list[object]]:
    """Feed in pieces of ``size`` bytes."""
    done: list[object] = []
    failed: list[object] = []
    for at in range(0, len(data), size):
        good, bad = wire.feed(data[at : at + size])
        done += good
        failed += bad
    return done, failed


def resp(*asked: tuple[int, float]) -> RespWire:
    wire = RespWire()
    for token in asked:
        wire.ask(token, [b"key"], [b"value"])
    return wire


def grpc(*asked: tuple[int, float]) -> GrpcWire:
    wire = GrpcWire("host:1")
    for token in asked:
        wire.ask(token, [b"key"], [b"value"])
    return wire


def test_redis_is_asked_in_its_protocol() -> None:
    assert encode_request(b"SET", b"k", b"a\r\nb") == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"
    assert resp(READ).out == b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
    assert resp(WRITE).out == b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n5000\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_replies_of_redis_belong_to_requests_in_order(size: int) -> None:
    replies = b"$4\r\n\r\n\r\n\r\n+OK\r\n:2\r\n$-1\r\n+OK\r\n:0\r\n-ERR no\r\n:2\r\n-ERR no\r\n"
    third = (CAUSAL_READ, 3.0)
    assert fed(resp(READ, WRITE, third, (3, 4.0), (3, 5.0), (1, 6.0)), replies, size) == ([READ, WRITE, third], [(3, 4.0), (3, 5.0), (1, 6.0)])


def test_what_is_no_reply_of_redis_is_told() -> None:
    with pytest.raises(PeerError, match="Redis answered b'HTTP"):
        resp(READ).feed(b"HTTP/1.1 400 Bad Request\r\n")


def test_etcd_is_asked_in_protobuf() -> None:
    assert field(2, b"a" * 300) == b"\x12\xac\x02" + b"a" * 300
    for class_, message in (
        (STRONG_READ, b"\x0a\x03key"), (CAUSAL_READ, b"\x0a\x03key\x38\x01"), (STRONG_WRITE, b"\x0a\x03key\x12\x05value"),
    ):  # fmt: skip
        assert grpc((class_, 1.0)).out.endswith(frame(0, 1, 1, b"\0" + len(message).to_bytes(4, "big") + message))
    assert b"/etcdserverpb.KV/Put\x01\x06host:1" in grpc((CAUSAL_WRITE, 1.0)).out


@pytest.mark.parametrize("size", [1, 2, 9, 1000])
def test_answers_of_etcd_belong_to_streams_in_any_order(size: int) -> None:
    answers = [
        frame(1, 4, 5, b"head") + frame(0, 0, 5, MESSAGE) + frame(1, 5, 5, b""),
        frame(1, 5, 1, b"an error has headers only"),
        frame(0, 0, 3, MESSAGE) + frame(1, 5, 3, b"") + frame(3, 0, 3, bytes(4)),  # ended, and reset after that
        frame(3, 0, 7, bytes(4)),  # reset before its answer
    ]
    wire = grpc((1, 1.0), (1, 3.0), (1, 5.0), (1, 7.0))
    assert fed(wire, b"".join(answers), size) == ([(1, 5.0), (1, 3.0)], [(1, 1.0), (1, 7.0)])


def test_etcd_gets_the_answers_and_the_credit_that_http_2_owes() -> None:
    wire = grpc(READ)
    wire.out.clear()
    wire.feed(frame(4, 0, 0, b"\0\x05\0\0\x40\0") + frame(4, 1, 0, b"") + frame(6, 0, 0, b"12345678") + frame(6, 1, 0, b"12345678"))
    assert wire.out == frame(4, 1, 0, b"") + frame(6, 1, 0, b"12345678")
    wire.out.clear()
    wire.feed(frame(0, 0, 1, bytes(16000)))
    assert wire.out == b""
    wire.feed(frame(0, 0, 1, bytes(1000)))
    assert wire.out == frame(8, 0, 0, (17000).to_bytes(4, "big"))


def test_that_etcd_leaves_is_told() -> None:
    with pytest.raises(PeerError, match="etcd ended the connection"):
        grpc(READ).feed(frame(7, 0, 0, bytes(8)))
