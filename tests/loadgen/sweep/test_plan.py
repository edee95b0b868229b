"""A sweep's file says everything; repeats are interleaved in an order drawn from its seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.sweep.plan import Changes, find_plan, read_plan, shipped
from replica.config import SettingError
from tests.loadgen.sweep.stand import TEXT, plan

if TYPE_CHECKING:
    from pathlib import Path

SHORT = "[axes]\npendings = [1, 2, 3, 4, 5]\n"


def test_every_repeat_runs_every_point_once_in_an_order_of_its_own() -> None:
    swept = plan(SHORT, repeats=4)
    runs = swept.runs()
    orders = [[run.point.number for run in runs[5 * repeat : 5 * repeat + 5]] for repeat in range(4)]
    assert [run.repeat for run in runs] == [repeat for repeat in (1, 2, 3, 4) for _ in range(5)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert runs == plan(SHORT, repeats=4).runs()
    assert runs != plan(f"seed = 2\n{SHORT}", repeats=4).runs()


def test_a_run_has_a_file_of_its_own() -> None:
    runs = plan().runs()
    assert len({run.file for run in runs}) == len(runs) == 8
    assert "001-pendings-5-few-1.json" in {run.file for run in runs}


def test_defaults_and_what_the_file_says() -> None:
    bare = plan(SHORT)
    assert (bare.name, bare.about, bare.repeats, bare.seed, bare.run_seconds_max, bare.baseline) == ("two", "", 5, 1, 3600.0, {})
    said = plan()
    assert (said.name, said.about, said.repeats) == ("two by two", "a try", 2)


def test_the_baseline_of_a_point_differs_in_that_axis_alone() -> None:
    swept = plan()
    assert {point.name: (found.name if (found := swept.baseline_of(point)) else None) for point in swept.points} == {
        "pendings 5, few": None,
        "pendings 5, many": "pendings 5, few",
        "pendings 15, few": None,
        "pendings 15, many": "pendings 15, few",
    }
    by_value = plan(f"{SHORT}[baseline]\npendings = 2\n")
    assert [by_value.baseline_of(point) is None for point in by_value.points] == [False, True, False, False, False]


def test_the_command_line_changes_repeats_and_length() -> None:
    swept = plan(SHORT.replace("[axes]", "[base]\noperations = 7\n[axes]"), repeats=3, seconds=2)
    assert swept.repeats == 3
    assert swept.points[0].flags == {"local": 3, "seconds": 2.0, "pendings": 1}
    assert swept.changes.words() == "--repeats 3 --seconds 2"
    assert plan(SHORT).changes.words() == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pendings = 5\n", "pendings in two.toml 5: is no key of a sweep"),
        ("[grid]\n", "grid in two.toml: is no key of a sweep"),
        ("repeats = 0\n", "repeats in two.toml 0: must be a whole number from 1 to 1000"),
        ("repeats = 'x'\n", "repeats in two.toml x: must be a whole number"),
        ("run_seconds_max = 0\n", "run_seconds_max in two.toml 0.0: must be a number from 1"),
        ("name = ''\n", "name in two.toml: must be a line"),
        ("about = 5\n", "about in two.toml: must be a line"),
        ("base = 5\n", "base in two.toml 5: must be a table: [base]"),
        ("not toml", "two.toml: is no TOML"),
        (f"{'[' * 5000}\n", "two.toml: is no TOML"),
        ("[baseline]\nmode = 'ho'\n", "baseline mode in two.toml ho: is no axis; there are: pendings"),
        ("[baseline]\npendings = 77\n", "baseline pendings in two.toml 77: is none of its values: pendings 1; pendings 2"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, message: str) -> None:
    whole = f"{text}{SHORT}" if not text.startswith("[baseline]") else f"{SHORT}{text}"
    with pytest.raises(SettingError) as error:
        plan(whole)
    assert str(error.value).startswith(message)
    assert error.value.exit_status == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"repeats = 0\n{SHORT}", "repeats in two.toml 0: must be a whole number from 1 to 1000"),
        (f"{SHORT}[base]\nseconds = 1\noperations = 5\n", "operations in two.toml 5: --seconds limits the run too: give one of them"),
        (f"{SHORT}[base]\nseconds = 0\n", "seconds in two.toml 0: must be above 0: nothing would be measured"),
    ],
)
def test_a_wrong_file_is_wrong_also_where_the_command_line_says_otherwise(text: str, message: str) -> None:
    for changes in ({}, {"repeats": 2, "seconds": 1}):
        with pytest.raises(SettingError) as error:
            plan(text, **changes)
        assert str(error.value).startswith(message)


def test_points_as_an_axis_and_as_tables_are_one_too_many() -> None:
    with pytest.raises(SettingError, match=r"point in two.toml: is an axis and a list of"):
        plan("[axes]\npoint = [{ name = 'a' }]\n[[point]]\nname = 'b'\n")


def test_too_many_runs_are_refused() -> None:
    with pytest.raises(SettingError, match=r"repeats in two.toml 1000: makes 200000 runs of 200 points; the most is 100000"):
        plan(f"repeats = 1000\n[axes]\nseed = {list(range(200))}\n")


def test_seconds_of_the_command_line_do_not_go_with_lengths_that_are_compared() -> None:
    with pytest.raises(SettingError, match=r"--seconds 2: two.toml compares runs of different operations"):
        plan("[axes]\noperations = [5, 50]\n", seconds=2)


def test_a_file_is_found_before_one_of_ours_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_plan("depth", Changes()).name == "depth"
    (tmp_path / "depth").write_text(TEXT)
    assert find_plan("depth", Changes()).name == "two by two"
    with pytest.raises(SettingError, match=r"^deep: No such file or directory; nor is it one of ours: batch-delay, "):
        find_plan("deep", Changes())
    with pytest.raises(SettingError, match=r"^deep.toml: No such file or directory$"):
        find_plan("deep.toml", Changes())
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError, match=r"^binary.toml: is no TOML"):
        find_plan("binary.toml", Changes())


@pytest.mark.parametrize("name", sorted(shipped()))
def test_our_experiments_are_sweeps_that_the_load_takes(name: str) -> None:
    swept = find_plan(name, Changes())
    assert swept.name == name
    assert swept.about
    assert len(swept.points) > 1
    for point in swept.points:
        swept.baseline_of(point)  # a baseline that fits no point would end here


def test_the_experiments_cover_what_the_analysis_asked() -> None:
    parallel = read_plan(shipped()["parallelism"], "parallelism.toml", Changes())
    assert [point.name for point in parallel.points] == ["2 x 2", "2 x 4", "2 x 6", "4 x 3", "2 x 8", "2 x 16", "2 x 32"]
    assert {"depth", "batch-delay", "long-run", "causal-ratio", "conflict-ratio", "modes", "replicas", "value-size", "distance", "durability"} <= set(
        shipped()
    )
