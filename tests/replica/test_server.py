from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.config import SettingError, Settings
from replica.core.messages import Contact
from replica.guard import Diverged
from replica.hello import Hello, encode_hello, encode_refusal
from replica.listening import ListenError, open_sockets
from replica.server import Server, serve
from tests.replica.fake_links import CLIENT as CLIENT_LINK
from tests.replica.fake_links import FakeLink
from transport.errors import HandshakeRefused
from transport.handshake import Identity
from triskele.admin_client import post
from triskele.child import child_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FREE = "127.0.0.1:0"
SETTINGS = Settings(listen=FREE, websocket=FREE, admin=FREE, durability="memory")
CLUSTER = ClusterFile(
    cluster_id="c", mode="ho", durability="memory", replicas=tuple(ReplicaPlace(id=number, address=f"127.0.0.1:{9}") for number in range(3))
)
ALONE = attrs.evolve(CLUSTER, replicas=CLUSTER.replicas[:1])
PEER = Hello(cluster_id="c", mode="ho", role="replica", id=1, incarnation=5, config=1, voters=(0, 1, 2))
CLIENT = Hello(cluster_id="", mode="", role="client", id=0, incarnation=0, config=0, voters=())


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(SETTINGS, CLUSTER, 0)
    yield made
    made.hub.close()


def refused(server: Server, hello: Hello) -> str:
    with pytest.raises(HandshakeRefused) as caught:
        server._judge(encode_hello(hello))
    return caught.value.why


def test_peers_are_known_by_their_ids_and_clients_are_many(server: Server) -> None:
    assert server._judge(encode_hello(PEER)) == Identity(1, exclusive=True)
    assert server._judge(encode_hello(PEER)) == Identity(1, exclusive=True)
    clients = [server._judge(encode_hello(CLIENT)) for _ in range(2)]
    assert len({client.name for client in clients}) == 2
    assert not any(client.exclusive for client in clients)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cluster_id": "another"}, "wrong_cluster"), ({"mode": "paxos"}, "wrong_mode"), ({"id": 7}, "unknown_replica"),
        ({"voters": (0, 1, 3)}, "wrong_voters"), ({"id": 0}, "own_id"), ({"role": "learner"}, "wrong_role"),
    ],
)  # fmt: skip
def test_who_does_not_belong_here_is_refused_by_name(server: Server, changes: dict[str, Any], why: str) -> None:
    assert refused(server, attrs.evolve(PEER, **changes)) == why


def test_bytes_that_are_no_hello_are_refused_by_name(server: Server) -> None:
    for payload, why in ((b"\xff", "malformed_hello"), (b"\x82\x64etcd\x01", "wrong_magic"), (b"\x82\x68triskele\x18\x63", "wrong_version")):
        with pytest.raises(HandshakeRefused) as caught:
            server._judge(payload)
        assert caught.value.why == why


def test_a_peer_that_restarted_empty_has_forgotten_what_it_acknowledged(server: Server) -> None:
    server._judge(encode_hello(PEER))
    assert refused(server, attrs.evolve(PEER, incarnation=1 << 32 | 6)) == "forgotten_state", "the upper half names its data folder"
    assert server._judge(encode_hello(attrs.evolve(PEER, incarnation=6))).name == 1
    server._judge(encode_hello(attrs.evolve(PEER, id=2, incarnation=6)))


def test_readiness_has_its_reasons(server: Server) -> None:
    assert server.ready() == ["view 1 is not open: no majority has joined it"]
    server.driver.broken = True
    server.stopping = "SIGTERM"
    assert server.ready() == ["stopping: SIGTERM", "broken: an invariant failed", "view 1 is not open: no majority has joined it"]
    follower = Server(SETTINGS, CLUSTER, 1)
    assert follower.ready() == ["no link to the leader, replica 0"]
    follower.hub.close()


def test_who_was_removed_says_so_and_nothing_of_leaders_and_links() -> None:
    removed = Server(SETTINGS, CLUSTER, 1)
    removed.peering.on_refused("removed", "replica 1 was removed from the cluster (configuration 2); stop it")
    assert removed.ready() == ["replica 1 was removed from the cluster (configuration 2); stop it"]
    assert removed.status()["role"] == "removed"
    removed.hub.close()


def test_a_stranger_that_says_we_were_removed_is_not_believed(server: Server) -> None:
    """Only whom we dialed is gone by: anybody may dial us."""
    with pytest.raises(HandshakeRefused, match="removed"):
        server._judge(encode_refusal("removed", "you were removed"))
    assert (server.peering.removed, server.status()["role"]) == ("", "follower" if server.core.roles.leader is None else "leader")


def test_a_linked_replica_is_told_where_this_one_listens_and_a_client_is_not(server: Server) -> None:
    peer, client = FakeLink(), FakeLink()
    server.whereabouts.own = ("h:1", "h:2", "h:3")
    server._on_link_up(Identity(1, exclusive=True), peer)  # type: ignore[arg-type]
    server._on_link_up(CLIENT_LINK, client)  # type: ignore[arg-type]
    assert (peer.of(Contact), client.of(Contact)) == ([Contact([b"h:1", b"h:2", b"h:3"])], [])


def test_status_has_what_the_interface_promises(server: Server) -> None:
    status = server.status()
    promised = {
        "id",
        "role",
        "view",
        "leader",
        "commit",
        "applied",
        "config_id",
        "mode",
        "state_hash",
        "home_sessions",
        "turn_seconds_max",
        "turn_cpu_seconds_max",
    }
    assert promised <= set(status)
    assert (status["id"], status["role"], status["view"], status["leader"], status["mode"]) == (0, "leader", 1, 0, "ho")
    assert len(str(status["state_hash"])) == 16
    counters = status["counters"]
    assert isinstance(counters, dict)
    assert {"cpu_seconds", "rss_bytes", "syscalls", "frames_per_send", "drops", "links_closed", "turns", "commands"} <= set(counters)
    assert set(counters["syscalls"]) == {"send", "receive", "poll", "sync", "other"}
    json.dumps(status)


def test_the_state_hash_is_counted_in_slices(server: Server) -> None:
    store = server.core.node.store
    count = 5000
    store.apply(bytes(count), [b"%d" % number for number in range(count)], [b"v"] * count, 1)
    assert server.status()["state_hash"] is None
    while store.fold(1000):
        pass
    assert server.status()["state_hash"] is not None


def test_metrics_are_lines_with_the_replicas_label(server: Server) -> None:
    lines = [line for line in server.metrics().splitlines() if not line.startswith("#")]
    assert lines
    assert all('replica="0"' in line for line in lines)


def test_metrics_tell_positions_as_the_status_does_and_count_commands_under_another_name(server: Server) -> None:
    server.driver.statistics.applied += 5
    status, lines = server.status(), server.metrics().splitlines()
    for name in ("applied", "commit", "view"):
        assert f'triskele_{name}{{replica="0"}} {status[name]}' in lines
    assert 'triskele_applied_commands_total{replica="0"} 5' in lines


def get(admin: str, page: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(admin + page, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


async def test_a_cluster_of_one_serves_its_pages() -> None:
    found: list[dict[str, str]] = []
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve, SETTINGS, ALONE, 0, listening=found.append))
            while not found:  # noqa: ASYNC110 - told by a callback
                await trio.sleep(0.01)
            admin = found[0]["admin"]

            async def ask(page: str) -> tuple[int, bytes]:
                return await trio.to_thread.run_sync(get, admin, page)

            while (await ask("/readyz"))[0] != 200:  # noqa: ASYNC110 - asked from outside
                await trio.sleep(0.01)
            assert (await ask("/healthz"))[0] == 200
            assert json.loads((await ask("/status"))[1])["role"] == "leader"
            counters = json.loads((await ask("/counters"))[1])
            assert (counters["role"], len(counters["incarnation"]), counters["turn_marks"]) == ("leader", 16, 0)
            marked = json.loads((await post(admin, "/counters/mark")).body)
            assert (marked["incarnation"], marked["turn_marks"], marked["turn_seconds_since_mark"]) == (counters["incarnation"], 1, 0.0)
            assert (await post(admin, "/counters/mark?name=x")).status == 400
            assert b"triskele_" in (await ask("/metrics"))[1]
            assert (await ask("/snapshot"))[1].startswith(b"TSKSNAP\n")
            assert (await ask("/transfer-leader"))[0] == 405
            assert (await ask("/nothing"))[0] == 404
            nursery.cancel_scope.cancel()


async def test_contradictory_settings_are_refused_before_anything_is_opened() -> None:
    with pytest.raises(SettingError, match="paxos"):
        await serve(SETTINGS.changed("--mode", mode="paxos"), CLUSTER, 0)
    with pytest.raises(SettingError, match="7"):
        await serve(SETTINGS, CLUSTER, 7)


async def test_a_port_that_is_taken_is_told_and_the_other_ports_are_closed() -> None:

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match=address):
            await serve(attrs.evolve(SETTINGS, admin=address), ALONE, 0)


SERVE = """
import trio
from tests.replica.test_server import ALONE, SETTINGS
from replica.server import serve
trio.run(lambda: serve(SETTINGS, ALONE, 0, listening=lambda addresses: print(addresses["address"], flush=True)))
"""


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_in_order_with_status_zero(number: signal.Signals) -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            start = partial(trio.run_process, [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, check=False)
            process: trio.Process = await nursery.start(start)
            assert process.stdout is not None
            host, port = (await process.stdout.receive_some()).decode().strip().rsplit(":", 1)
            async with await trio.open_tcp_stream(host, int(port)) as link:
                with trio.fail_after(5):
                    process.send_signal(number)
                    while await link.receive_some():
                        pass  # the link ends with the process
                    assert await process.wait() == 0


STALLED = """
import os, signal, threading, trio
import replica.server
from replica.cluster_file import ClusterFile, ReplicaPlace
from tests.replica.test_server import SETTINGS
replica.server.STOP_SECONDS_MAX = 0.2
cluster = ClusterFile(replicas=(ReplicaPlace(id=0, data_dir="folder"),), cluster_id="c")

def stall(descriptor, sync=os.fdatasync):
    if threading.current_thread() is threading.main_thread() or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # it starts still
        return sync(descriptor)
    os.kill(os.getpid(), signal.SIGTERM)  # the disk is waited for at this moment
    threading.Event().wait()

os.fdatasync = stall
trio.run(lambda: replica.server.serve(SETTINGS.changed("--durability", durability="disk"), cluster, 0))
"""


def test_a_signal_ends_it_in_time_though_its_disk_never_answers_again(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STALLED]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), cwd=tmp_path, check=False, timeout=30)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (
        1, ["not stopped within 0.2 s (does the disk answer?): ended here, and nothing acknowledged is lost"],
    )  # fmt: skip


async def test_a_stopping_replica_waits_for_what_it_holds_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replica.server.DRAIN_SECONDS_MAX", 0.1)
    made = Server(SETTINGS, CLUSTER, 0)
    made.core.node.witness.commands = 1
    await made._stop("SIGTERM")
    assert made.ready()[0] == "stopping: SIGTERM"
    assert made.core.node.draining
    made.hub.close()


async def test_a_replica_out_of_service_says_why_and_says_nothing_else() -> None:
    made = Server(SETTINGS, CLUSTER, 0)
    assert made.status()["out_of_service"] == ""
    made.core.divergence.verdict = "its state at position 64 is not that of the majority"
    made._silence()
    assert made.ready() == ["out of service: its state at position 64 is not that of the majority"]
    assert made.status()["out_of_service"] == made.guard.verdict
    assert made.driver.broken
    with trio.fail_after(0.5):
        await made._stop("SIGTERM")  # it waits for nobody
    with pytest.raises(Diverged):
        made.guard.judge_end()
    made.hub.close()


async def test_one_out_of_service_stays_until_it_is_stopped_and_ends_with_the_reason() -> None:
    """Its ports for peers and clients are closed, and that must not seem to be the end of the process."""
    found: list[dict[str, str]] = []
    with trio.fail_after(20), ExitStack() as closing, pytest.raises(ExceptionGroup) as caught:
        sockets = open_sockets(SETTINGS)
        for opened in sockets.values():
            closing.enter_context(opened)
        made = Server(SETTINGS, ALONE, 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run, found.append, sockets)
            while not found:  # noqa: ASYNC110 - told by a callback
                await trio.sleep(0.01)
            made.core.divergence.verdict = "its state at position 64 is not that of the majority"
            while not made.driver.broken:  # noqa: ASYNC110 - the guard looks now and then, and tells nobody
                await trio.sleep(0.01)
            host, port = found[0]["address"].rsplit(":", 1)
            with pytest.raises(OSError, match=r"refused|failed"):
                await trio.open_tcp_stream(host, int(port))
            status, told = await trio.to_thread.run_sync(get, found[0]["admin"], "/readyz")
            assert (status, b"out of service: its state at position 64" in told) == (503, True)
            signal.raise_signal(signal.SIGTERM)
    assert [type(error) for error in caught.value.exceptions] == [Diverged]
