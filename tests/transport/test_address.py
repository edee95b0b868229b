"""Addresses are read as users write them, and written back the same."""

from __future__ import annotations

import pytest

from transport.address import Address, Kind, parse
from transport.errors import BadAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7400", Address(Kind.NATIVE, "127.0.0.1", 7400)),
        ("localhost:0", Address(Kind.NATIVE, "localhost", 0)),
        ("[::1]:7400", Address(Kind.NATIVE, "::1", 7400)),
        ("ws://127.0.0.1:7410/", Address(Kind.WEBSOCKET, "127.0.0.1", 7410)),
        ("ws://[::1]:65535/", Address(Kind.WEBSOCKET, "::1", 65535)),
        ("memory:replica-0", Address(Kind.MEMORY, "replica-0")),
    ],
)
def test_addresses_of_all_kinds_round_trip(text: str, address: Address) -> None:
    assert parse(text) == address
    assert str(address) == text


def test_the_last_slash_of_a_url_may_be_left_out() -> None:
    assert str(parse("ws://host:1")) == "ws://host:1/"


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":7400", "host:x", "host:65536", "host:-1", "host:٣", "::1:7400", "ws://host", "ws://host:1/path", "http://x:1", "memory:"],
)
def test_other_texts_are_refused_and_named(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
