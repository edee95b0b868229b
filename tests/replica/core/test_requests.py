"""Requests: which replica's frame gets which section, in each mode."""

from __future__ import annotations

import pytest

from replica.core import messages as m
from replica.core.config import MODES, Mode
from replica.core.flights import ReadFlight
from replica.core.requests import Records, Requests, Target
from replica.core.witness import Run
from statemachine.command import PUT


def run(first: int, count: int = 1) -> Run:
    return Run(first, first + count - 1, bytes([PUT]) * count, [b"k"] * count, [b"v"] * count, 1)


def linked(mode: Mode) -> Requests:
    return Requests(mode, {replica: Target(linked=True) for replica in range(3)})


def kinds(requests: Requests) -> dict[int, list[str]]:
    return {replica: [type(section).__name__ for section in sections] for replica, sections in requests.take(leader=0)}


@pytest.mark.parametrize("mode", MODES)
def test_logged_commands_go_to_whom_the_mode_names(mode: Mode) -> None:
    requests = linked(mode)
    requests.records.add(4, run(1), 0)
    witnesses = {} if mode in ("paxos", "ht") else {1: ["Record"], 2: ["Record"]}
    assert kinds(requests) == {0: ["Record"], **witnesses}
    assert kinds(requests) == {}


def test_a_section_for_several_replicas_is_one_object() -> None:
    requests = linked("ho")
    requests.records.add(4, run(1), 0)
    frames = dict(requests.take(leader=0))
    assert frames[0][0] is frames[1][0] is frames[2][0]


def test_strong_reads_go_to_the_leader_and_their_anchor_to_the_others() -> None:
    requests = linked("ho")
    requests.add_strong_read(4, ReadFlight(7, 2, [b"a", b"b"], None, 3, 0.0))
    frames = dict(requests.take(leader=1))
    assert frames[1] == [m.StrongRead([4], [7], [2], [3], [b"a", b"b"])]
    assert frames[0] == frames[2] == [m.Anchor([4], [3], [8])]


def test_what_is_for_one_replica_stands_around_what_is_for_all() -> None:
    requests = linked("ho")
    requests.records.add(4, run(1), 0)
    requests.targets[2].extra.append(m.Home([4], home=True))
    requests.targets[2].late.append(m.ReadIndex([4], [1], [1], [1], [b"k"]))
    assert kinds(requests)[2] == ["Home", "Record", "ReadIndex"]


def test_a_replica_without_a_link_is_told_nothing() -> None:
    requests = linked("ho")
    requests.targets[1].unlink()
    requests.records.add(4, run(1), 0)
    assert sorted(kinds(requests)) == [0, 2]


def test_a_run_that_continues_the_last_one_is_merged_with_it() -> None:
    records = Records()
    records.add(4, run(1, 2), 0)
    records.add(4, run(3), 2)
    records.add(4, run(9), 5)
    message = records.message()
    assert (message.firsts, message.counts, message.previous) == ([1, 9], [3, 1], [0, 5])
