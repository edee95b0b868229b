"""The hot path's processor time: repeatable by a seed, in pairs of trees, and one clear line where a tree cannot be measured."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock

from loadgen.intervals import median_of
from tools import hot_path_worker
from tools.hot_path import PACKAGES, ROLES, ROOT, SLICE_OPERATIONS, cell, main, parser, slices, worker_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Worker = Callable[..., list[dict[str, Any]]]

FEW = ("--operations", "300", "--warm-up", "100", "--threads", "2", "--pendings", "4")
FIGURE = r"[+-]\d+\.\d %"


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Worker:
    """Runs the worker in our process, for options of the command, and returns its answers; our own collector stays as it is."""
    monkeypatch.setattr(hot_path_worker, "tune", lambda: None)

    def run(*words: str) -> list[dict[str, Any]]:
        options, clock = parser().parse_args([*FEW, *words]), MockClock()
        orders = io.StringIO("".join(f"{count}\n" for count in slices(options.operations)))
        trio.run(hot_path_worker.main, hot_path_worker.Settings(str(ROOT), **worker_settings(options)), clock, orders.readline, clock=clock)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_a_seed_gives_the_same_bytes_each_time_and_another_seed_others(worker: Worker) -> None:
    (*_, first), (*_, second), (*_, other) = (worker("--keys", "50", "--seed", seed) for seed in ("7", "7", "8"))
    assert first == second
    assert (first["digest"], first["state"]) != (other["digest"], other["state"])


def test_an_answer_tells_of_the_commands_that_completed_since_the_last_one(worker: Worker) -> None:
    ready, first, second, _ = worker("--operations", str(SLICE_OPERATIONS + 200), "--causal-percent", "0", "--write-percent", "100")
    assert ready == {"ready": True}
    assert SLICE_OPERATIONS <= first["operations"] < SLICE_OPERATIONS + 16
    assert 200 <= second["operations"] < 216
    assert all(first["turns"][role] > second["turns"][role] > 0 for role in ROLES)
    assert all(first["nanoseconds"][role] > 0 for role in ROLES)


@pytest.mark.parametrize(("role", "file"), [("leader", "replica/driver.py"), ("client", "loadgen/runner.py")])
def test_a_profile_shows_the_functions_of_its_role(role: str, file: str, worker: Worker) -> None:
    table = worker("--profile", role)[-1]["profile"]
    assert re.search(rf"^ +\d+ .* {file}:\d+\(", table, re.MULTILINE)
    assert ("loadgen/" in table) == (role == "client")


def test_one_tree_over_itself_gives_ratios_and_the_same_bytes_whatever_the_hash_seed(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    end = worker()[-1]
    assert main([*FEW, "--against", str(ROOT), "--pairs", "1", "--digest"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(rf"pair 1 of 1: leader {FIGURE}, follower {FIGURE}, clients {FIGURE}\n", printed.err)
    assert re.search(rf"\n\| 4 x 4, 0 keys before, 50 % causal, .* \| 1 (\| {FIGURE} ){{3}}\|\n", printed.out)
    assert "\nThe trees said the same bytes and came to the same state.\n" in printed.out
    assert printed.out.count(f"{ROOT}: digest of all bytes {end['digest']}, state {end['state']}\n") == 2


def test_one_tree_alone_has_a_figure_for_each_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FEW, "--digest"]) == 0
    head, *figures, digest = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"3\d\d commands after 100, 4 x 4, 0 keys before, 50 % causal, writes 10 % of the strong and 10 % of the causal", head)
    assert [line.split()[0] for line in figures] == ["leader", "follower", "clients"]
    assert all(float(line.split()[1]) > 0 for line in figures)
    assert digest.startswith("digest of all bytes ")


@pytest.mark.parametrize("missing", PACKAGES)
def test_a_folder_that_is_no_tree_or_half_of_one_is_told_by_name(missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_packages(tmp_path, {*PACKAGES} - {missing})
    assert main([*FEW, "--against", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"hot_path: {tmp_path} is no checkout of Triskele: it has no {missing}/__init__.py\n"


def test_a_tree_with_other_internals_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_packages(tmp_path, {*PACKAGES})
    (tmp_path / "loadgen" / "runner.py").write_text("class Runner:\n    pass\n")
    assert main([*FEW, "--against", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"hot_path: {tmp_path} cannot be measured: ImportError: cannot import name 'Stream' from 'loadgen.runner'")
    assert said.endswith("(what a tree must have for this, hot_path_worker.py says at its top)\n")
    assert said.count("\n") == 1


def make_packages(tree: Path, names: set[str]) -> None:
    for name in names:
        (tree / name).mkdir()
        (tree / name / "__init__.py").touch()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--operations", "0"], "'0' is no whole number from 1 to 100,000,000"),
        (["--threads", "many"], "'many' is no whole number from 1 to 1,000"),
        (["--keys", "1000001"], "'1000001' is no whole number from 0 to 1,000,000"),
        (["--causal-percent", "101"], "'101' is no number from 0 to 100"),
        (["--write-percent", "nan"], "'nan' is no number from 0 to 100"),
        (["--write-percent", "half"], "'half' is no number from 0 to 100"),
        (["--profile", "witness"], "invalid choice: 'witness'"),
        (["--against", "x", "--profile", "leader"], "--profile looks at this tree alone"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_measured(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert complaint in capsys.readouterr().err


def test_slices_are_of_one_size_but_the_last() -> None:
    assert slices(2 * SLICE_OPERATIONS + 1) == [SLICE_OPERATIONS, SLICE_OPERATIONS, 1]
    assert slices(5) == [5]


def test_several_pairs_have_a_range() -> None:
    assert cell(median_of([0.9])) == "-10.0 %"
    assert cell(median_of([0.9, 1.02, 0.95])) == "-5.0 % (-10.0 to +2.0)"
