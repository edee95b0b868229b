from __future__ import annotations

import pytest

from replica.address import (
    AddressError,
    HostError,
    address_to_find,
    inherited_descriptor,
    is_loopback,
    join_address,
    readable_address,
    split_address,
)


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
    "text",
    [
        "",
        ":1",
        "host",
        "host:",
        "host:x",
        "host:-1",
        "host:65536",
        "::1:5",
        "a b:1",
        "ws://h:1/x",
        "ftp://h:1",
        "[h:1",
        "h:\u0661",
        "h:" + "9" * 5000,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        split_address(text)


@pytest.mark.parametrize("host", [".h", "h..example.org", "x" * 64, "h." + "x" * 64, "\udc80", "\u00e9..b", "h\0", "h\x1b", "memory", "fd"])
def test_a_host_that_no_machine_can_have_is_no_address_and_nobody_is_looked_for_there(host: str) -> None:
    with pytest.raises(HostError):
        split_address(f"{host}:80")
    with pytest.raises(HostError):
        address_to_find(f"{host}:80")
    assert readable_address(f"{host}:80") == ""


@pytest.mark.parametrize(
    "host", ["h", "my_host", "h.example.org.", "x" * 63, "127.0.0.1", "fe80::1%eth0", "b\u00fccher.example", "MEMORY", "memory.example"]
)
def test_what_a_resolver_may_know_is_a_host(host: str) -> None:
    address = join_address(host, 80)
    assert (split_address(address), address_to_find(address), readable_address(address)) == ((host, 80), address, address)


@pytest.mark.parametrize("text", ["h:0", "ws://h:1", "h", "", "h:65536"])
def test_where_somebody_is_to_be_found_there_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(AddressError, match=r"^must be HOST:PORT with a port from 1 to 65535$"):
        address_to_find(text)


def test_a_descriptor_of_the_parent_is_an_address_to_listen_at() -> None:
    assert (inherited_descriptor("fd:7"), inherited_descriptor("127.0.0.1:7")) == (7, None)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)])
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    assert expected == is_loopback(host)


@pytest.mark.parametrize("host", ["::", "10.0.0.1", "example.org", "localhost.example.org", ""])
def test_names_and_other_networks_are_never_loopback(host: str) -> None:
    assert not is_loopback(host)
