"""What bad input looks like: bytes for the native port and messages for the WebSocket port, by the reason they are closed with."""

from __future__ import annotations

import struct
import zlib

import cbor2

from replica.hello import Hello, encode_hello

PREAMBLE = b"TSK1"


def framed(payload: bytes) -> bytes:
    """Put a payload into a native frame."""
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def hello(**changes: object) -> bytes:
    """Encode a client's hello, or another."""
    known: dict[str, object] = {"cluster_id": "", "mode": "", "role": "client", "id": 0, "incarnation": 0, "config": 0, "voters": ()}
    return encode_hello(Hello(**{**known, **changes}))  # type: ignore[arg-type]


GREETED = PREAMBLE + framed(hello())

BAD_HELLOS = {
    "wrong_cluster": hello(cluster_id="another"),
    "wrong_mode": hello(mode="paxos"),
    "wrong_magic": cbor2.dumps(["etcd", 1]),
    "wrong_version": cbor2.dumps(["triskele", 99, "", "", "client", 0, 0, 0, []]),
    "wrong_role": hello(role="spectator"),
    "malformed_hello": b"\xff\xff",
}
"""First payloads, on either port."""

BAD_PAYLOADS = {
    "unknown_tag": cbor2.dumps([0, [99, 1]]),
    "wrong_type": cbor2.dumps([0, [10, "nonce"]]),
    "wrong_field_count": cbor2.dumps([0, [10, 1, 2]]),
    "columns_disagree": cbor2.dumps([0, [6, [1], [1], [1 << 40], [0], [b"k"]]]),
    "not_a_frame": cbor2.dumps({"a": 1})[:0] + cbor2.dumps(7),
    "malformed": b"\x82\x00\x82\x0a",
    "huge_declared_array": b"\x9b" + b"\xff" * 8,
    "indefinite": b"\x9f\xff",
    "key_too_long": cbor2.dumps([0, [9, [1], [1], [1], [0], [b"k" * 5000]]]),
}
"""Payloads behind a good hello, on either port; by name where the name is not the reason."""

BAD_BYTES = {
    "bad_preamble": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad_checksum": PREAMBLE + struct.pack("<II", 3, 1) + b"abc",
    "frame_too_large": PREAMBLE + struct.pack("<II", 1 << 31, 0),
}
"""What only a stream of bytes can carry."""

REASONS = {name: f"handshake_refused:{name}" for name in BAD_HELLOS} | {"huge_declared_array": "too_many_items", "indefinite": "malformed"}
"""What a link is closed with, where that is not the name."""

NATIVE: dict[str, tuple[bytes, ...]] = (
    {name: (data,) for name, data in BAD_BYTES.items()}
    | {name: (PREAMBLE + framed(payload),) for name, payload in BAD_HELLOS.items()}
    | {name: (GREETED + framed(payload),) for name, payload in BAD_PAYLOADS.items()}
    | {"frame_too_large of a client": (GREETED, framed(bytes((8 << 20) + 1)))}
)
"""For the native port, in the parts that are sent: a stranger may send no more than a hello before it was answered."""
