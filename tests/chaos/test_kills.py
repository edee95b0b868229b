"""Replicas are killed under load, briefly: nothing acknowledged is missing and the cluster is back in time; and the ledger finds what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from replica.config import Settings
from tests.chaos.figures import Kill, figures_of, silence
from tests.chaos.kills import report, run
from tests.chaos.ledger import Command, Ledger, Outcome, SessionLedger
from tests.chaos.load import Shape
from tests.chaos.rounds import Plan, Victim

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.ledger import Register

DISK = Settings().changed("--durability", durability="disk")
SMALL = Shape(sessions=2, causal_sessions=1, workers=8, pause_seconds=0.1, probe_seconds=0.05)
BACK_SECONDS = 10.0


ORDER: tuple[Victim, ...] = ("leader", "all", "follower", "leader", "all")


async def test_nothing_acknowledged_is_lost_and_the_cluster_is_back(tmp_path: Path) -> None:
    plan = Plan(
        rounds=len(ORDER), victim="mix", order=ORDER, settings=DISK, between_seconds=0.0, after_seconds=0.2, steady_seconds=0.5,
        restart_seconds=0.1, back_seconds=BACK_SECONDS, shape=SMALL,
    )  # fmt: skip
    with trio.fail_after(150):
        result = await run(plan, tmp_path)
    assert result.ledger.breaks == []
    assert [row.victim for row in result.rows] == list(ORDER)
    assert all(row.again is not None for row in result.rows)
    assert result.ledger.count(Outcome.DONE) > 100
    assert "lost: 0; promises broken: 0" in report(plan, result)


def test_what_cannot_be_asked_is_refused() -> None:
    memory = Settings().changed("--durability", durability="memory")
    assert Plan(rounds=1, victim="all", settings=memory).refusal()
    assert Plan(rounds=1, victim="leader", settings=DISK, replicas=1).refusal()
    assert not Plan(rounds=1, victim="leader", settings=memory).refusal()


# ---------------------------------------------------------------------------------------------------------------- planted violations


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
        return self.register.writes[place].value if place >= 0 else None

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


# --------------------------------------------------------------------------------------------------------------------------- figures


def test_a_silence_touches_what_is_looked_at() -> None:
    ends = [0.0, 1.0, 1.5, 4.0, 4.5, 9.0]
    assert silence(ends, 2.0, 4.2) == (2.5, 1.5)
    assert silence(ends, 2.0, 5.0) == (4.5, 4.5)
    assert silence([], 0.0, 1.0) == (0.0, 0.0)


def test_the_figures_are_those_of_commands_invoked_after_the_kill() -> None:
    session = SessionLedger("s")

    def done(kind: str, invoked: float, returned: float, home: int = 0) -> Command:
        return Command(kind, session, home, invoked, returned=returned, outcome=Outcome.DONE)

    commands = [
        done("put", 8.0, 8.5),
        done("put", 9.9, 10.2),
        done("get", 10.1, 11.0),
        done("causal put", 10.1, 10.5, 1),
        done("causal get", 10.1, 12.0),
    ]
    kill = Kill(number=1, victim="leader", killed=(0,), at=10.0, back=13.0, until=15.0, first_command=0, in_flight=1, started=1.0, ready=0.5)
    row = figures_of(kill, commands, [(11.0, 0.2), (20.0, 3.0)])
    assert row.again == pytest.approx(1.0)
    assert (row.silence, row.strong_longest, row.put_longest, row.get_longest) == pytest.approx((1.7, 0.9, 0.4, None))
    assert (row.rate_before, row.stall) == (0.5, 0.2)
