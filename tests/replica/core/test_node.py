from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.config import CoreConfig
from replica.core.messages import Applied, Entry, Leader, Members, RecordAck
from replica.core.node import EXPIRED, GAP, NOSESSION, NOTED_RESULTS_MAX, Node
from replica.core.witness import Run
from statemachine.command import CAS_VALUE, CLOSE, CONFIG, EXPIRE, HORIZON, NOOP, OPEN, PUT

if TYPE_CHECKING:
    from replica.core.configuration import Configuration
    from replica.core.messages import Message, Value

LINK, OTHER = ("link", 1), ("link", 2)


def node_of(place: int = 0, *system: list[object]) -> Node:
    """A node whose log holds one entry of system commands, applied."""
    node = Node(CoreConfig(id=place, voters=(0, 1, 2)), view=1, leader=0)
    log(node, system=list(system) or [[OPEN, b"t", 30.0]])
    node.apply(100)
    return node


def log(node: Node, session: int = 1, kinds: bytes = b"", *, system: list[list[object]] | None = None, first: int = 0, key: bytes = b"k") -> None:
    """Append and commit an entry with one run of a session."""
    values: list[Value] = [b"v" if kind == PUT else [b"v", b"w"] for kind in kinds]
    record = node.sessions.table.get(session)
    runs = ([session], [first or (record.applied + 1 if record else 1)], [len(kinds)], [1]) if kinds else ([], [], [], [])
    entry = Entry(node.log.last_index + 1, 1, node.log.last_position, system or [], *runs, kinds, [key] * len(kinds), values)
    node.log.append(entry)
    node.commit_index = entry.index


def bind(node: Node, session: int, link: object, *, home: bool) -> None:
    chain = node.witness.chains[session]
    chain.link, chain.home = link, home


# --------------------------------------------------------------------------------------------------------------------------- applying


def test_entries_are_applied_in_order_and_only_up_to_the_commit_index() -> None:
    node = node_of()
    log(node, kinds=b"\0", key=b"a")
    log(node, kinds=b"\0", key=b"b", first=2)
    node.commit_index -= 1
    assert not node.apply(100)
    assert (node.applied_index, node.applied_position, sorted(node.store.entries)) == (2, 2, [b"a"])
    node.commit_index += 1
    node.apply(100)
    assert (node.applied_position, sorted(node.store.entries)) == (3, [b"a", b"b"])


def test_a_budget_ends_a_turn_between_entries() -> None:
    node = node_of()
    for _ in range(3):
        log(node, kinds=bytes(5), first=5 * (node.log.last_index - 1) + 1)
    assert node.apply(1)
    assert node.applied_index == 2
    assert node.apply(6)
    assert node.applied_index == 3
    assert not node.apply(6)
    assert node.applied_commands == 15


def test_a_version_is_the_position_of_its_write() -> None:
    node = node_of()
    log(node, kinds=bytes([PUT, CAS_VALUE]))
    node.apply(100)
    assert node.store.get_entry(b"k") == (b"w", 3)


def test_a_session_is_the_position_of_its_opening_and_has_a_chain() -> None:
    node = node_of(0, [CONFIG, 1, "ho", [0, 1, 2]], [NOOP], [OPEN, b"t", 30.0], [OPEN, b"u", 30.0], [OPEN, b"t", 30.0])
    assert sorted(node.witness.chains) == sorted(node.sessions.table) == [3, 4]
    assert node.applied_position == 5


@pytest.mark.parametrize(("command", "reason"), [(CLOSE, NOSESSION), (EXPIRE, EXPIRED)])
def test_a_session_that_ended_is_refused_by_name(command: int, reason: int) -> None:
    node = node_of()
    assert node.refusal(7) == GAP, "its opening may be on its way"
    log(node, system=[[command, 1]])
    node.apply(100)
    assert (node.refusal(1), node.witness.chains) == (reason, {})
    log(node, system=[[command, 1]])
    node.apply(100)
    assert node.refusal(1) == reason


def test_an_ended_session_frees_who_waited_for_it() -> None:
    node = node_of(0, [OPEN, b"t", 30.0], [OPEN, b"u", 30.0])
    for session in (1, 2):
        node.witness.hold(node.witness.chains[session], Run(1, 1, b"\0", [b"k"], [b"v"], 1), 0.0)
    log(node, system=[[EXPIRE, 1]])
    node.apply(100)
    assert list(node.promoted) == [2]


def test_a_horizon_drops_tombstones_on_all_replicas_alike() -> None:
    node = node_of()
    log(node, kinds=b"\1")
    log(node, system=[[HORIZON, 99]])
    node.apply(100)
    assert (node.store.horizon, node.store.get_entry(b"k")) == (99, (None, 0))


def test_a_command_that_nobody_wrote_is_our_bug() -> None:
    node = node_of()
    log(node, system=[[77, 1]])
    with pytest.raises(AssertionError, match="77"):
        node.apply(100)


def test_a_hole_in_positions_is_our_bug() -> None:
    node = node_of()
    node.log.append(Entry(2, 1, 1, [[NOOP]], [], [], [], [], b"", [], []))
    node.commit_index, node.applied_position = 2, 5
    with pytest.raises(AssertionError, match="in order"):
        node.apply(100)


def test_the_role_hears_of_each_entry() -> None:
    heard = []
    node = node_of()
    node.on_applied = lambda entry: heard.append((entry.index, node.applied_index))
    log(node, kinds=b"\0")
    log(node, system=[[NOOP]])
    node.apply(100)
    assert heard == [(2, 2), (3, 3)]


# -------------------------------------------------------------------------------------------------------------------- notes to clients


def notes(node: Node, link: object = LINK) -> list[Applied]:
    node.flush_notes(urgent=True)
    return [message for message in node.outbox.pop(link, []) if isinstance(message, Applied)]


def test_the_leader_tells_the_session_with_outcomes() -> None:
    node = node_of(0)
    bind(node, 1, LINK, home=False)
    log(node, kinds=bytes([PUT, CAS_VALUE, CAS_VALUE]))
    node.apply(100)
    assert notes(node) == [Applied(1, 1, True, 4, [1], [3], [[1, 2, 1], [1, 3, 0]])]
    assert notes(node) == []


def test_the_home_tells_it_without_outcomes_and_others_say_nothing() -> None:
    for home in (True, False):
        node = node_of(1)
        bind(node, 1, LINK, home=home)
        log(node, kinds=bytes([CAS_VALUE]))
        node.apply(100)
        assert notes(node) == ([Applied(1, 1, False, 2, [1], [1], [])] if home else [])


def test_notes_of_one_link_make_one_section() -> None:
    node = node_of(0, [OPEN, b"t", 30.0], [OPEN, b"u", 30.0])
    for session in (1, 2):
        bind(node, session, LINK, home=False)
    for session in (1, 2, 1):
        log(node, session, b"\0", first=1 if session == 2 or node.log.last_index == 1 else 2)
    node.apply(100)
    assert notes(node) == [Applied(1, 1, True, 5, [1, 2], [2, 1], [])]


def test_notes_that_are_not_urgent_leave_with_what_leaves_anyway() -> None:
    node = node_of(0, [OPEN, b"t", 30.0], [OPEN, b"u", 30.0])
    bind(node, 1, LINK, home=False)
    bind(node, 2, OTHER, home=False)
    log(node, 1, b"\0", first=1)
    log(node, 2, b"\0", first=1)
    node.apply(100)
    node.reply(OTHER, RecordAck(1, 1, [], [], [], []))
    assert node.flush_notes(urgent=False), "one link has nothing else to be told"
    assert (list(node.outbox), len(node.outbox[OTHER])) == ([OTHER], 2)
    assert not node.flush_notes(urgent=True)


def test_who_was_promoted_is_told_with_the_present_view() -> None:
    node = node_of(0, [OPEN, b"t", 30.0], [OPEN, b"u", 30.0], [OPEN, b"w", 30.0])
    for session in (1, 2, 3):
        node.witness.hold(node.witness.chains[session], Run(1, 1, b"\0", [b"k" if session < 3 else b"x"], [b"v"], 1), 0.0)
    bind(node, 2, LINK, home=False)
    node.promoted = {2: node.witness.chains[2], 3: node.witness.chains[3]}
    node.view = 5
    node.flush_promotions()
    assert node.outbox == {LINK: [RecordAck(1, 5, [2], [1], [0], [])]}, "a session without a link hears nothing"
    assert node.promoted == {}


def test_a_link_that_is_gone_is_not_spoken_to_but_its_commands_stay() -> None:
    node = node_of(0)
    bind(node, 1, LINK, home=True)
    node.witness.hold(node.witness.chains[1], Run(1, 2, bytes(2), [b"k"] * 2, [b"v"] * 2, 1), 0.0)
    log(node, kinds=bytes([CAS_VALUE]))
    node.apply(100)
    node.reply(LINK, RecordAck(1, 1, [], [], [], []))
    node.forget_link(LINK)
    assert (node.outbox, node.notes, node.results) == ({}, {}, {})
    chain = node.witness.chains[1]
    assert (chain.link, chain.home, chain.held) == (None, False, 2)


def test_a_link_that_is_gone_takes_nothing_from_the_one_after_it() -> None:
    node = node_of(0)
    bind(node, 1, OTHER, home=True)
    node.forget_link(LINK)
    assert (node.witness.chains[1].link, node.witness.chains[1].home) == (OTHER, True)


def test_the_table_of_ended_sessions_is_as_long_as_configured() -> None:
    node = Node(CoreConfig(id=0, voters=(0, 1, 2), tombstone_sessions_max=2), view=1, leader=0)
    log(node, system=[[OPEN, b"%d" % number, 30.0] for number in range(4)] + [[EXPIRE, number] for number in range(1, 5)])
    node.apply(100)
    assert [node.refusal(session) for session in (1, 2, 3, 4)] == [NOSESSION, NOSESSION, EXPIRED, EXPIRED]


# -------------------------------------------------------------------------------------------------------------------------- members


def with_change(*, leads: bool = True) -> tuple[Node, Configuration]:
    """A node with a linked client and a change in its log."""
    node = Node(CoreConfig(id=0, voters=(0, 1, 2)), view=1, leader=0 if leads else 1)
    node.clients[LINK] = None
    told = node.configuration.with_learner(3, "host:7003")
    node.append_entry(Entry(1, 1, 0, [told.command("ho")], [], [], [], [], b"", [], []))
    return node, told


@pytest.mark.parametrize("leads", [True, False])
def test_clients_are_told_of_a_change_when_it_is_logged_and_by_whom(leads: bool) -> None:
    node, told = with_change(leads=leads)
    assert node.outbox == {LINK: [Members(1, leads, told.items())]}


def said(node: Node) -> list[Message]:
    """Return what the client is told, at once or when the disk has it."""
    told = node.outbox.pop(LINK, []) + [message for _, _, message in node.held_replies]
    node.held_replies.clear()
    return told


def test_a_new_leader_tells_who_votes_unless_nothing_ever_changed() -> None:
    node, told = with_change(leads=False)
    said(node)
    node.join(2, 0)
    assert said(node) == [Leader(2, 2, 0), Members(2, True, told.items())]
    node.join(3, 1)
    assert said(node) == [Leader(2, 3, 1)], "a follower's word would not count"
    fresh = node_of()
    fresh.clients[LINK] = None
    fresh.join(2, 0)
    assert said(fresh) == [Leader(1, 2, 0)]


def test_very_many_outcomes_are_noted_in_several_sections_the_last_of_which_tells_how_far() -> None:
    node = node_of()
    node.reply(LINK, Leader(1, 1, 0))
    bind(node, 1, LINK, home=False)
    log(node, 1, bytes([CAS_VALUE]) * (2 * NOTED_RESULTS_MAX + 3))
    node.apply(1 << 20)
    node.flush_notes(urgent=True)
    ((_, (_, *notes)),) = node.take_replies()
    told = [note for note in notes if isinstance(note, Applied)]
    assert [(len(note.results), note.upto) for note in told] == [(NOTED_RESULTS_MAX, []), (NOTED_RESULTS_MAX, []), (3, [2 * NOTED_RESULTS_MAX + 3])]
    assert [row for note in told for row in note.results] == [[1, number, 0] for number in range(1, 2 * NOTED_RESULTS_MAX + 4)]
