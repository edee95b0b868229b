from __future__ import annotations

import pytest

from replica.address import AddressError, inherited_descriptor, is_loopback, join_address, split_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7400", "127.0.0.1", 7400),
        ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65535),
        ("ws://127.0.0.1:7500", "127.0.0.1", 7500),
        ("ws://[::1]:7500/", "::1", 7500),
        ("http://node-1.example:80/", "node-1.example", 80),
    ],
)
def test_an_address_splits_into_host_and_port_and_joins_again(text: str, host: str, port: int) -> None:
    assert (host, port) == split_address(text)
    assert (host, port) == split_address(join_address(host, port))


@pytest.mark.parametrize(
    "text", ["", ":1", "host", "host:", "host:x", "host:-1", "host:65536", "::1:5", "a b:1", "ws://h:1/x", "ftp://h:1", "h:\u0661", "h:" + "9" * 5000]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        split_address(text)


def test_a_descriptor_of_the_parent_is_an_address_to_listen_at() -> None:
    assert (inherited_descriptor("fd:7"), inherited_descriptor("127.0.0.1:7")) == (7, None)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)])
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    assert expected == is_loopback(host)


@pytest.mark.parametrize("host", ["::", "10.0.0.1", "example.org", "localhost.example.org", ""])
def test_names_and_other_networks_are_never_loopback(host: str) -> None:
    assert not is_loopback(host)
