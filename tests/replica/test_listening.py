from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from replica.address import split_address
from replica.config import Settings
from replica.listening import OWN_DESCRIPTORS, ListenError, allow_descriptors, bound_address, open_socket, open_sockets
from triskele.child import child_environment


def test_an_opened_socket_accepts_connections() -> None:
    with open_socket("127.0.0.1:0") as listening, socket.create_connection(split_address(bound_address(listening))):
        assert listening.gettimeout() == 0.0


def test_a_taken_port_is_named() -> None:
    with open_socket("127.0.0.1:0") as listening:
        address = bound_address(listening)
        with pytest.raises(ListenError) as caught:
            open_socket(address)
    assert str(caught.value) == f"cannot listen at {address}: the port is in use by another program"
    assert caught.value.taken


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen at 192\.0\.2\.1:0: Cannot assign requested address$") as caught:
        open_socket("192.0.2.1:0")
    assert not caught.value.taken


def test_a_socket_of_the_parent_is_taken_over() -> None:
    with open_socket("127.0.0.1:0") as parents, open_socket(f"fd:{os.dup(parents.fileno())}") as taken_over:
        assert bound_address(parents) == bound_address(taken_over)


def test_what_does_not_listen_is_refused() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen at fd:9999: no socket of the parent process: Bad file descriptor$"):
        open_socket("fd:9999")
    with socket.socket() as idle, pytest.raises(ListenError, match="this socket does not listen"):
        open_socket(f"fd:{idle.fileno()}")


def test_a_wildcard_is_reached_over_loopback() -> None:
    with open_socket("0.0.0.0:0") as listening:
        assert bound_address(listening).startswith("127.0.0.1:")


def test_the_limit_of_descriptors_is_raised_as_far_as_it_goes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 4, hard))
        assert allow_descriptors(hard // 2) == hard // 2
        assert allow_descriptors(10) == hard // 2
        assert allow_descriptors(hard * 2) == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


FITTED = """
import logging, resource, sys
from replica.config import Settings
from replica.listening import fit_connections
logging.basicConfig(format="%(message)s")
allowed, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (min(allowed, 64), allowed))
fitted = fit_connections(Settings(connections_max=connections))
print(fitted.connections_max, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("allowed", "connections", "fitting"),
    [(1024, 2000, 448), (1024, 448, 448), (1024, 449, 448), (148, 400, 10), (48, 400, 10), (48, 3, 3)],
)
def test_connections_leave_a_replica_the_descriptors_that_it_needs_itself(allowed: int, connections: int, fitting: int) -> None:
    """In a process of its own: a limit that was lowered for good does not rise again."""
    told = subprocess.run(
        [sys.executable, "-c", FITTED, str(allowed), str(connections)], check=True, capture_output=True, text=True, env=child_environment()
    )
    limit = min(allowed, 2 * connections + OWN_DESCRIPTORS)
    assert told.stdout.split() == [str(fitting), str(limit), str(allowed)]
    warned = f"connections_max is {fitting} instead of {connections} at each listener: the system allows this process {allowed} descriptors"
    assert told.stderr.startswith(warned) if fitting < connections else not told.stderr


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def test_ipv6_loopback_is_written_in_brackets() -> None:
    if not has_ipv6():
        with pytest.raises(ListenError, match=r"^cannot listen at \[::1\]:0: "):
            open_socket("[::1]:0")
        return
    with open_socket("[::1]:0") as listening:
        assert bound_address(listening).startswith("[::1]:")


def test_all_sockets_of_a_replica_are_opened_or_none() -> None:
    free = "127.0.0.1:0"
    sockets = open_sockets(Settings(listen=free, websocket=free, admin=free))
    addresses = {name: bound_address(opened) for name, opened in sockets.items()}
    assert list(addresses) == ["listen", "websocket", "admin"]
    for opened in sockets.values():
        opened.close()
    with open_socket(addresses["admin"]), pytest.raises(ListenError):
        open_sockets(Settings(listen=addresses["listen"], websocket=addresses["websocket"], admin=addresses["admin"]))
    with open_socket(addresses["listen"]), open_socket(addresses["websocket"]):
        pass  # they were given back
