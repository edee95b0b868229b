"""Stream sockets for native and WebSocket links: listening, accepting, connecting; all non-blocking, with TCP_NODELAY.

The kernel watches connections for us: where the other side's machine is gone or a path swallows everything, nobody would ever tell (a link between
two followers may say nothing for hours), and whoever believes such a link alive does not dial again.  So an idle connection is probed, and one whose
data or probes stay unacknowledged for ``SILENCE_SECONDS`` ends.  A side that only does not read acknowledges by its kernel until its buffers are
full, and has as long again.  Rejected: pings of our own on every link (system calls and wake-ups for what the kernel does better).
"""

from __future__ import annotations

import errno
import logging
import socket

import trio

from transport.errors import AddressInUse, DialFailed, TransportError

logger = logging.getLogger("triskele.transport")

LISTEN_BACKLOG = 1024
ACCEPT_RETRY_SECONDS = 0.1
"""Pause after an accept that failed for want of descriptors or memory."""

SILENCE_SECONDS = 20
"""A connection whose other side answers nothing for so long is closed."""
PROBE_IDLE_SECONDS = 8
PROBE_SECONDS = 3
"""Pause between two probes of an idle connection."""

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def name_of(address: tuple[object, ...]) -> str:
    """Write a socket's address as ``host:port``."""
    host = str(address[0])
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


class Listener:
    """A listening socket.

    Attributes:
        host: the address it is bound to, a numeric one.
        port: the port it is bound to, never 0.
        accept_errors: how often an accept failed for want of descriptors or memory.
        option_errors: connections that were closed because the kernel refused an option that every one needs.
    """

    def __init__(self, sock: trio.socket.SocketType) -> None:
        """Take over a bound, listening socket."""
        self._sock = sock
        self.host, self.port = sock.getsockname()[:2]
        self.accept_errors = self.option_errors = 0

    async def accept(self) -> tuple[socket.socket, str]:
        """Wait for a connection; running out of descriptors only delays it, and one that cannot be made ready is closed.

        Returns:
            The connected socket and ``host:port`` of the other side.
        """
        while True:
            try:
                accepted, address = await self._sock.accept()
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self.accept_errors += 1
                    if self.accept_errors == 1:
                        logger.warning("cannot accept on port %d: %s; trying again every %g s", self.port, error, ACCEPT_RETRY_SECONDS)
                    await trio.sleep(ACCEPT_RETRY_SECONDS)
                elif error.errno in {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}:
                    raise  # the listening socket itself is broken
                continue  # otherwise the connection was gone before it was accepted
            try:
                return _raw(accepted), name_of(address)
            except OSError as error:
                self.option_errors += 1
                if self.option_errors == 1:  # where an option is missing, every connection ends so
                    logger.warning("closed a connection from %s to port %d: cannot set its options: %s", name_of(address), self.port, error)

    def close(self) -> None:
        """Stop listening."""
        self._sock.close()


async def listen_on(host: str, port: int) -> Listener:
    """Open a listening socket.

    Args:
        host: name or numeric address; a name's first address is taken.
        port: 0 for any free one.

    Raises:
        AddressInUse: somebody else listens there; the message names the address.
        TransportError: the address cannot be bound (``bad_listen_address``), also named.
    """
    where = name_of((host, port))
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # ValueError: no name at all, as one with an empty part
        raise TransportError("bad_listen_address", f"cannot resolve {where}: {error}") from None
    family, kind, protocol, _, address = found[0]
    sock = trio.socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await sock.bind(address)
        sock.listen(LISTEN_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(where) from None
        raise TransportError("bad_listen_address", f"cannot listen on {where}: {error.strerror}") from None
    return Listener(sock)


async def connect_to(host: str, port: int) -> socket.socket:
    """Connect a stream socket, trying each address of the name in turn.

    Raises:
        DialFailed: none could be reached; the message names the address and the last error.
    """
    where = name_of((host, port))
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: no name at all, as one with an empty part
        raise DialFailed(detail=f"cannot resolve {where}: {error}") from None
    last: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            sock = trio.socket.socket(family, kind, protocol)
        except OSError as error:  # out of descriptors, or a family this machine lacks
            last = error
            continue
        try:
            await sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
            continue
        except BaseException:
            sock.close()
            raise
        try:
            return _raw(sock)
        except OSError as error:  # an option that the kernel lacks
            last = error
    raise DialFailed(detail=f"cannot reach {where}: {last.strerror if last else 'no address'}")


def _raw(sock: trio.socket.SocketType) -> socket.socket:
    """Take the descriptor out of Trio's hands, and set what every connection needs.

    Raises:
        OSError: the kernel refused an option; the socket is closed.
    """
    raw = socket.socket(fileno=sock.detach())
    try:
        raw.setblocking(False)  # noqa: FBT003 - the name of the method says what is false
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_IDLE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, (SILENCE_SECONDS - PROBE_IDLE_SECONDS) // PROBE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)
    except OSError:
        raw.close()
        raise
    return raw
