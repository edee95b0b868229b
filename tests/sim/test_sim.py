"""A few seeds of every kind of world; ``make prove`` runs many. And the simulator itself keeps its word: a seed replays exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from replica.core.config import MODES, Mode
from tests.sim.__main__ import main
from tests.sim.history import Violation
from tests.sim.options import Faults, draw
from tests.sim.planted import plant
from tests.sim.run import Report, judge_encore, play, run
from tests.sim.workload import ENCORE_PAUSE_SECONDS
from tests.sim.world import World

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(101, 103)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("replicas", [3, 5])
@pytest.mark.parametrize("mode", MODES)
def test_a_world_keeps_every_promise(mode: Mode, replicas: int, seed: int) -> None:
    report = run(draw(seed + 10 * replicas, mode, replicas))
    assert report.failure == "", report.command_line
    assert report.vacuous == ""


@pytest.mark.parametrize("replicas", [1, 2, 4, 7])
def test_worlds_of_other_sizes_keep_every_promise(replicas: int) -> None:
    assert run(draw(20 + replicas, "ho", replicas)).failure == ""


@pytest.mark.parametrize("mode", ["curp", "ht", "ho"])
def test_calm_worlds_use_both_paths(mode: Mode) -> None:
    """Conflicts on few keys and none on many: the run is about something."""
    options = attrs.evolve(draw(7, mode, 3), faults=Faults(), clients=2, sessions=2, keys=3, depth=4, apply_commands=1 << 30)
    report = run(options)
    assert report.failure == ""
    assert report.fast > 20
    assert report.slow > 20
    assert report.conflicts > 0


def test_commands_come_for_as_long_as_faults_strike() -> None:
    options = attrs.evolve(draw(33, "curp", 3), waves=12)
    world = World(options)
    assert play(world).failure == ""
    times = [asked.at / options.fault_seconds for client in world.clients for program in client.programs for asked in program.asked]
    assert [sum(quarter <= 4 * time < quarter + 1 for time in times) > 10 for quarter in range(4)] == [True] * 4


def test_what_died_with_its_client_and_all_who_held_it_is_not_waited_for() -> None:
    """Without disks: both followers stand still, the leader acknowledges a causal write (mode ``ht``) and dies, and so does the client."""
    report = run(draw(2106, "ht", 3))
    assert report.passed, report.failure
    assert {"crashes", "client deaths"} <= dict(report.struck).keys()


def test_a_session_that_ends_when_everything_is_submitted_has_ended() -> None:
    """What was on its way in it need not be in the log."""
    assert run(draw(7016, "paxos", 3)).failure == ""


def test_commands_without_conflict_are_fast_at_the_end_if_their_leader_led_before_them() -> None:
    world = World(draw(5, "curp", 5))
    assert play(world).failure == ""
    judge_encore(world, [*[False] * 20, *[True] * 10])
    with pytest.raises(Violation, match="only 0 of the last 10 commands without conflict were fast"):
        judge_encore(world, [*[True] * 20, *[False] * 10])
    world.observer.led_since = world.calm_at + ENCORE_PAUSE_SECONDS
    judge_encore(world, [*[True] * 20, *[False] * 10])


def test_what_was_answered_in_a_turn_may_wait_for_the_turn_s_end_to_be_let_go() -> None:
    """A replica is looked at while a client is in the midst of a turn, in which a causal read was answered too early and then rightly."""
    assert run(draw(4194, "ht", 3)).failure == ""


def test_a_seed_replays_exactly() -> None:
    assert run(draw(42)) == run(draw(42))


def test_a_seed_does_not_depend_on_the_hash_seed() -> None:
    script = "from tests.sim.options import draw; from tests.sim.run import run; r = run(draw(43)); print(r.digest, r.events, r.completed)"
    told = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_runs_that_show_little_say_so() -> None:
    few = Report(1, "ho", 3, "", completed=5)
    idle = Report(1, "ho", 3, "", completed=500, faulty=True)
    good = Report(1, "ho", 3, "", completed=500, fast=10, slow=10, conflicts=3, faulty=True, faults=3, sessions=2)
    slow = attrs.evolve(good, fast=0)
    lonely = attrs.evolve(good, conflicts=0)
    assert "5 commands" in few.vacuous
    assert "no fault" in idle.vacuous
    assert "fast path" in slow.vacuous
    assert "conflicted" in lonely.vacuous
    assert good.vacuous == ""


def test_the_command_line_runs_seeds_and_replays_one() -> None:
    command = [sys.executable, "-m", "tests.sim"]
    many = subprocess.run([*command, "--seeds", "2", "--first", "5", "--jobs", "2"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert many.returncode == 0, many.stdout + many.stderr
    assert "2/2 seeds, 0 failed" in many.stdout
    failing = subprocess.run([*command, "--seed", "1", "--planted", "read_dirty", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert failing.returncode == 1
    assert "FAILED  python -m tests.sim --seed 1 --mode curp --replicas 3" in failing.stdout
    assert "I-BARRIER" in failing.stdout


def test_what_is_not_known_cannot_be_planted(capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a slip of the pen would plant nothing: every seed would pass, and the bug seem not to be found."""
    with pytest.raises(SystemExit) as ended:
        main(["--planted", "read_durty", "--seeds", "1"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "no storm and no planted bug has the name 'read_durty'" in told
    assert "read_dirty" in told
    with pytest.raises(ValueError, match="'nope'"), plant("nope"):
        pytest.fail("planted")
