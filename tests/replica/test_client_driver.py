from __future__ import annotations

import logging
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from replica.client_driver import ClientDriver, ClientSettings, Unreachable, open_client
from replica.core import messages as m
from replica.core.flights import Completion, CompletionKind
from replica.hello import Hello, encode_hello, encode_refusal
from replica.packing import FrameRoom
from replica.surroundings import Surroundings
from replica.wire import WireLimits, decode, encode
from statemachine.command import PUT
from transport.errors import HandshakeRefused
from transport.fabric import Fabric
from transport.handshake import Identity
from transport.hub import Hub
from transport.limits import Limits
from transport.mesh import Mesh
from transport.turns import Turns
from triskele.testing import cluster as memory_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from transport.link import Link

ROOMY = WireLimits(commands_per_frame_max=1 << 17, sections_per_frame_max=1 << 14, items_per_frame_max=1 << 20)
HELLO = Hello(cluster_id="c", mode="ho", role="replica", id=0, incarnation=1, config=1, voters=(0, 1, 2))


def within(fabric: Fabric) -> Surroundings:
    return Surroundings(clock=trio.current_time, fabric=fabric, fabric_name="client")


def ignore(completions: list[Completion], now: float) -> None:
    """Take completions."""


class Listener:
    """Says hello as a replica would, and keeps what it is sent."""

    def __init__(self, address: str, hello: Hello, fabric: Fabric | None = None, limits: Limits | None = None) -> None:
        self.address = address
        self.links: list[Link] = []
        self.frames: list[bytes] = []
        turns = Turns(lambda: None)
        self.hub = Hub(turns)
        self.mesh = Mesh(
            turns, encode_hello(hello), lambda _: Identity("client", exclusive=False), on_link_up=lambda _, link: self.links.append(link),
            on_link_down=lambda *_: None, on_frames=lambda _, __, frames: self.frames.extend(frames), hub=self.hub, fabric=fabric,
            fabric_name=address.removeprefix("memory:"), limits=limits,
        )  # fmt: skip

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.hub.run)
            self.address = await nursery.start(self.mesh.listen, self.address)
            task_status.started(self.address)

    @property
    def sections(self) -> list[m.Message]:
        return [section for payload in self.frames for section in decode(payload, limits=ROOMY)[1]]


@asynccontextmanager
async def listeners(*hellos: Hello) -> AsyncIterator[tuple[Fabric, list[Listener]]]:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        opened = [Listener(f"memory:r{place}", hello, fabric) for place, hello in enumerate(hellos)]
        for listener in opened:
            await nursery.start(listener.run)
        yield fabric, opened
        nursery.cancel_scope.cancel()


async def test_the_voters_and_the_mode_are_learned_from_the_first_hello(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with memory_cluster(5, mode="curp") as cluster, cluster.driver() as driver:
        assert driver.client.config.voters == (0, 1, 2, 3, 4)
        assert driver.client.config.mode == "curp"


async def test_one_address_of_three_is_enough_to_know_what_a_majority_is(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with (
        memory_cluster() as cluster,
        open_client(["memory:r0"], on_completions=ignore, surroundings=within(cluster.fabric)) as driver,
    ):
        assert driver.client.config.voters == (0, 1, 2)


async def test_replicas_of_different_clusters_are_no_cluster(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ARG001
    caplog.set_level(logging.INFO)
    stranger = attrs.evolve(HELLO, id=1, cluster_id="another")
    async with (
        listeners(HELLO, stranger) as (fabric, _),
        open_client(["memory:r0"], on_completions=ignore, surroundings=within(fabric)) as driver,
    ):
        driver_links = driver.mesh.links
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.mesh.dial, None, "memory:r1")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert [identity.name for identity in driver_links.values()] == [0]
        assert any("wrong_cluster" in reason for reason in driver.mesh.statistics().reasons)


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        (attrs.evolve(HELLO, cluster_id="another"), "wrong_cluster: cluster 'another'; here it is 'c'"),
        (attrs.evolve(HELLO, mode="paxos"), "wrong_mode: mode 'paxos'; here it is 'ho'"),
        (attrs.evolve(HELLO, role="client"), "wrong_role"),
        (attrs.evolve(HELLO, mode=""), "wrong_mode"),
        (attrs.evolve(HELLO, id=9), "unknown_replica: replica 9 is no voter"),
    ],
)
async def test_a_refused_cluster_is_told_with_the_reason(autojump_clock: MockClock, hello: Hello, why: str) -> None:
    settings = ClientSettings(cluster_id="c", mode="ho", connect_seconds=0.5)
    begun = autojump_clock.current_time()
    async with listeners(hello) as (fabric, _):
        with pytest.raises(Unreachable) as caught:
            async with open_client(["memory:r0"], settings=settings, on_completions=ignore, surroundings=within(fabric)):
                raise AssertionError
    assert str(caught.value).startswith("cannot reach the cluster at memory:r0 within 0.5 s: ")
    assert why in str(caught.value)
    assert autojump_clock.current_time() - begun < 1


async def test_a_replica_that_was_removed_is_dialed_once_and_no_line_is_printed(
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    caplog: pytest.LogCaptureFixture,
) -> None:
    fabric, dials = Fabric(), 0
    turns = Turns(lambda: None)

    def refuse(_hello: bytes) -> Identity:
        nonlocal dials
        dials += 1
        raise HandshakeRefused("removed", "replica 1 was removed from the cluster (configuration 2); stop it")

    removed = Mesh(
        turns, encode_hello(HELLO), refuse, on_link_up=lambda *_: None, on_link_down=lambda *_: None, on_frames=lambda *_: None, fabric=fabric,
        fabric_name="r1", refusal=encode_refusal,
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        await nursery.start(Listener("memory:r0", HELLO, fabric).run)
        await nursery.start(removed.listen, "memory:r1")
        async with open_client(["memory:r0", "memory:r1"], on_completions=ignore, surroundings=within(fabric)):
            caplog.clear()
            await trio.sleep(60)
            assert dials == 1
        nursery.cancel_scope.cancel()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING and "r1" in record.message] == []


async def test_a_learner_is_dialed_again_and_no_line_is_printed(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ARG001
    async with (
        listeners(HELLO, attrs.evolve(HELLO, id=7, config=2)) as (fabric, _),
        open_client(["memory:r0", "memory:r1"], on_completions=ignore, surroundings=within(fabric)) as driver,
    ):
        await trio.sleep(10)
        assert driver.mesh.statistics().reasons["handshake_refused:unknown_replica"] > 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_dial_that_succeeds_while_the_client_leaves_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with listeners(HELLO, attrs.evolve(HELLO, id=1)) as (fabric, (_, second)):
        fabric.delay(0.5, 0.5)
        async with open_client(["memory:r0", "memory:r1"], on_completions=ignore, surroundings=within(fabric)) as driver:
            begun = autojump_clock.current_time()
            await driver.leave()
            assert driver.mesh.statistics().connections == 0
            assert autojump_clock.current_time() - begun < 1
        assert len(second.links) <= 1


async def test_what_waits_on_a_link_is_not_sent_again_behind_itself(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        session = driver.client.open_session(b"t", None)
        driver.wake()
        await trio.sleep(1)
        for replica in ("r0", "r1", "r2"):
            cluster.fabric.clog("client0", replica)
        session.record(bytes([PUT]) * 8, [b"k"] * 8, [bytes(1 << 20)] * 8, None, driver.now())
        driver.wake()
        await trio.sleep(5)
        assert driver.client.resent == 0
        cluster.fabric.heal()
        await trio.sleep(1)
        assert session.committed == 8


async def test_nobody_there_is_told_in_one_line(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    with pytest.raises(Unreachable, match=r"^cannot reach the cluster at memory:a,memory:b within 5 s: nobody answers$"):
        async with open_client(["memory:a", "memory:b"], on_completions=ignore, surroundings=within(Fabric())):
            raise AssertionError


@pytest.mark.parametrize("address", ["127.0.0.1", "ws://127.0.0.1"])
async def test_a_web_server_at_the_address_is_told_in_one_line(address: str) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    settings = ClientSettings(connect_seconds=0.2)
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        with pytest.raises(Unreachable, match=r" within 0.2 s: what answers is no replica \(bad_\w+\)$"):
            async with open_client([f"{address}:{port}"], settings=settings, on_completions=ignore):
                raise AssertionError
        nursery.cancel_scope.cancel()


async def test_garbage_from_a_replica_closes_its_link_and_it_is_dialed_again(autojump_clock: MockClock) -> None:  # noqa: ARG001
    addresses = ["memory:r0", "memory:r1"]
    async with (
        listeners(HELLO, attrs.evolve(HELLO, id=1)) as (fabric, (first, second)),
        open_client(addresses, on_completions=ignore, surroundings=within(fabric)) as driver,
    ):
        await trio.sleep(0.1)
        first.links[0].send([b"\x82\x00\x82\x18\x63\x01"])
        first.links[0].flush()
        await trio.sleep(5)
        assert driver.mesh.statistics().reasons.get("unknown_tag") == 1
        assert (len(first.links), len(second.links)) == (2, 1)
        assert len(driver.mesh.links) == 2


async def test_commands_go_on_over_the_next_link(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        for number in range(5):
            await store.put(b"k", b"%d" % number)
            for replica in cluster.servers.values():
                for link, identity in list(replica.mesh.links.items()):
                    if not identity.exclusive:
                        link.abort("reset")
            assert await store.get(b"k") == b"%d" % number


async def test_what_the_callback_submits_leaves_in_the_same_turn(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    completed: list[Completion] = []

    def on_completions(completions: list[Completion], now: float) -> None:
        completed.extend(completions)
        if completions[-1].kind is CompletionKind.OPENED:
            completions[-1].session.record(bytes([PUT]), [b"k"], [b"v"], "put", now)

    async with memory_cluster() as cluster, cluster.driver(on_completions) as driver:
        driver.client.open_session(b"token", "opened")
        driver.wake()
        with trio.fail_after(5):
            while len(completed) < 2:  # noqa: ASYNC110 - completions come by a callback
                await trio.sleep(0.001)
    assert [completion.handle for completion in completed] == ["opened", "put"]


async def submitted(driver: ClientDriver, listener: Listener, wanted: int) -> list[m.Message]:
    """End the turn and wait until the listener has so many rows of records."""
    driver.end_turn()
    with trio.fail_after(30):
        while sum(len(section.keys) for section in listener.sections if isinstance(section, m.Record)) < wanted:  # noqa: ASYNC110 - frames come by a callback
            await trio.sleep(0.01)
    return listener.sections


@pytest.mark.parametrize(("count", "size"), [(200_000, 1), (60, 1 << 20), (3000, 5000)])
async def test_a_turn_that_submits_very_much_stays_within_what_replicas_take(count: int, size: int) -> None:
    """Over a real socket: the listener's link takes no frame that a replica would not take."""
    listener = Listener("127.0.0.1:0", attrs.evolve(HELLO, voters=(0,)), limits=Limits(frame_bytes_max=8 << 20, out_queue_bytes_max=1 << 30))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(listener.run)
        settings = ClientSettings(limits=Limits(out_queue_bytes_max=1 << 30))
        async with open_client([address], settings=settings, on_completions=ignore) as driver:
            driver.client.step(0, [m.Leader(1, 1, 0)], driver.now())
            session = driver.client.open_session(b"token", None)
            driver.client.step(0, [m.SessionOpened([b"token"], [5])], driver.now())
            keys = [b"%07d" % number for number in range(count)]
            session.record(bytes(count), list(keys), [bytes(size)] * count, None, driver.now())
            sections = await submitted(driver, listener, count)
            assert max(map(len, listener.frames)) <= 2 * FrameRoom().bytes_max
            records = [section for section in sections if isinstance(section, m.Record)]
            assert [key for record in records for key in record.keys][:count] == keys
            assert len(listener.links) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("where", ["127.0.0.1:0", "ws://127.0.0.1:0/"])
async def test_the_last_turn_of_a_block_is_sent_whatever_carries_it(where: str) -> None:
    """Else a session would not be closed before its lease ends."""
    listener = Listener(where, attrs.evolve(HELLO, voters=(0,)))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(listener.run)
        async with open_client([address], on_completions=ignore) as driver:
            driver.client.step(0, [m.Leader(1, 1, 0)], driver.now())
            session = driver.client.open_session(b"token", None)
            driver.client.step(0, [m.SessionOpened([b"token"], [5])], driver.now())
            driver.client.close_session(session)
            driver.end_turn()
        with trio.fail_after(5):
            while m.CloseSession([5], [0]) not in listener.sections:  # noqa: ASYNC110 - frames come by a callback
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_several_drivers_share_one_hub_and_one_turn() -> None:
    drivers: list[ClientDriver] = []

    def end_turn() -> None:
        for driver in drivers:
            driver.end_turn()

    turns = Turns(end_turn)
    hub = Hub(turns)
    listener = Listener("127.0.0.1:0", attrs.evolve(HELLO, voters=(0,)))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(listener.run)
        nursery.start_soon(turns.run)
        nursery.start_soon(hub.run)
        for _ in range(3):
            drivers.append(ClientDriver(ClientSettings(), ignore, (turns, hub)))
            nursery.start_soon(drivers[-1].run_timers)
            nursery.start_soon(drivers[-1].mesh.dial, None, address)
        with trio.fail_after(5):
            for driver in drivers:
                await driver.connected.wait()
        assert {driver.turns for driver in drivers} == {turns}
        nursery.cancel_scope.cancel()


async def test_the_core_is_there_only_after_the_first_hello() -> None:
    driver = ClientDriver(ClientSettings(), ignore)
    driver.end_turn()
    with pytest.raises(AssertionError, match="connected"):
        _ = driver.client
    driver.hub.close()


async def test_an_idle_client_pings_and_little_else(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.driver() as driver:
        await trio.sleep(1)
        before = driver.turns.ended
        await trio.sleep(60)
        assert driver.turns.ended - before <= 60 * 4 + 10  # a ping a second, and three answers


async def test_frames_of_a_link_that_was_replaced_are_ignored(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with (
        listeners(HELLO) as (fabric, (first,)),
        open_client(["memory:r0"], on_completions=ignore, surroundings=within(fabric)) as driver,
    ):
        ((link, identity),) = driver.mesh.links.items()
        driver._on_link_down(identity, link, "reset")
        driver._on_frames(identity, link, [encode(0, [m.Leader(9, 9, 0)])])
        assert driver.client.view == 0
        assert first.links
