"""Opens the sockets a process listens at: by address, or handed over by the parent process (``fd:N``).

Opened before anything else starts, in one place, so that a port that is taken is one clear line and nothing runs yet.
"""

from __future__ import annotations

import errno
import logging
import resource
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from replica.address import inherited_descriptor, join_address, split_address

if TYPE_CHECKING:
    from replica.config import Settings

logger = logging.getLogger("triskele.replica")

BACKLOG = 1024
OWN_DESCRIPTORS = 128
"""Of a replica besides its native and WebSocket connections: 65 of the admin listener, a link to each peer, some twenty of files and pipes."""
CONNECTIONS_MIN = 10
"""So many a listener takes in any case, peers among them: with fewer there would be no cluster."""


class ListenError(Exception):
    """An address cannot be listened at: taken by another program, or not of this machine. Programs end with exit status 1.

    Attributes:
        address: As it was given.
        why: In words.
        taken: Whether it is taken; another port may be free.
    """

    exit_status = 1

    def __init__(self, address: str, why: str, *, taken: bool = False) -> None:
        super().__init__(f"cannot listen at {address}: {why}")
        self.address = address
        self.why = why
        self.taken = taken


def open_socket(address: str) -> socket.socket:
    """Open one listening TCP socket, non-blocking.

    Args:
        address: ``HOST:PORT`` (port 0: any free one), or ``fd:N``, a listening socket inherited from the parent process.

    Raises:
        AddressError: It is no address.
        ListenError: It cannot be listened at.
    """
    descriptor = inherited_descriptor(address)
    if descriptor is not None:
        return _adopt(descriptor)
    host, port = split_address(address)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, ValueError) as error:  # ValueError: no name at all
        raise ListenError(address, getattr(error, "strerror", "") or str(error)) from None
    opened = socket.socket(family, kind, protocol)
    try:
        opened.settimeout(0.0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(where)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise ListenError(address, "the port is in use by another program", taken=True) from None
        raise ListenError(address, error.strerror or str(error)) from None
    return opened


def open_sockets(settings: Settings) -> dict[str, socket.socket]:
    """Open all sockets that a replica listens at, or none; ``{setting: socket}``.

    Raises:
        AddressError: one is no address.
        ListenError: one cannot be listened at.
    """
    with ExitStack() as opened:
        sockets = {name: opened.enter_context(open_socket(getattr(settings, name))) for name in ("listen", "websocket", "admin")}
        opened.pop_all()
    return sockets


def _adopt(descriptor: int) -> socket.socket:
    """Take over a listening socket that the parent process opened."""
    address = f"fd:{descriptor}"
    try:
        opened = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError(address, f"no socket of the parent process: {error.strerror}") from None
    if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        opened.detach()
        raise ListenError(address, "this socket does not listen")
    opened.settimeout(0.0)
    return opened


def allow_descriptors(wanted: int) -> int:
    """Raise this process's limit of open descriptors to what it needs, as far as the system lets it.

    Returns:
        The limit now; ``wanted`` if there is none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def fit_connections(settings: Settings) -> Settings:
    """Raise this process's limit of open descriptors to what these settings need, and lower ``connections_max`` to what the system lets it have.

    Connections must not take the last descriptor: it is needed for the log's next segment, and a disk that refuses one ends the replica.
    """
    wanted = 2 * settings.connections_max + OWN_DESCRIPTORS
    allowed = allow_descriptors(wanted)
    fitting = min(settings.connections_max, max((allowed - OWN_DESCRIPTORS) // 2, CONNECTIONS_MIN))
    if fitting == settings.connections_max:
        return settings
    logger.warning(
        "connections_max is %d instead of %d at each listener: the system allows this process %d descriptors, and that many connections take %d "
        "(see ulimit -n)", fitting, settings.connections_max, allowed, wanted
    )  # fmt: skip
    return settings.changed("the system's limit of descriptors", connections_max=fitting)


def bound_address(listening: socket.socket) -> str:
    """Return ``HOST:PORT`` where a listening socket is reached on this machine; a wildcard host becomes the loopback one."""
    host, port = listening.getsockname()[:2]
    return join_address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104 - compared, not bound
