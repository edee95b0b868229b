"""The mesh keeps one live link to each peer and many to clients, and one connection's trouble is nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from tests.transport.mesh_nodes import ADDRESSES, QUICK, Node
from transport.errors import AddressInUse, BadAddress, HandshakeRefused, LocalMisuse
from transport.fabric import Fabric
from transport.handshake import Connection, Identity
from transport.limits import Limits

if TYPE_CHECKING:
    from transport.link import Link

SERVER = Identity("server", exclusive=True)
each_kind = pytest.mark.parametrize("address", ADDRESSES)


@each_kind
async def test_a_dialed_link_comes_up_at_both_ends_and_carries_frames(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("client c", fabric).start(nursery)
        server.echo = True
        bound = await nursery.start(server.mesh.listen, address)
        client.on_up = lambda link: client.post(link, b"hello")
        nursery.start_soon(client.mesh.dial, SERVER, bound)
        await client.until(lambda: bool(client.frames))
        assert (client.ups, server.ups) == ([SERVER], [Identity("c", exclusive=False)])
        assert (client.frames, server.frames) == ([("server", b"hello")], [("c", b"hello")])
        link = client.mesh.link_to("server")
        assert link is not None
        assert dict(client.mesh.links) == {link: SERVER}
        assert server.mesh.link_to("c") is None  # many may have that name
        assert list(server.mesh.links.values()) == server.ups
        nursery.cancel_scope.cancel()


@each_kind
async def test_a_lost_link_is_told_at_both_ends_and_dialed_again(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("peer c", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        nursery.start_soon(client.mesh.dial, SERVER, bound)
        for round_ in range(1, 4):
            await client.until(lambda round_=round_: len(client.ups) == round_)  # type: ignore[misc]
            await server.until(lambda round_=round_: len(server.ups) == round_)  # type: ignore[misc]
            link = server.mesh.link_to("c")
            assert link is not None
            turns = client.turns_ended
            link.close("tired")
            await client.until(lambda round_=round_: len(client.downs) == round_)  # type: ignore[misc]
            await client.until(lambda turns=turns: client.turns_ended > turns)  # type: ignore[misc]
        assert client.downs == [("server", "closed_by_peer")] * 3
        await server.until(lambda: len(server.downs) == 3)
        assert server.downs == [("c", "tired")] * 3
        nursery.cancel_scope.cancel()


async def test_nobody_waits_for_a_connection_that_failed_while_it_said_hello(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Connection.begin

    def fail(self: Connection, link: Link) -> None:
        begin(self, link)
        if self.dialed:
            raise RuntimeError("while it says hello")

    monkeypatch.setattr(Connection, "begin", fail)
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("peer c", fabric).start(nursery)
        await nursery.start(server.mesh.listen, "memory:server")
        with pytest.raises(RuntimeError, match="while it says hello"):
            await client.mesh.dial(SERVER, "memory:server")
        client.mesh.close_all("shutdown")
        with trio.fail_after(1):
            await client.mesh.wait_closed()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("autojump_clock", [MockClock(autojump_threshold=0)])
async def test_dialing_backs_off_for_ever_until_somebody_listens(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    limits = Limits(backoff_seconds_min=1.0, backoff_seconds_max=8.0)
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("peer c", fabric, limits, jitter=lambda: 1.0).start(nursery)
        nursery.start_soon(client.mesh.dial, SERVER, "memory:server")
        await trio.sleep(1 + 2 + 4 + 8 + 8 + 0.5)
        assert client.mesh.statistics().dial_attempts == 6
        assert client.reasons == {"dial_failed": 6}
        await nursery.start(server.mesh.listen, "memory:server")
        await trio.sleep(8)
        assert client.ups == [SERVER]
        nursery.cancel_scope.cancel()
    assert client.mesh.statistics().dials_succeeded == 0  # counted when its link has ended
    assert autojump_clock.current_time() > 30


@each_kind
async def test_the_newer_link_of_a_peer_wins(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server = Node("peer server", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        first, second = Node("peer same", fabric).start(nursery), Node("peer same", fabric).start(nursery)
        nursery.start_soon(first.mesh.dial, SERVER, bound)
        await server.until(lambda: len(server.ups) == 1)
        nursery.start_soon(second.mesh.dial, SERVER, bound)
        await server.until(lambda: bool(server.downs))
        assert server.downs[0] == ("same", "superseded")
        await first.until(lambda: bool(first.downs))
        nursery.cancel_scope.cancel()


@each_kind
async def test_two_peers_that_dial_each_other_settle_on_one_link(address: str) -> None:
    """Dials that cross supersede each other at both ends; jitter parts them, and who has a link does not dial."""
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, other = Node("peer server", fabric).start(nursery), Node("peer other", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        back = await nursery.start(other.mesh.listen, address.replace("server", "other"))
        nursery.start_soon(other.mesh.dial, SERVER, bound)
        nursery.start_soon(server.mesh.dial, Identity("other", exclusive=True), back)
        await server.until(lambda: bool(server.ups))
        with trio.fail_after(10):
            before = -1
            while before != len(server.ups):
                before = len(server.ups)
                await trio.sleep(0.2)
        assert len(server.mesh.links) == len(other.mesh.links) == 1
        nursery.cancel_scope.cancel()


@each_kind
async def test_two_addresses_of_one_peer_settle_on_one_link_and_each_replaces_the_other(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("client c", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        second = await nursery.start(server.mesh.listen, address.replace("server", "again"))
        nursery.start_soon(client.mesh.dial, None, bound)
        nursery.start_soon(client.mesh.dial, None, second)
        for round_ in range(1, 4):
            await client.until(lambda round_=round_: len(client.ups) == round_)  # type: ignore[misc]
            await client.until(lambda round_=round_: client.mesh.statistics().reasons.get("second_address", 0) == round_)  # type: ignore[misc]
            await server.until(lambda: len(server.mesh.links) == 1)
            assert len(client.downs) == round_ - 1
            link = client.mesh.link_to("server")
            assert link is not None
            link.close("tired")
        assert "superseded" not in client.mesh.statistics().reasons
        nursery.cancel_scope.cancel()


@each_kind
async def test_clients_may_have_any_number_of_links(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("client c", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        for _ in range(5):
            nursery.start_soon(Node("client c", fabric).start(nursery).mesh.dial, None, bound)
        nursery.start_soon(client.mesh.dial, None, bound)
        await server.until(lambda: len(server.ups) == 6)
        assert len(server.mesh.links) == 6
        assert server.mesh.statistics().links_up == 6
        assert {link.pause_above_bytes for link in server.mesh.links} == {QUICK.pause_above_bytes}
        nursery.cancel_scope.cancel()


@each_kind
async def test_frames_sent_right_behind_the_hello_are_not_lost(address: str) -> None:
    """Also large ones: only strangers are held to the limit of a hello."""
    fabric = Fabric()
    large = bytes(QUICK.hello_bytes_max * 4)
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("peer c", fabric).start(nursery)

        def greet(link: Link) -> None:
            server.post(link, b"first")
            server.post(link, large)

        server.on_up = greet
        bound = await nursery.start(server.mesh.listen, address)
        nursery.start_soon(client.mesh.dial, SERVER, bound)
        await client.until(lambda: len(client.frames) == 2)
        assert client.frames == [("server", b"first"), ("server", large)]
        nursery.cancel_scope.cancel()


@each_kind
async def test_stop_accepting_leaves_links_alive(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("peer c", fabric).start(nursery)
        server.echo = True
        bound = await nursery.start(server.mesh.listen, address)
        nursery.start_soon(client.mesh.dial, SERVER, bound)
        await client.until(lambda: bool(client.ups))
        server.mesh.stop_accepting()
        late = Node("peer late", fabric).start(nursery)
        nursery.start_soon(late.mesh.dial, SERVER, bound)
        await late.until_reason("dial_failed", 2)
        link = client.mesh.link_to("server")
        assert link is not None
        client.post(link, b"still here")
        await client.until(lambda: client.frames == [("server", b"still here")])
        nursery.cancel_scope.cancel()


@each_kind
async def test_close_all_sends_what_is_queued_and_stays_closed(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("peer c", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        nursery.start_soon(client.mesh.dial, SERVER, bound)
        await server.until(lambda: bool(server.ups))
        link = server.mesh.link_to("c")
        assert link is not None
        link.send([b"last words"])
        server.mesh.close_all("shutdown")
        await client.until(lambda: bool(client.downs))
        assert client.frames == [("server", b"last words")]
        await server.until(lambda: server.downs == [("c", "shutdown")])
        assert client.downs == [("server", "closed_by_peer")]
        attempts = client.mesh.statistics().dial_attempts
        await client.until(lambda: client.mesh.statistics().dial_attempts > attempts)
        assert len(server.ups) == 1
        nursery.cancel_scope.cancel()


@each_kind
async def test_who_will_never_be_wanted_is_not_dialed_again(address: str, caplog: pytest.LogCaptureFixture) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("never server", fabric).start(nursery), Node("client c", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        with trio.fail_after(10):
            await client.mesh.dial(None, bound)
        assert client.mesh.statistics().dial_attempts == 1
        assert client.mesh.statistics().reasons == {"handshake_refused:never": 1}
        nursery.cancel_scope.cancel()
    assert [record for record in caplog.records if "handshake_refused:never" in record.message and record.levelname == "WARNING"] == []


@each_kind
async def test_whoever_dials_is_told_of_refusals_and_may_end_it_all(address: str) -> None:
    fabric = Fabric()
    heard: list[str] = []

    def on_refused(refused: HandshakeRefused) -> None:
        heard.append(refused.why)
        if len(heard) == 3:
            raise BadAddress("enough")

    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("nonsense", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        with trio.fail_after(10), pytest.raises(BadAddress, match="enough"):
            await client.mesh.dial(SERVER, bound, on_refused)
        assert heard == ["they_say_bad_hello"] * 3
        nursery.cancel_scope.cancel()


@each_kind
async def test_cancelling_a_dial_closes_its_link(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, client = Node("peer server", fabric).start(nursery), Node("peer c", fabric).start(nursery)
        bound = await nursery.start(server.mesh.listen, address)
        async with trio.open_nursery() as dialing:
            dialing.start_soon(client.mesh.dial, SERVER, bound)
            await client.until(lambda: bool(client.ups))
            dialing.cancel_scope.cancel()
        await server.until(lambda: server.downs == [("c", "closed_by_peer")])
        assert not client.mesh.links
        assert client.downs == []  # whoever cancels knows
        nursery.cancel_scope.cancel()


@each_kind
async def test_a_taken_address_is_named(address: str) -> None:
    fabric = Fabric()
    async with trio.open_nursery() as nursery:
        server, other = Node("peer server", fabric).start(nursery), Node("peer other", fabric).start(nursery)
        bound: str = await nursery.start(server.mesh.listen, address)
        with pytest.raises(AddressInUse) as caught:
            await other.mesh.listen(bound)
        assert bound.removeprefix("ws://").rstrip("/") in str(caught.value)
        nursery.cancel_scope.cancel()


async def test_what_a_mesh_cannot_listen_at_is_local_misuse() -> None:
    node = Node("peer lonely")
    with pytest.raises(BadAddress, match="nonsense"):
        await node.mesh.listen("nonsense")
    with pytest.raises(LocalMisuse, match="fabric"):
        await node.mesh.listen("memory:x")


NOWHERE = ["", "nonsense", "memory:7403", "a..b:1", f"{'x' * 64}:1", "\ufffd:1", "h\0:1", "[fe80::1%zz]:1", "h:" + "9" * 5000]


@pytest.mark.parametrize("address", NOWHERE)
async def test_whatever_others_told_as_an_address_is_dialed_in_vain_and_ends_nothing(address: str, caplog: pytest.LogCaptureFixture) -> None:
    node = Node("peer lonely")
    caplog.set_level("INFO", "triskele.transport")
    async with trio.open_nursery() as nursery:
        node.start(nursery)
        nursery.start_soon(node.mesh.dial, None, address)
        await node.until(lambda: node.mesh.statistics().reasons.get("dial_failed", 0) >= 2)
        nursery.cancel_scope.cancel()
    assert len([record for record in caplog.records if "dialing" in record.message]) == 1, "said once"


async def test_a_bug_in_a_callback_ends_the_nursery() -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            server, client = Node("peer server").start(nursery), Node("peer c").start(nursery)
            server.on_up = fail
            bound = await nursery.start(server.mesh.listen, "127.0.0.1:0")
            nursery.start_soon(client.mesh.dial, SERVER, bound)
            await trio.sleep(20)
    assert caught.group_contains(ZeroDivisionError)
