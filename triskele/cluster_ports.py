"""The ports of a local cluster: which they are, and how they stay the cluster's while a replica is dead.

The parent *reserves* every port for the cluster's life: it binds a socket there that never listens.  A port of a dead replica then refuses
connections, as that of a dead machine would, and yet no other program gets it: the system gives bound ports to nobody, neither to who asks for
any free one nor to an outgoing connection.  Just before a replica starts, the parent opens listening sockets at the same ports (both sockets
have SO_REUSEADDR, which Linux lets pass while only one of them listens), hands them over as inherited descriptors, and closes its own.

So the cluster file is complete before the first replica starts, it stays true when one is started again, and a port that is taken is one clear
line when nothing runs yet.

Rejected: choosing ports and hoping (a race); letting replicas choose and tell (each must then wait for the others' addresses before it can
dial); keeping the listening sockets open here (connections to a dead replica would rest in a queue).
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, contextmanager
from itertools import combinations
from typing import TYPE_CHECKING

import attrs

from replica.address import inherited_descriptor, join_address, split_address
from replica.cluster_file import check_exposure
from replica.config import SettingError
from replica.listening import ListenError, bound_address, open_socket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from replica.cluster_file import ReplicaPlace
    from replica.config import Settings

WEBSOCKET_OFFSET = 100
ADMIN_OFFSET = 200
"""Replica i of a cluster at port P: native P + i, WebSocket P + 100 + i, admin P + 200 + i."""

REPLICA_COUNTS = (1, 3, 5, 7, 9)
PORTS = 1 << 16


@attrs.frozen
class Ports:
    """The reserved ports of a cluster: ``{replica id: {setting name: socket}}``."""

    _reserved: Mapping[int, Mapping[str, socket.socket]]

    def reached(self, replica_id: int) -> dict[str, str]:
        """Return ``{setting name: HOST:PORT}``, as programs on this machine reach a replica."""
        return {name: bound_address(reserved) for name, reserved in self._reserved[replica_id].items()}

    def listen(self, replica_id: int) -> dict[str, socket.socket]:
        """Open a replica's listening sockets, all or none.

        Raises:
            ListenError: Another program listens at one of the ports all the same; it may go away.
        """
        with ExitStack() as opened:
            sockets = {name: opened.enter_context(open_socket(_exactly(reserved))) for name, reserved in self._reserved[replica_id].items()}
            opened.pop_all()
        return sockets


@contextmanager
def reserve_ports(replicas: int, settings: Settings, port: int | None) -> Iterator[Ports]:
    """Reserve the ports of replicas 0, 1, …; they are free again after the block.

    Args:
        replicas: 1, 3, 5, 7 or 9.
        settings: Their addresses are bases: replica i listens at the port plus i (0: any free port).
        port: Base port on loopback, 0 for free ports; None to take ``settings.listen`` and its neighbours.

    Raises:
        SettingError: Wrong number of replicas, listeners that would get the same port, or an address that other machines reach without
            ``insecure``.
        ListenError: A port is taken.
    """
    if replicas not in REPLICA_COUNTS:
        raise SettingError("--replicas", replicas, "must be one of " + ", ".join(map(str, REPLICA_COUNTS)))
    bases = base_addresses(settings, port)
    _check_apart(bases, replicas, settings)
    with ExitStack() as stack:
        reserved = {
            number: {name: stack.enter_context(_reserve(host, base + number if base else 0)) for name, (host, base) in bases.items()}
            for number in range(replicas)
        }
        yield Ports(reserved)


def base_addresses(settings: Settings, port: int | None) -> dict[str, tuple[str, int]]:
    """Return ``{setting name: (host, base port)}`` for the three listeners.

    Raises:
        SettingError: An address is wrong, its ports run out, or other machines reach it without ``insecure``.
    """
    check_exposure(settings)
    if port is None and not settings.listen:
        raise SettingError("--listen", "", "give an address or --port")
    for name in ("listen", "websocket", "admin"):
        if inherited_descriptor(getattr(settings, name)) is not None:
            raise SettingError(settings.written(name), getattr(settings, name), "a local cluster opens its own sockets: give HOST:PORT")
    host, base = ("127.0.0.1", port) if port is not None else split_address(settings.listen)
    websocket = split_address(settings.websocket) if settings.websocket else (host, base and base + WEBSOCKET_OFFSET)
    admin = split_address(settings.admin) if settings.admin else ("127.0.0.1", base and base + ADMIN_OFFSET)
    bases = {"listen": (host, base), "websocket": websocket, "admin": admin}
    for name, (_, number) in reversed(bases.items()):  # those 200 above first: they leave the least
        beyond = number + max(REPLICA_COUNTS) - PORTS
        if beyond <= 0:
            continue
        if own := getattr(settings, name):
            raise SettingError(settings.written(name), own, f"its port must be {number - beyond} at most: each replica takes the next")
        what, value = ("--port", port) if port is not None else (settings.written("listen"), settings.listen)
        why = f"the port must be {base - beyond} at most: replicas listen there and {number - base} above, each at the next"
        raise SettingError(what, value, why)
    return bases


def with_usual_ports(settings: Settings, place: ReplicaPlace) -> Settings:
    """Return the settings with the usual ports of a replica's WebSocket and admin, where neither they nor its cluster file name one."""
    native = settings.listen or place.address
    if not native or inherited_descriptor(native) is not None:
        return settings
    host, port = split_address(native)
    missing = {
        name: join_address(host, port and port + offset)
        for name, offset in (("websocket", WEBSOCKET_OFFSET), ("admin", ADMIN_OFFSET))
        if not getattr(settings, name) and not getattr(place, name) and port + offset < PORTS
    }
    return settings.changed("--join", **missing)


def _check_apart(bases: Mapping[str, tuple[str, int]], replicas: int, settings: Settings) -> None:
    """Refuse two listeners of which different replicas, or one, would get the same port.

    Raises:
        SettingError: Two are too near each other.
    """
    for (name, (host, base)), (other, (other_host, other_base)) in combinations(bases.items(), 2):
        hosts = {host, other_host}
        together = len(hosts) == 1 or hosts & {"0.0.0.0", "::"}  # noqa: S104 - the wildcard meets every address
        if base and other_base and together and abs(base - other_base) < replicas:
            given, near = (other, name) if getattr(settings, other) else (name, other)  # by default none is near another
            why = f"too near {join_address(*bases[near])}, where the {near} ports begin: {replicas} replicas take a port each from there on"
            raise SettingError(settings.written(given), getattr(settings, given), why)


def _reserve(host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen, with the options that a listening one beside it has.

    Raises:
        ListenError: The port is taken, or the host is not of this machine.
    """
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reserved.family == socket.AF_INET6:
            reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        taken = error.errno == errno.EADDRINUSE
        why = "the port is in use by another program" if taken else error.strerror or str(error)
        raise ListenError(join_address(host, port), why, taken=taken) from None
    return reserved


def _exactly(reserved: socket.socket) -> str:
    """Return where a socket is bound; a wildcard host stays one."""
    host, port = reserved.getsockname()[:2]
    return join_address(host, port)
