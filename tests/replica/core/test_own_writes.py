"""Own writes laid over a home's answers (scans and their pages: test_session_reads)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.core.own_writes import OwnWrites
from replica.core.witness import Run
from statemachine.command import CAS_VALUE, DELETE, PUT

if TYPE_CHECKING:
    from replica.core.messages import Value


def puts(first: int, *pairs: tuple[bytes, bytes]) -> Run:
    return Run(first, first + len(pairs) - 1, bytes([PUT]) * len(pairs), [key for key, _ in pairs], [value for _, value in pairs], 1)


def test_the_newest_own_write_above_what_the_home_applied_is_read() -> None:
    own = OwnWrites()
    own.note(puts(1, (b"x", b"1"), (b"y", b"1"), (b"x", b"2")))
    values: list[Value] = [b"old", b"old", b"old"]
    versions = [7, 8, 9]
    assert own.lay_over([b"x", b"y", b"z"], values, versions, applied=2, dependency=3) is False
    assert (values, versions) == ([b"2", b"old", b"old"], [0, 8, 9])


def test_a_write_that_the_home_applied_is_forgotten_and_a_newer_one_on_its_key_stays() -> None:
    own = OwnWrites()
    own.note(puts(1, (b"x", b"1"), (b"y", b"1"), (b"x", b"2")))
    own.drop(2)
    assert own.newest == {b"x": (3, b"2")}
    own.drop(3)
    assert not own.newest
    assert not own.order


def test_an_own_write_that_the_answering_replica_has_applied_does_not_hide_a_later_one_in_a_scan() -> None:
    """It is kept for the home, which is another replica and has not applied it yet."""
    own = OwnWrites()
    own.note(puts(1, (b"x", b"1"), (b"y", b"2"), (b"z", b"3")))
    values: list[Value] = [[[[b"x", b"theirs", 8], [b"y", b"theirs", 9]], False]]
    assert own.lay_over([[b"a", None, 10]], values, [9], applied=2, dependency=2) is True
    assert values == [[[[b"x", b"theirs", 8], [b"y", b"theirs", 9]], False]]


def test_an_own_delete_is_read_as_absent() -> None:
    own = OwnWrites()
    own.note(Run(1, 1, bytes([DELETE]), [b"x"], [None], 1))
    values: list[Value] = [b"old"]
    own.lay_over([b"x"], values, [5], applied=0, dependency=1)
    assert values == [None]


def test_a_cas_is_unsure_until_it_is_settled_and_counts_as_a_write_if_it_succeeded() -> None:
    own = OwnWrites()
    own.note_each(Run(1, 2, bytes([PUT, CAS_VALUE]), [b"y", b"x"], [b"1", [None, b"new"]], 1))
    assert not own.unsure_before(1)
    assert own.unsure_before(2)
    own.succeed(2, b"x", b"new")
    own.settle(2, b"x")
    assert not own.unsure
    values: list[Value] = [b"old", b"old"]
    own.lay_over([b"x", b"y"], values, [3, 3], applied=0, dependency=2)
    assert values == [b"new", b"1"]
