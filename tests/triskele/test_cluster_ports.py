from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, suppress

import pytest

from replica.address import split_address
from replica.cluster_file import ReplicaPlace
from replica.config import SettingError, Settings, resolve
from replica.listening import ListenError, bound_address, open_socket
from triskele.cluster_ports import Ports, base_addresses, reserve_ports, with_usual_ports


def connects(address: str) -> bool:
    try:
        socket.create_connection(split_address(address), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def listening(ports: Ports, replica_id: int) -> ExitStack:
    stack = ExitStack()
    for opened in ports.listen(replica_id).values():
        stack.enter_context(opened)
    return stack


def test_a_reserved_port_refuses_connections_and_is_given_to_nobody_else() -> None:
    with reserve_ports(1, Settings(), 0) as ports:
        address = ports.reached(0)["listen"]
        assert not connects(address)
        with socket.socket() as other, pytest.raises(OSError) as caught:
            other.bind(split_address(address))
        assert caught.value.errno == errno.EADDRINUSE
    with socket.socket() as other:
        other.bind(split_address(address))


def test_its_owner_listens_there_again_and_again_also_after_connections() -> None:
    with reserve_ports(1, Settings(), 0) as ports:
        address = ports.reached(0)["listen"]
        for _ in range(3):
            with listening(ports, 0), socket.create_connection(split_address(address)):
                assert all(connects(at) for at in ports.reached(0).values())
            assert not connects(address)


def test_who_listens_at_a_reserved_port_all_the_same_is_in_the_way_until_it_goes() -> None:
    with reserve_ports(1, Settings(), 0) as ports:
        address = ports.reached(0)["websocket"]
        with open_socket(address), pytest.raises(ListenError, match=f"^cannot listen at {address}: the port is in use by another program$"):
            ports.listen(0)
        with listening(ports, 0):
            assert connects(address)


def _listening_below_the_ports_given_to_clients() -> socket.socket:
    """Listen where the system puts no outgoing connection: one of those at a neighbouring port would be named in this one's place."""
    for port in range(21_001, 31_000, 211):
        with suppress(ListenError):
            return open_socket(f"127.0.0.1:{port}")
    pytest.fail("every port is taken")


def test_a_port_that_is_taken_is_named_and_nothing_stays_reserved() -> None:
    with _listening_below_the_ports_given_to_clients() as taken:
        port = int(bound_address(taken).rpartition(":")[2])
        with pytest.raises(ListenError) as caught, reserve_ports(3, Settings(), port - 1):
            pytest.fail("a port is taken")
    assert (str(caught.value), caught.value.taken) == (f"cannot listen at 127.0.0.1:{port}: the port is in use by another program", True)
    with socket.socket() as first:
        first.bind(("127.0.0.1", port - 1))


def test_a_host_of_another_machine_is_named() -> None:
    settings = resolve({"listen": "192.0.2.1:0", "insecure": True}, {})
    with pytest.raises(ListenError, match=r"^cannot listen at 192\.0\.2\.1:0: Cannot assign requested address$"), reserve_ports(1, settings, None):
        pytest.fail("not ours")


def test_hosts_may_be_ipv6_names_and_wildcards() -> None:
    settings = resolve({"listen": "0.0.0.0:0", "websocket": "localhost:0", "admin": "[::1]:0", "insecure": True}, {})
    with reserve_ports(1, settings, None) as ports:
        reached = ports.reached(0)
        assert {name: split_address(address)[0] for name, address in reached.items()} == {
            "listen": "127.0.0.1",
            "websocket": "127.0.0.1",
            "admin": "::1",
        }
        opened = ports.listen(0)
        with opened["listen"], opened["websocket"], opened["admin"]:
            assert opened["listen"].getsockname()[0] == "0.0.0.0"
            assert all(connects(address) for address in reached.values())


@pytest.mark.parametrize("replicas", [0, 2, 4, 11])
def test_only_odd_numbers_of_replicas_make_a_cluster(replicas: int) -> None:
    with pytest.raises(SettingError, match=f"^--replicas {replicas}: must be one of 1, 3, 5, 7, 9$"), reserve_ports(replicas, Settings(), 0):
        pytest.fail("no such cluster")


def test_a_base_port_gives_three_rows_of_ports() -> None:
    assert base_addresses(Settings(), 7400) == {"listen": ("127.0.0.1", 7400), "websocket": ("127.0.0.1", 7500), "admin": ("127.0.0.1", 7600)}


def test_port_0_is_any_free_port() -> None:
    assert {port for _, port in base_addresses(Settings(), 0).values()} == {0}


def test_addresses_can_be_given_one_by_one_and_admin_stays_on_loopback() -> None:
    settings = resolve({"listen": "0.0.0.0:9000", "insecure": True}, {})
    assert base_addresses(settings, None) == {"listen": ("0.0.0.0", 9000), "websocket": ("0.0.0.0", 9100), "admin": ("127.0.0.1", 9200)}
    settings = resolve({"listen": "127.0.0.1:0", "websocket": "127.0.0.2:5", "admin": "[::1]:6"}, {})
    assert base_addresses(settings, None) == {"listen": ("127.0.0.1", 0), "websocket": ("127.0.0.2", 5), "admin": ("::1", 6)}


@pytest.mark.parametrize(
    ("flags", "port", "message"),
    [
        ({"listen": "0.0.0.0:9000"}, None, "--listen 0.0.0.0:9000: other machines can reach it"),
        ({}, 65_400, "--port 65400: the port must be 65327 at most: replicas listen there and 200 above, each at the next"),
        ({"listen": "127.0.0.1:65500"}, None, "--listen 127.0.0.1:65500: the port must be 65327 at most"),
        ({"admin": "127.0.0.1:65530"}, 7400, "--admin 127.0.0.1:65530: its port must be 65527 at most: each replica takes the next"),
        ({"listen": "fd:3"}, None, "--listen fd:3: a local cluster opens its own sockets: give HOST:PORT"),
        ({}, None, "--listen: give an address or --port"),
    ],
)
def test_addresses_that_cannot_be_are_named(flags: dict[str, str], port: int | None, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        base_addresses(resolve(flags, {}), port)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"admin": "127.0.0.1:18702"}, "--admin 127.0.0.1:18702: too near 127.0.0.1:18700, where the listen ports begin: 3 replicas take a "),
        ({"websocket": "0.0.0.0:18698", "insecure": True}, "--websocket 0.0.0.0:18698: too near 127.0.0.1:18700, where the listen ports begin: "),
        ({"websocket": "127.0.0.1:18901"}, "--websocket 127.0.0.1:18901: too near 127.0.0.1:18900, where the admin ports begin: "),
    ],
)  # fmt: skip
def test_listeners_whose_replicas_would_get_the_same_port_are_refused(flags: dict[str, str | bool], message: str) -> None:
    with pytest.raises(SettingError) as caught, reserve_ports(3, resolve(flags, {}), 18700):
        pytest.fail("reserved")
    assert str(caught.value).startswith(message)


def test_bases_that_are_just_far_enough_apart_will_do() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1] & ~7
    with suppress(ListenError), reserve_ports(3, resolve({"admin": f"127.0.0.1:{port + 3}"}, {}), port) as ports:  # a port may be taken
        assert ports.reached(0)["admin"] == f"127.0.0.1:{port + 3}"


def test_a_new_replica_has_the_usual_ports_where_nobody_says_otherwise() -> None:
    place = ReplicaPlace(id=3, address="127.0.0.1:7403")
    found = with_usual_ports(Settings(), place)
    assert (found.listen, found.websocket, found.admin) == ("", "127.0.0.1:7503", "127.0.0.1:7603")
    found = with_usual_ports(resolve({"listen": "[::1]:1", "admin": "127.0.0.1:9"}, {}), place)
    assert (found.websocket, found.admin) == ("[::1]:101", "127.0.0.1:9")
    assert with_usual_ports(Settings(), ReplicaPlace(id=3, address="h:65500")) == Settings()
    assert with_usual_ports(Settings(), ReplicaPlace(id=3)) == Settings()
    assert with_usual_ports(resolve({"listen": "fd:3"}, {}), place).websocket == ""
