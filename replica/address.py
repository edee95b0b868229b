"""Addresses as people write them: ``HOST:PORT`` native, ``ws://HOST:PORT`` WebSocket, ``http://HOST:PORT`` admin, ``fd:N`` an open socket.

One place that reads them, so that a wrong one gets the same words everywhere.
"""

from __future__ import annotations

import ipaddress

PORT_MAX = 65_535
_DIGITS_MAX = 9
"""Of a number in an address; Python refuses to read thousands of them, and not with an error of ours."""
_SCHEMES = ("ws://", "http://")


class AddressError(ValueError):
    """Text that is no address; the message says what is missing."""


def split_address(text: str) -> tuple[str, int]:
    """Returns host and port of an address; a ``ws://`` or ``http://`` in front and a ``/`` behind are left out.

    Args:
        text: ``HOST:PORT``, ``[V6]:PORT``, or either inside a URL without a path.

    Raises:
        AddressError: Host or port is missing or out of range.
    """
    rest = text
    for scheme in _SCHEMES:
        if text.startswith(scheme):
            rest = text.removeprefix(scheme).removesuffix("/")
    host, colon, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        message = "an IPv6 host stands in brackets: [::1]:7400"
        raise AddressError(message)
    if not colon or not host or any(sign.isspace() or sign in "/,@" for sign in host):
        message = "must be HOST:PORT"
        raise AddressError(message)
    if not (_is_number(port) and int(port) <= PORT_MAX):
        message = f"must be HOST:PORT with a port from 0 to {PORT_MAX}"
        raise AddressError(message)
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """Returns ``HOST:PORT``, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def inherited_descriptor(text: str) -> int | None:
    """Returns N of ``fd:N`` (a listening socket the parent process opened), None for any other address.

    Raises:
        AddressError: ``fd:`` without a number.
    """
    if not text.startswith("fd:"):
        return None
    number = text.removeprefix("fd:")
    if not _is_number(number):
        message = "must be fd:N with N an open file descriptor"
        raise AddressError(message)
    return int(number)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX


def check_listening(text: str) -> None:
    """Accepts what a replica can listen at: ``HOST:PORT`` or ``fd:N``.

    Raises:
        AddressError: It is neither.
    """
    if inherited_descriptor(text) is None:
        split_address(text)


def is_loopback(host: str) -> bool:
    """Tells whether only programs on this machine reach this host: ``localhost`` or a loopback IP address, never another name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
