"""The ledger finds what is wrong, by violations that are planted; also when it has forgotten what is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.ledger import Command, Ledger, Outcome, SessionLedger

if TYPE_CHECKING:
    from tests.chaos.ledger import Register


class Story:
    """A ledger with one register of a writer and another session that reads; every command takes a second."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.writer, self.reader = SessionLedger("writer"), SessionLedger("reader")
        self.register = self.ledger.register(b"x", self.writer)
        self.now = 0.0

    def invoke(self, kind: str, session: SessionLedger, register: Register | None = None, **more: object) -> Command:
        return self.ledger.invoke(Command(kind, session, 0, self.now, register or self.register, **more))  # type: ignore[arg-type]

    def put(self, kind: str = "put", register: Register | None = None, past: tuple[tuple[Register, int], ...] = ()) -> Command:
        register = register or self.register
        return self.invoke(kind, self.writer, register, write=self.ledger.next_write(register, past))

    def done(self, command: Command) -> None:
        self.now += 1
        self.ledger.done(command, self.now)

    def read(self, place: int, kind: str = "get", session: SessionLedger | None = None, version: int = 0) -> None:
        command = self.invoke(kind, session or self.reader)
        self.ledger.read(command, self.value(place), self.now, version=version)

    def value(self, place: int) -> bytes | None:
        return self.register.value(place) if place >= 0 else None

    def judge(self, place: int, version: int = 0) -> list[str]:
        self.ledger.judge_register(self.register, self.value(place), version)
        return self.ledger.breaks


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_lost_strong_write_is_found(story: Story) -> None:
    story.done(story.put())
    assert story.judge(0) == []
    assert story.judge(-1) == ["LOST: b'x' is at place -1, but 0 was acknowledged: 1 writes gone"]


def test_a_write_of_unknown_fate_may_be_there_or_not(story: Story) -> None:
    story.done(story.put())
    story.ledger.failed(story.put(), Outcome.UNKNOWN, 3.0)
    assert story.judge(0) == []
    assert story.judge(1) == []
    assert len(story.judge(0)) == 1  # it was there once


def test_a_write_that_was_said_to_have_had_no_effect_is_found(story: Story) -> None:
    story.ledger.failed(story.put(), Outcome.NOTHING, 1.0)
    assert "no effect" in story.judge(0)[0]


def test_a_causal_write_is_promised_by_its_flush_only(story: Story) -> None:
    story.done(story.put("causal put"))
    assert story.judge(-1) == []
    story.done(story.invoke("flush", story.writer, covers=((story.register, 0),)))
    assert story.judge(-1)[0].startswith("LOST")


def test_a_stale_strong_read_is_found(story: Story) -> None:
    story.done(story.put())
    early = story.invoke("get", story.reader)
    story.done(story.put())
    story.ledger.read(early, story.value(0), 9.0)  # concurrent with the second put
    assert story.ledger.breaks == []
    story.read(0)
    assert story.ledger.breaks[0].startswith("stale strong read of b'x' by reader: place 0, but 1 was known before")


def test_a_causal_read_may_be_old_but_goes_only_forward(story: Story) -> None:
    story.done(story.put())
    story.done(story.put())
    story.read(0, "causal get")
    story.read(1, "causal get")
    assert story.ledger.breaks == []
    story.read(0, "causal get")
    assert story.ledger.breaks[0].startswith("session guarantee broken: causal read of b'x' by reader")


def test_a_session_reads_its_own_causal_writes(story: Story) -> None:
    story.done(story.put("causal put"))
    story.read(-1, "causal get", story.reader)
    assert story.ledger.breaks == []
    story.read(-1, "causal get", story.writer)
    assert len(story.ledger.breaks) == 1


def test_who_sees_a_write_sees_what_its_writer_wrote_before(story: Story) -> None:
    other = story.ledger.register(b"y", story.writer)
    story.done(story.put("causal put"))
    later = story.put("causal put", other, past=((story.register, 0),))
    story.done(later)
    assert later.write is not None
    story.ledger.read(story.invoke("causal get", story.reader, other), later.write.value, 5.0)
    story.read(-1, "causal get")
    assert len(story.ledger.breaks) == 1


def test_a_session_that_was_lost_takes_only_what_nothing_promised_with_it(story: Story) -> None:
    story.done(story.put())
    story.done(story.put("causal put"))
    story.writer.renewed()
    story.read(0, "causal get", story.writer)
    assert story.judge(0) == []
    assert story.register.settled is None


def test_one_write_has_one_version_and_a_later_one_a_greater(story: Story) -> None:
    for _ in range(3):
        story.done(story.put())
    story.read(2, version=7)
    story.read(2, version=7)
    assert story.ledger.breaks == []
    story.read(2, version=8)
    story.done(story.put())
    story.read(3, version=6)
    assert len(story.ledger.breaks) == 2


def test_a_value_that_nobody_wrote_is_found(story: Story) -> None:
    story.done(story.put())
    story.ledger.judge_register(story.register, b"x/7/...", 0)
    story.ledger.judge_register(story.register, b"nonsense", 0)
    assert len(story.ledger.breaks) == 2


def test_a_cas_that_misses_its_own_last_value_is_a_lost_write(story: Story) -> None:
    story.done(story.put())
    story.ledger.cas_failed(story.put("cas"), 2.0)
    assert story.ledger.breaks[0].startswith("LOST: cas of b'x'")


def test_a_counter_s_steps_are_won_once_each() -> None:
    def faults(*attempts: tuple[int, Outcome], final: int) -> int:
        counter = Ledger().counter(b"c")
        made = [counter.attempt(step, b"%d/w/%d" % (step, number)) for number, (step, _) in enumerate(attempts)]
        for attempt, (_, outcome) in zip(made, attempts, strict=True):
            attempt.outcome = outcome
        return len(counter.faults(next((attempt.value for attempt in made if attempt.step == final), None)))

    won, unknown, missed = Outcome.DONE, Outcome.UNKNOWN, Outcome.NOTHING
    assert faults((1, won), (2, unknown), (3, won), final=3) == 0
    assert faults((1, won), (2, unknown), final=1) == 0
    assert faults((1, won), (1, won), final=1) == 1
    assert faults((1, won), (2, won), final=1) == 1
    assert faults((1, won), (2, missed), (3, won), final=3) == 1
    assert faults((1, missed), final=1) == 2


# ------------------------------------------------------------------------------------------------------------------------ forgetting


class Forgetful(Story):
    """A story whose first three writes both sessions have seen, and that is forgotten up to the last of them."""

    def __init__(self) -> None:
        super().__init__()
        for _ in range(3):
            self.done(self.put())
        self.read(2)
        self.ledger.forget([self.writer, self.reader])
        assert self.register.writes.first == 2
        assert not list(self.ledger.commands)


@pytest.fixture
def forgetful() -> Forgetful:
    return Forgetful()


def test_what_nobody_may_be_shown_again_is_forgotten_and_counted(forgetful: Forgetful) -> None:
    assert forgetful.ledger.count(Outcome.DONE) == 4
    forgetful.done(forgetful.put())
    assert forgetful.ledger.count(Outcome.DONE) == 5
    assert forgetful.judge(3) == []


@pytest.mark.parametrize("place", [-1, 0, 1])
def test_a_write_that_is_lost_back_to_what_is_forgotten_is_found(forgetful: Forgetful, place: int) -> None:
    assert forgetful.judge(place) == [f"LOST: b'x' is at place {place}, but 2 was acknowledged: {2 - place} writes gone"]


@pytest.mark.parametrize("kind", ["get", "causal get"])
@pytest.mark.parametrize("place", [-1, 0, 1])
def test_a_read_of_what_is_forgotten_is_found(forgetful: Forgetful, kind: str, place: int) -> None:
    forgetful.read(place, kind)
    assert len(forgetful.ledger.breaks) == 1


def test_what_one_session_has_not_seen_is_not_forgotten(story: Story) -> None:
    for _ in range(3):
        story.done(story.put())
    story.read(1, "causal get")
    story.ledger.forget([story.writer, story.reader])
    assert story.register.writes.first == 1
    story.read(0, "causal get")
    assert len(story.ledger.breaks) == 1


def test_a_causal_write_that_nothing_promised_is_not_forgotten(story: Story) -> None:
    story.done(story.put("causal put"))
    story.done(story.put("causal put"))
    story.ledger.forget([story.writer])
    assert story.register.writes.first == 0
    story.writer.renewed()
    assert story.judge(-1) == []


def test_a_counter_that_falls_back_behind_what_is_forgotten_is_found() -> None:
    ledger = Ledger()
    counter = ledger.counter(b"c")
    for step in (1, 2, 3):
        counter.attempt(step, b"%d/w/1" % step).outcome = Outcome.DONE
    counter.shown = 3
    ledger.forget([])
    assert set(counter.attempts) == {3}
    assert counter.faults(b"3/w/1") == []
    assert len(counter.faults(b"2/w/1")) == 2
