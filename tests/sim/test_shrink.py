"""A failed run is taken apart until a person can read it, and what is left fails by the same property."""

from __future__ import annotations

import subprocess
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.sim.cut import Cut
from tests.sim.options import draw
from tests.sim.plan import Asked, Fault, Plan
from tests.sim.planted import RECORDED, plant
from tests.sim.run import draw_world, run
from tests.sim.scenario import LINES_MAX, scenario, summary
from tests.sim.shrink import Shrinking, property_of, record, replay
from tests.sim.streams import PlayedStreams, RecordedStreams, Streams

if TYPE_CHECKING:
    from replica.core.messages import Query

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("bug", "faults", "commands"), [("read_dirty", 0, 4), ("stale_deadline", 1, 2), ("index_is_commit", 2, 6), ("dedup_only_executed", 2, 6)]
)
def test_what_is_left_of_a_failed_run_is_small_and_breaks_the_same_promise(bug: str, faults: int, commands: int) -> None:
    with plant(bug):
        shrinking = Shrinking(draw_world(RECORDED[bug][0], None, None), seconds=60.0, tries_max=120)
        shrinking.search()
        words = shrinking.cut.words()
        assert property_of(replay(Cut.parse(words).apply(record(shrinking.options)[0])).failure) == shrinking.wanted
    left = shrinking.left
    assert len(left.faults) <= faults
    assert left.commands <= commands < shrinking.plan.commands
    assert shrinking.tries <= 120
    assert f"{shrinking.plan.commands} -> {left.commands} commands" in summary(shrinking)


def test_a_run_that_passes_is_left_alone() -> None:
    shrinking = Shrinking(draw(2))
    shrinking.search()
    assert (shrinking.cut, shrinking.tries, shrinking.wanted) == (Cut(), 0, "")


def test_time_bounds_the_search() -> None:
    with plant("read_dirty"):
        shrinking = Shrinking(draw(1), seconds=0.0)
        shrinking.search()
    assert (shrinking.cut.commands, shrinking.tries) == (None, 0)


@pytest.mark.parametrize(("world", "seed"), [("upheaval", 1), ("rot", 8), ("skew", 1), (None, 16)])
def test_a_plan_replays_the_run_that_it_was_recorded_from(world: str | None, seed: int) -> None:
    """Frame for frame: what is left out of a plan later is the only difference."""
    with plant(world) if world else nullcontext():
        plan, report = record(draw_world(seed, None, None))
        assert attrs.evolve(replay(plan), events=0) == attrs.evolve(report, events=0)
        assert plan.faults
        assert plan.commands > 300


def test_recording_changes_nothing() -> None:
    assert record(draw(8))[1] == run(draw(8))


def test_a_scenario_tells_faults_commands_and_leaders_in_order() -> None:
    plan, _ = record(draw(8))
    kept = Cut(faults=tuple(range(len(plan.faults))), commands=tuple(range(12)))
    lines = scenario(kept.apply(plan))
    times = [float(line.split(" ms ")[0]) for line in lines[1:-1] if " ms  " in line]
    assert times == sorted(times)
    assert "paxos, 3 replicas" in lines[0]
    assert any("fault " in line and "dies" in line for line in lines)
    assert any("leads view 2" in line for line in lines)
    assert sum(line.endswith(" ?") for line in lines) == 12, "each command is asked for once"
    assert lines[-1] == "nothing failed"
    assert len(scenario(plan)) <= LINES_MAX + 2, "a long run loses its middle"


def test_a_cut_keeps_what_it_names() -> None:
    asked = (Asked(0.1, 0, b"\0\0", (b"a", b"b"), (b"v1", b"v2"), flushes=True), Asked(0.2, 1, queries=(b"a", b"b"), strong=True))
    plan = Plan(draw(1), (Fault(0.1, "pause", ("r0",)), Fault(0.3, "pause", ("r1",))), asked, {}, 0, frozenset({0, 1}))
    assert Cut().apply(plan) == plan
    left = Cut(faults=(1,), commands=(1, 2), earlier=0.1, calm=0.25, without=("loss", "encore"), variant=2).apply(plan)
    assert [(round(fault.at, 9), fault.whom) for fault in left.faults] == [(0.2, ("r1",))]
    reads: tuple[Query, ...] = (b"a",)
    assert [(one.keys, one.values, one.queries, one.flushes) for one in left.asked] == [((b"b",), (b"v2",), (), True), ((), (), reads, False)]
    assert (left.options.fault_seconds, left.options.encore, left.options.faults.loss, left.variant) == (0.25, 0, 0.0, 2)
    alone = Cut(sessions=(1,)).apply(plan)
    assert ([one.session for one in alone.asked], alone.sessions) == ([1], frozenset({1}))


@pytest.mark.parametrize(
    "cut", [Cut(), Cut(faults=(), commands=(1, 2, 3, 7)), Cut(sessions=(0,), calm=0.1234, earlier=0.5, without=("loss", "budgets"), variant=3)]
)
def test_a_cut_is_read_from_the_words_it_wrote(cut: Cut) -> None:
    assert Cut.parse(cut.words()) == cut


@pytest.mark.parametrize("word", ["", "fault=1", "without=everything", "commands=x", "calm"])
def test_words_that_no_cut_wrote_are_refused(word: str) -> None:
    with pytest.raises(ValueError):
        Cut.parse([word])


def test_properties_are_told_without_who_broke_them_and_when() -> None:
    assert property_of("") == ""
    assert property_of("I-LIN: a cycle: \n s1 ...") == "I-LIN"
    assert property_of("liveness: session 3 (2 in flight") == "liveness: session"
    assert property_of("black box: read your writes: b'k1' ...") == "black box: read your writes"
    assert property_of("r2 shows b'v3', which nobody wrote") == property_of("r0 shows b'v17', which nobody wrote")
    with pytest.raises(IndexError) as raised:
        Asked(0.1, 0, b"\0", (b"a",), (b"v",)).only([1])
    assert property_of("".join(traceback.format_exception(raised.value))) == "IndexError in <genexpr>"


def test_each_concern_hears_its_own_tape_whatever_the_others_draw() -> None:
    shared, recorded = Streams(7), RecordedStreams(7)
    whole = [(shared.of("a").random(), shared.of("b").randint(1, 50), shared.of("a").choice("xyz")) for _ in range(20)]
    a, b = recorded.of("a"), recorded.of("b")
    assert [(a.random(), b.randint(1, 50), a.choice("xyz")) for _ in range(20)] == whole, "recording changes nothing"
    played = PlayedStreams(7, recorded.tapes).of("b")
    assert [played.randint(1, 50) for _ in range(20)] == [number for _, number, _ in whole], "though a draws nothing"
    more = [PlayedStreams(7, recorded.tapes).of("b").random() for _ in range(2)]
    assert more[0] == more[1], "what comes behind the tape is the same each time"
    other = PlayedStreams(7, recorded.tapes, variant=1).of("a")
    assert [other.random() for _ in range(20)] != [number for number, _, _ in whole]


def test_the_command_line_shrinks_a_failed_seed_and_replays_what_is_left() -> None:
    command = [sys.executable, "-m", "tests.sim", "--planted", "read_dirty"]
    first = subprocess.run([*command, "--seeds", "1", "--shrink-seconds", "3"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 1
    line = next(line for line in first.stdout.splitlines() if "--shrunk" in line)
    assert line.startswith("replay: python -m tests.sim --seed 1 --mode curp --replicas 3 --planted read_dirty --shrunk ")
    again = subprocess.run([sys.executable, *line.split()[2:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1].startswith("I-BARRIER")
    whole = subprocess.run([*command, "--seeds", "1", "--shrink-seconds", "0"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert whole.returncode == 1
    assert "--shrunk" not in whole.stdout
