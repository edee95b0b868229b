from __future__ import annotations

from replica.core.config import CoreConfig
from replica.core.configuration import Configuration
from replica.core.draft import Draft, Speculation
from replica.core.messages import SpecReply
from replica.core.node import Node
from replica.core.witness import Run
from statemachine.command import CAS_VALUE


def run(first: int, *keys: bytes, kind: int = 0, incomplete: int = 1) -> Run:
    return Run(first, first + len(keys) - 1, bytes([kind] * len(keys)), list(keys), [b"vv"] * len(keys), incomplete)


def test_runs_stand_one_behind_the_other() -> None:
    draft = Draft()
    draft.add(7, run(3, b"a", b"b"))
    draft.add(9, run(1, b"c", incomplete=2))
    assert (draft.sessions, draft.firsts, draft.counts, draft.incomplete) == ([7, 9], [3, 1], [2, 1], [1, 2])
    assert (b"".join(draft.kinds), draft.keys, draft.values) == (bytes(3), [b"a", b"b", b"c"], [b"vv"] * 3)


def test_a_run_that_continues_the_last_one_is_merged_with_it() -> None:
    draft = Draft()
    draft.add(7, run(3, b"a"))
    draft.add(7, run(4, b"b", b"c", incomplete=3))
    assert (draft.sessions, draft.firsts, draft.counts, draft.incomplete) == ([7], [3], [3], [3])


def test_a_session_that_comes_again_behind_another_has_a_run_of_its_own() -> None:
    draft = Draft()
    for session, first in ((7, 1), (9, 1), (7, 2)):
        draft.add(session, run(first, b"k"))
    assert (draft.sessions, draft.firsts) == ([7, 9, 7], [1, 1, 2])


def test_keys_and_values_are_counted() -> None:
    draft = Draft()
    draft.add(7, run(1, b"abc", b"d"))
    assert draft.size_bytes == 3 + 1 + 2 + 2


def test_a_draft_shares_nothing_with_the_runs_in_it() -> None:
    draft, first = Draft(), run(1, b"a")
    draft.add(7, first)
    draft.add(7, run(2, b"b"))
    assert first.keys == [b"a"]


def test_outcomes_are_told_by_their_place_among_all_commands_that_are_answered() -> None:
    speculation = Speculation()
    speculation.add(7, run(1, b"a", b"b", kind=CAS_VALUE), [[0, 1], [1, 0]])
    speculation.add(9, run(4, b"c"), [])
    speculation.add(7, run(3, b"d", kind=CAS_VALUE), [[0, 1]])
    node = Node(CoreConfig(id=0, voters=(0, 1, 2)), view=5, leader=0, applied_position=17)
    node.configuration = Configuration(3, (0, 1, 2))
    assert speculation.reply(node) == SpecReply(3, 5, 17, [7, 9, 7], [1, 4, 3], [2, 1, 1], [[0, 1], [1, 0], [3, 1]])
