from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from replica import driver as driver_module
from replica import wire
from replica.core import messages as m
from replica.core.config import CoreConfig
from replica.core.effects import Effects
from replica.core.node import Node
from replica.core.recovery import witness_states
from replica.core.replica import Replica
from replica.core.witness import Run
from replica.driver import CLIENT_FRAME_BYTES_MAX, CLIENT_QUEUE_BYTES_MAX, PEER_LIMITS, ReplicaDriver, count_commands
from replica.hello import encode_refusal
from replica.wire import WireLimits, decode, encode
from statemachine.command import DELETE, NOOP
from statemachine.sessions import Sessions
from tests.loopback.garbage import GREETED, framed
from tests.replica.fake_links import CLIENT, FakeLink, peer

if TYPE_CHECKING:
    from trio.testing import MockClock

    from transport.link import Link


class Party:
    """A driver of a leading core with links that go nowhere."""

    def __init__(self, replica: int = 0, *, frame_bytes_max: int = 16 << 20) -> None:
        self.now = 100.0
        self.core = Replica(CoreConfig(id=replica, voters=(0, 1, 2)))
        self.driver = ReplicaDriver(self.core, 7, frame_bytes_max=frame_bytes_max, clock=lambda: self.now)
        self.peers = {number: self.link(peer(number)) for number in (0, 1, 2) if number != replica}
        self.client = self.link(CLIENT)

    def link(self, identity: Any) -> FakeLink:
        link = FakeLink(str(identity.name))
        self.driver.on_link_up(identity, as_link(link))
        return link

    def receive(self, link: FakeLink, *sections: m.Message) -> None:
        self.receive_bytes(link, encode(0, sections))

    def receive_bytes(self, link: FakeLink, *payloads: bytes) -> None:
        identity = next((peer(number) for number, other in self.peers.items() if other is link), CLIENT)
        self.driver.on_frames(identity, as_link(link), list(payloads))


def as_link(link: FakeLink) -> Link:
    return link  # type: ignore[return-value]


def replying(party: Party, replies: list[tuple[FakeLink, list[m.Message]]], sends: list[tuple[int, list[m.Message]]] | None = None) -> None:
    """End a turn whose effects are these."""
    sources = {id(link): source for link, source in party.driver._sources.items()}
    effects = Effects(sends or [], [(sources[id(link)], sections) for link, sections in replies], 0, [])
    party.core.take_effects = lambda now: effects  # type: ignore[method-assign]  # noqa: ARG005 - the core's
    party.driver.end_turn()


@pytest.fixture
def slotless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test plant methods on cores, which have slots."""

    class Plantable(Replica):
        pass

    monkeypatch.setattr(sys.modules[__name__], "Replica", Plantable)


def test_a_turn_is_one_frame_and_one_flush_for_each_link() -> None:
    party = Party()
    party.driver.end_turn()
    party.receive(party.client, m.Ping(1), m.Ping(2))
    party.receive(party.client, m.Ping(3))
    before = len(party.client.frames)
    party.driver.end_turn()
    assert len(party.client.frames) == before + 1 == party.client.flushed
    assert [pong.nonce for pong in party.client.of(m.Pong)] == [1, 2, 3]


def test_what_all_followers_get_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[m.Message] = []

    def encode_section(section: m.Message) -> bytes:
        encoded.append(section)
        return original(section)

    original = wire.encode_section
    monkeypatch.setattr(driver_module, "encode_section", encode_section)
    party = Party()
    party.driver.end_turn()
    assert [len(link.of(m.Accept)) for link in party.peers.values()] == [1, 1]
    assert len(encoded) == 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"\xff", "malformed"), (b"\x82\x00\x82\x18\x63\x01", "unknown_tag"), (b"\x82\x00\x82\x0a\x61x", "wrong_type")],
)
def test_garbage_closes_its_own_link_by_name_and_no_other(payload: bytes, reason: str) -> None:
    party = Party()
    other = party.link(CLIENT)
    party.receive_bytes(other, encode(0, [m.Ping(1)]), payload, encode(0, [m.Ping(2)]))
    party.driver.end_turn()
    assert other.close_reason == reason
    assert party.driver.statistics.drops == {reason: 1}
    assert [pong.nonce for pong in other.of(m.Pong)] == [1]  # what came before counts, what came behind does not
    assert party.client.close_reason is None
    assert not party.driver.broken
    party.receive(party.client, m.Ping(3))
    party.driver.end_turn()
    assert party.client.of(m.Pong) == [m.Pong(3)]


def test_who_refuses_us_when_the_link_is_up_already_is_no_garbage() -> None:
    """Both sides send their hello at once: the other one may judge ours when we have taken its own."""
    party = Party()
    party.receive_bytes(party.client, encode_refusal("unknown_replica", "replica 0 is no voter"))
    assert party.client.close_reason == "refused"
    assert party.driver.statistics.drops == {}


def test_another_replica_s_refusal_is_passed_on_and_a_client_s_is_not() -> None:
    party = Party()
    told: list[tuple[str, str]] = []
    party.driver.on_refused = lambda reason, detail: told.append((reason, detail))
    party.receive_bytes(party.client, encode_refusal("unknown_replica", "replica 0 is no voter"))
    party.receive_bytes(party.peers[1], encode_refusal("removed", "replica 0 was removed"))
    assert (told, party.peers[1].close_reason) == ([("removed", "replica 0 was removed")], "refused")


def test_a_configuration_is_told_when_it_counts_when_it_is_committed_and_when_another_leads() -> None:
    party = Party(1)
    node, told = party.core.node, list[tuple[int, bool, int]]()
    party.driver.on_configured = lambda: told.append((node.configuration.number, node.settled, node.leader))
    change = m.Entry(2, 1, 1, [node.configuration.without(2).command("ho")], [], [], [], [], b"", [], [])
    party.receive(party.peers[0], m.Accept(1, 1, 0, 0, 0, 1, [m.Entry(1, 1, 0, [[NOOP]], [], [], [], [], b"", [], []), change]))
    party.driver.end_turn()
    party.driver.end_turn()
    assert told == [(2, False, 0)]
    party.receive(party.peers[0], m.Accept(1, 1, 2, 1, 2, 2, []))
    party.driver.end_turn()
    assert told[1:] == [(2, True, 0)]
    party.receive(party.peers[2], m.Vote(1, 5, 9, 1, trial=False, forced=True))
    party.driver.end_turn()
    assert told[2:] == [(2, True, -1)]


def test_a_clients_frame_must_fit_an_entry_but_a_peers_need_not() -> None:
    party = Party()
    payload = encode(0, [m.Ping(1)]) + bytes(CLIENT_FRAME_BYTES_MAX)
    party.receive_bytes(party.client, payload)
    assert party.client.close_reason == "frame_too_large"
    party.receive_bytes(party.peers[1], payload)
    assert party.peers[1].close_reason == "trailing_bytes"  # it was looked at


def test_refused_sections_are_counted_by_reason() -> None:
    party = Party()
    party.receive(party.client, m.Accept(1, 1, 0, 0, 0, 0, []), m.Accept(1, 1, 0, 0, 0, 0, []))
    party.driver.end_turn()
    assert party.driver.statistics.drops == {"unexpected_Accept": 2}
    assert party.client.close_reason is None


def test_answers_to_a_link_that_is_gone_are_dropped() -> None:
    party = Party()
    party.receive(party.client, m.Ping(1))
    party.driver.on_link_down(CLIENT, as_link(party.client), "reset")
    party.driver.end_turn()
    assert party.client.of(m.Pong) == []
    party.receive(party.client, m.Ping(2))  # frames that were on their way
    party.driver.end_turn()
    assert party.client.of(m.Pong) == []
    party.driver.on_link_down(peer(1), as_link(party.peers.pop(1)), "reset")
    party.now += 1
    party.driver.end_turn()
    assert party.peers[2].of(m.Accept)


def test_a_newer_link_of_a_peer_takes_its_place() -> None:
    party = Party()
    older, newer = party.peers[1], party.link(peer(1))
    party.driver.on_link_down(peer(1), as_link(older), "superseded")
    party.now += 1
    party.driver.end_turn()
    assert newer.of(m.Accept)


@pytest.mark.usefixtures("slotless")
@pytest.mark.parametrize("where", ["step", "apply", "take_effects", "expire", "deadline"])
def test_a_bug_in_the_core_marks_the_driver_broken_and_nothing_more_leaves(where: str) -> None:
    party = Party()
    party.receive(party.client, m.Ping(1))
    sent = [len(link.frames) for link in (party.client, *party.peers.values())]

    def plant(*_: object) -> object:
        raise AssertionError("planted")

    setattr(party.core, where, plant)
    party.now += 1

    def provoke() -> None:
        party.receive(party.client, m.Ping(2))
        party.driver.end_turn()

    if where == "expire":
        party.driver._alarm.set(0.0)
    with pytest.raises(AssertionError, match="planted"):
        provoke()
    assert party.driver.broken
    party.receive(party.client, m.Ping(3))
    party.driver.on_link_up(CLIENT, as_link(FakeLink()))
    party.driver.end_turn()
    if where != "deadline":  # the last thing a turn asks: what it had decided was sent
        assert [len(link.frames) for link in (party.client, *party.peers.values())] == sent


@pytest.mark.usefixtures("slotless")
def test_a_client_that_reads_too_slowly_gets_no_more_until_it_does() -> None:
    party = Party()
    party.client.queued_bytes = CLIENT_QUEUE_BYTES_MAX + 1
    replying(party, [(party.client, [m.Pong(1)])])
    assert party.client.frames == []
    assert party.driver.statistics.drops == {"client_reads_too_slowly": 1}
    party.client.queued_bytes = 0
    replying(party, [(party.client, [m.Pong(2)])])
    assert party.client.of(m.Pong) == [m.Pong(2)]


@pytest.mark.usefixtures("slotless")
def test_answers_too_large_for_one_frame_go_in_several_in_order() -> None:
    party = Party()
    answers: list[m.Message] = [m.CausalReadReply(1, 0, [1], [number], [1], [0], [bytes(1 << 20)], [1], []) for number in range(1, 20)]
    replying(party, [(party.client, [*answers, m.Pong(1)])])
    assert len(party.client.frames) > 1
    assert max(sum(map(len, parts)) for parts in party.client.frames) <= driver_module.REPLY_BYTES_MAX
    assert [answer.firsts[0] for answer in party.client.of(m.CausalReadReply)] == list(range(1, 20))
    assert party.client.flushed == len(party.client.frames)


@pytest.mark.usefixtures("slotless")
def test_very_many_small_answers_go_in_several_frames() -> None:
    party = Party()
    replying(party, [(party.client, [m.Pong(number) for number in range(10_000)])])
    assert [pong.nonce for pong in party.client.of(m.Pong)] == list(range(10_000))
    assert len(party.client.frames) > 1


@pytest.mark.usefixtures("slotless")
def test_very_many_outcomes_go_in_frames_that_clients_take() -> None:
    """A client that is told them again after its link broke would refuse the same frame again, and never learn them."""
    party = Party()
    limits = WireLimits(commands_per_frame_max=1 << 17, sections_per_frame_max=1 << 14, items_per_frame_max=1 << 20)  # those of ``ClientDriver``
    rows = [[1, number, 1] for number in range(1 << 14)]
    notes: list[m.Message] = [m.Applied(1, 1, True, position, [1], [1], rows) for position in range(8)]
    speculated: list[m.Message] = [m.SpecReply(1, 1, position, [1], [1], [1 << 14], [row[1:] for row in rows]) for position in range(8)]
    replying(party, [(party.client, [*notes, *speculated])])
    came = [section for parts in party.client.frames for section in decode(b"".join(parts), limits=limits)[1]]
    assert [section for section in came if isinstance(section, m.Applied | m.SpecReply)] == [*notes, *speculated]


@pytest.mark.usefixtures("slotless")
def test_an_answer_no_frame_can_carry_is_dropped_by_name_and_ends_nothing() -> None:
    party = Party(frame_bytes_max=2 << 20)
    answer = m.CausalReadReply(1, 0, [1], [1], [3], [0], [bytes(1 << 20)] * 3, [1] * 3, [])
    replying(party, [(party.client, [answer, m.Pong(1)])])
    assert not party.driver.broken
    party.receive(party.client, m.Ping(1))


def test_commands_are_counted_from_clients_sections() -> None:
    assert count_commands(m.Record([1], [1], [2], [0], [1], bytes(2), [b"a", b"b"], [b"", b""])) == 2
    for kind in (m.StrongRead, m.CausalRead, m.ReadIndex):
        assert count_commands(kind([1], [1], [2], [0], [b"a", b"b"])) == 2
    assert count_commands(m.Ping(1)) == 0


async def test_deadlines_end_turns_without_anything_received(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    core = Replica(CoreConfig(id=0, voters=(0, 1, 2), heartbeat_seconds=0.5, election_seconds=60.0))
    driver = ReplicaDriver(core, 1, clock=trio.current_time)
    link = FakeLink()
    driver.on_link_up(peer(1), as_link(link))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.turns.run)
        nursery.start_soon(driver.run_timers)
        await trio.sleep(5.2)
        nursery.cancel_scope.cancel()
    assert 9 <= len(link.of(m.Accept)) <= 13
    assert driver.statistics.turns <= 14


PLANTED = """
import trio
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.config import Settings
from replica.core.clients import Clients
from replica.server import serve

def on_ping(self, source, ping):
    raise AssertionError("planted")

Clients._on_ping = on_ping
free = "127.0.0.1:0"
cluster = ClusterFile(cluster_id="c", mode="ho", durability="memory", replicas=(ReplicaPlace(id=0, address=free, websocket=free, admin=free),))
settings = Settings(listen=free, websocket=free, admin=free)
trio.run(lambda: serve(settings, cluster, 0, listening=lambda addresses: print(addresses["address"], flush=True)))
"""


async def test_a_bug_ends_the_process_with_a_status_and_without_an_answer() -> None:
    program = [sys.executable, "-c", PLANTED]
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            start = partial(trio.run_process, program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            process: trio.Process = await nursery.start(start)
            assert process.stdout is not None
            assert process.stderr is not None
            host, port = (await process.stdout.receive_some()).decode().strip().rsplit(":", 1)
            async with await trio.open_tcp_stream(host, int(port)) as link:
                await link.send_all(GREETED + framed(encode(0, [m.Ping(1)])))
                received = b"".join([data async for data in link])
            errors = b"".join([data async for data in process.stderr])
            status = await process.wait()
    assert status != 0
    assert b"planted" in errors
    assert encode(0, [m.Pong(1)])[3:] not in received


def test_parts_of_a_snapshot_pass_the_followers_limits_whatever_results_sessions_keep() -> None:
    """One part that did not pass would end the link again and again, and a part over the limit of a frame the leader: nobody would ever catch up."""
    sessions = Sessions()
    for session in range(1, 1026):
        sessions.open(session, b"%064d" % session, 30.0)
        sessions.record(session, 1, 200, [True] * 200, 1)
    sessions.open(2000, b"t", 30.0)
    for _ in range(9):
        sessions.record(2000, (sessions.applied(2000) or 0) + 1, 1 << 14, [True] * (1 << 14), 1)
    for number, chunk in enumerate(snapshot := sessions.snapshot()):
        part = m.SnapshotPart(1, 1, 9, 1, 9, number, len(snapshot), False, [1, [0], [], [], [], []], chunk)
        assert decode(encode(1, [part]), limits=PEER_LIMITS) == (1, [part])


@pytest.mark.parametrize(("sessions", "commands"), [(45_000, 1), (20, 2_000)])
def test_what_a_witness_tells_a_new_leader_passes_its_limits_however_small_the_commands_are(sessions: int, commands: int) -> None:
    """A part that did not pass would end the link each time: no leader would ever recover."""
    share = 8  # of everything: of the limits, of a part, and of what there is to tell
    limits = WireLimits(PEER_LIMITS.commands_per_frame_max // share, PEER_LIMITS.sections_per_frame_max, PEER_LIMITS.items_per_frame_max // share)
    node = Node(CoreConfig(id=0, voters=(0, 1, 2), collect_bytes_max=CoreConfig(0, (0,)).collect_bytes_max // share), view=1)
    run = Run(1, commands, bytes([DELETE]) * commands, [b""] * commands, [None] * commands, 1)
    for session in range(1, sessions + 1):
        node.witness.hold(node.witness.open(session), run, 0.0)
    told = [decode(encode(1, [state]), limits=limits)[1] for state in witness_states(node, m.Collect(1, 1, 1))]
    assert sum(len(state.levels) for (state,) in told if isinstance(state, m.WitnessState)) == sessions
