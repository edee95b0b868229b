"""Addresses as people write them: ``HOST:PORT`` native, ``ws://HOST:PORT`` WebSocket, ``http://HOST:PORT`` admin, ``fd:N`` an open socket.

One place that reads them, so that a wrong one gets the same words everywhere.
"""

from __future__ import annotations

import ipaddress

PORT_MAX = 65_535
_DIGITS_MAX = 9
"""Of a number in what others wrote; Python refuses to read thousands of them, and not with an error of ours."""
_SCHEMES = ("ws://", "http://")
_NOT_HOSTS = ("fd", "memory")
"""What stands there makes something else of an address: a descriptor, or a name in a network in memory."""


class AddressError(ValueError):
    """Text that is no address; the message says what is missing."""


class HostError(AddressError):
    """An address whose host no machine can have."""


def split_address(text: str) -> tuple[str, int]:
    """Returns host and port of an address; a ``ws://`` or ``http://`` in front and a ``/`` behind are left out.

    Args:
        text: ``HOST:PORT``, ``[V6]:PORT``, or either inside a URL without a path.

    Raises:
        AddressError: Host or port is missing or out of range.
        HostError: No machine can have such a name.
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
    if not colon or not host or any(sign.isspace() or sign in "/,@[]" for sign in host):
        message = "must be HOST:PORT"
        raise AddressError(message)
    if not (is_number(port) and int(port) <= PORT_MAX):
        message = f"must be HOST:PORT with a port from 0 to {PORT_MAX}"
        raise AddressError(message)
    _check_host(host)
    return host, int(port)


def _check_host(host: str) -> None:
    """Refuses what no resolver takes, before it stands in a file or in a log, from where everybody would have it."""
    if host in _NOT_HOSTS:
        message = f"a host cannot be called {host} here: {host}: in front means no HOST:PORT"
        raise HostError(message)
    try:
        host.encode("idna")  # as getaddrinfo does
        named = host.isprintable()
    except UnicodeError:
        named = False
    if not named:
        message = "the host must be an IP address or a name with 1 to 63 letters between dots"
        raise HostError(message)


def readable_address(text: str) -> str:
    """Returns an address that others told, or nothing if it is none: a newer or older program may take what this one does not."""
    try:
        split_address(text)
    except AddressError:
        return ""
    return text


def address_to_find(text: str) -> str:
    """Returns the address, as everybody writes it, at which others are to find somebody.

    Raises:
        AddressError: Nobody can be found there: no ``HOST:PORT``, no such host, or port 0.
    """
    message = f"must be HOST:PORT with a port from 1 to {PORT_MAX}"
    try:
        host, port = split_address(text)
    except HostError:
        raise
    except AddressError:
        raise AddressError(message) from None
    if port == 0 or "://" in text:
        raise AddressError(message)
    return join_address(host, port)


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
    if not is_number(number):
        message = "must be fd:N with N an open file descriptor"
        raise AddressError(message)
    return int(number)


def is_number(text: str) -> bool:
    """Whether a text is a whole number, and not so long that Python refuses to read it."""
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
