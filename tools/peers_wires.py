"""What peers speak, sans-IO and by column: Redis' RESP, pipelined, and etcd's gRPC (HTTP/2 with hand-laid frames: a client library's cost would be
measured with the peer).

A wire queues what to send in ``out`` and tells of each command that is answered the token that it was asked with.

Sources: RESP2 (redis.io/docs/reference/protocol-spec); HTTP/2 (RFC 9113) with headers that are indexed or plain (HPACK, RFC 7541), gRPC over HTTP/2;
etcd's ``rpc.proto``: RangeRequest key = 1, serializable = 7; PutRequest key = 1, value = 2.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from loadgen.workload import CAUSAL_READ, CAUSAL_WRITE

if TYPE_CHECKING:
    from collections.abc import Sequence

Token = tuple[int, float]
"""Class of a command (``loadgen.workload``) and the moment it was submitted."""

WAIT_MS: Final = 5000


class PeerError(Exception):
    """A peer cannot be started, or does not answer as it should; the text says which and why."""


class Wire(Protocol):
    """One connection."""

    out: bytearray

    def ask(self, token: Token, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Queue commands of one class; reads have no values."""

    def feed(self, data: bytes) -> tuple[list[Token], list[Token]]:
        """Take in what was received; return the tokens of the commands that succeeded, and of those that failed."""


class RespWire:
    """Redis: a write is SET with a WAIT for one replica behind it, and done when WAIT has counted one; a read is GET."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._rest = b""
        self._waiting: deque[tuple[Token, bytes]] = deque()  # of each reply: the token, and how a good reply begins
        self._is_set = True

    def ask(self, token: Token, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """As ``Wire`` says."""
        if token[0] < CAUSAL_WRITE:
            self.out += b"".join([b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key) for key in keys])
            self._waiting.extend([(token, b"$")] * len(keys))
            return
        wait = encode_request(b"WAIT", b"1", b"%d" % WAIT_MS)
        for key, value in zip(keys, values, strict=True):
            self.out += encode_request(b"SET", key, value) + wait
            self._waiting += [(token, b"+OK"), (token, b":")]

    def feed(self, data: bytes) -> tuple[list[Token], list[Token]]:
        """As ``Wire`` says."""
        done: list[Token] = []
        failed: list[Token] = []
        data = self._rest + data if self._rest else data
        at = 0
        while (found := reply_at(data, at)) is not None:
            line, at = found
            token, good = self._waiting.popleft()
            if good == b"+OK":  # the WAIT behind it decides
                self._is_set = line == b"+OK"
            elif good == b":":
                (done if self._is_set and line.startswith(b":") and line != b":0" else failed).append(token)
            else:
                (done if line.startswith(good) else failed).append(token)
        self._rest = data[at:]
        return done, failed


def encode_request(*words: bytes) -> bytes:
    """Return a request of Redis."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def reply_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Return a reply's first line and where the reply ends; None if it is not whole yet.

    Raises:
        PeerError: No reply that GET, SET or WAIT can have.
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    line = data[at:end]
    end += 2
    if line[:1] == b"$" and line != b"$-1":
        end += int(line[1:]) + 2
    elif line[:1] not in {b"+", b"-", b":", b"$"}:
        raise PeerError(f"Redis answered {line[:40]!r}")
    return None if end > len(data) else (line, end)


_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM = _ACK = 1
_END_HEADERS = 4
_CREDIT_BYTES: Final = 16384
"""Received before the peer gets new credit: a quarter of what it begins with, so it never waits for some."""


class GrpcWire:
    """etcd: a write is Put, a strong read a linearizable Range, a causal one a serializable Range, which the member answers alone."""

    def __init__(self, authority: str) -> None:
        self.out = bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, b""))
        self._headers = {name: _request_headers(b"/etcdserverpb.KV/" + name, authority.encode()) for name in (b"Range", b"Put")}
        self._rest = b""
        self._waiting: dict[int, Token] = {}  # by HTTP/2 stream
        self._answered: set[int] = set()
        self._next = 1
        self._received = 0

    def ask(self, token: Token, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """As ``Wire`` says."""
        if token[0] < CAUSAL_WRITE:
            tail = b"\x38\x01" if token[0] == CAUSAL_READ else b""
            headers, messages = self._headers[b"Range"], [field(1, key) + tail for key in keys]
        else:
            headers, messages = self._headers[b"Put"], [field(1, key) + field(2, value) for key, value in zip(keys, values, strict=True)]
        for message in messages:
            stream = self._next
            self._next += 2
            self._waiting[stream] = token
            body = b"\0" + len(message).to_bytes(4, "big") + message
            self.out += frame(_HEADERS, _END_HEADERS, stream, headers) + frame(_DATA, _END_STREAM, stream, body)

    def feed(self, data: bytes) -> tuple[list[Token], list[Token]]:
        """As ``Wire`` says. A message is success: gRPC answers an error with headers alone."""
        done: list[Token] = []
        failed: list[Token] = []
        data = self._rest + data
        at, size = 0, len(data)
        while at + 9 <= size:
            length = int.from_bytes(data[at : at + 3], "big")
            kind, flags, stream = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big")
            end = at + 9 + length
            if end > size:
                break
            if kind == _DATA:
                self._answered.add(stream)
                self._received += length
            elif kind in {_SETTINGS, _PING} and not flags & _ACK:
                self.out += frame(kind, _ACK, 0, data[at + 9 : end] if kind == _PING else b"")
            elif kind == _GOAWAY:
                raise PeerError("etcd ended the connection")
            ended = (flags & _END_STREAM and kind in {_DATA, _HEADERS}) or kind == _RST_STREAM
            if ended and (token := self._waiting.pop(stream, None)) is not None:  # etcd may reset a stream that has ended
                (done if stream in self._answered else failed).append(token)
                self._answered.discard(stream)
            at = end
        if self._received >= _CREDIT_BYTES:
            self.out += frame(_WINDOW_UPDATE, 0, 0, self._received.to_bytes(4, "big"))
            self._received = 0
        self._rest = data[at:]
        return done, failed


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return an HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def field(number: int, value: bytes) -> bytes:
    """Return a field of bytes of a protobuf message; ``number`` below 16."""
    size, length = len(value), b""
    while size > 127:  # noqa: PLR2004 - seven bits a byte
        length += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((number << 3 | 2,)) + length + bytes((size,)) + value


def _request_headers(path: bytes, authority: bytes) -> bytes:
    """Return a gRPC request's header block: POST, http, and plain literals that no table keeps."""

    def text(value: bytes) -> bytes:
        return bytes((len(value),)) + value

    plain = b"\x04" + text(path) + b"\x01" + text(authority) + b"\x0f\x10" + text(b"application/grpc")
    return b"\x83\x86" + plain + b"\x00" + text(b"te") + text(b"trailers")
