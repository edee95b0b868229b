"""Policies compared inside a run: only what all replicas counted is compared, and bad input is one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.runner import LoadFailed
from tools import batching
from tools.batching import EDGE_ROUNDS, REPLICAS, main, over, rounds, row
from tools.batching_replica import POLICIES

if TYPE_CHECKING:
    from pathlib import Path


def lines(numbers: range, commands: int = 50) -> list[dict[str, Any]]:
    """Return what replicas tell of whole rounds: ``commands`` in half a second each."""
    names = list(POLICIES)
    return [
        {"slot": number * len(names) + place, "policy": name, "commands": commands, "seconds": 0.5}
        for number in numbers
        for place, name in enumerate(names)
        for _ in range(REPLICAS)
    ]


def test_rounds_are_whole_and_without_those_at_the_edges() -> None:
    told = lines(range(10, 20))
    assert rounds(told) == [dict.fromkeys(POLICIES, REPLICAS * 100.0)] * (10 - 2 * EDGE_ROUNDS)
    lost = [line for line in told if line["slot"] // len(POLICIES) != 15]
    one_replica_less = told[:-1]
    nobody_came = told + lines(range(20, 40), commands=0)
    assert len(rounds(lost)) == 9 - 2 * EDGE_ROUNDS
    assert len(rounds(one_replica_less)) == 9 - 2 * EDGE_ROUNDS
    assert len(rounds(nobody_came)) == 10 - 2 * EDGE_ROUNDS


def test_a_ratio_is_that_of_sums_and_its_interval_holds_it() -> None:
    same = over([100.0, 300.0, 200.0], [100.0, 300.0, 200.0])
    assert (same.ratio, same.low, same.high) == (1.0, 1.0, 1.0)
    found = over([100.0, 100.0, 100.0, 100.0], [110.0, 130.0, 120.0, 120.0])
    assert found.ratio == pytest.approx(1.2)
    assert found.low is not None
    assert found.high is not None
    assert 1.1 <= found.low < 1.2 < found.high <= 1.3


def test_adaptive_is_judged_over_the_best_of_the_others() -> None:
    each = dict.fromkeys(POLICIES, 100.0) | {"fixed 75": 125.0, "adaptive": 150.0}
    told = row("4 x 15", [each] * 3)
    assert (told["best_other"], told["rounds"]) == ("fixed 75", 3)
    assert told["judged_over"]["fixed 75"]["ratio"] == pytest.approx(1.2)
    assert told["judged_over"]["turn"]["ratio"] == pytest.approx(1.5)
    with pytest.raises(LoadFailed, match="only 2 whole rounds"):
        row("4 x 15", [each] * 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--loads", "4 x 15,5 x 5"], "--loads 5 x 5: must be one of 1 x 1, 4 x 15"),
        (["--seconds", "3"], "--seconds 3: must be from 8.75 (seven rounds) to 3600"),
        (["--seconds", "nan"], "--seconds nan: must be from"),
        (["--slot-seconds", "0"], "--slot-seconds 0: must be from 0.02 to 10"),
        (["--output", "/dev/null/x"], "--output /dev/null/x: cannot be written: Not a directory"),
    ],
)
def test_bad_input_is_one_clear_line(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["--output", str(tmp_path), *words])
    assert ending.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"tools/batching.py: error: {told}")


def test_replicas_change_their_policies_under_a_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path), "--loads", "4 x 15", "--seconds", "2.5", "--slot-seconds", "0.05"]) == 0
    report = json.loads((tmp_path / "batching.json").read_text())
    (told,) = report["rows"]
    assert told["rounds"] >= 3
    assert all(told["rates"][policy] > 0 for policy in POLICIES)
    text = (tmp_path / "batching.md").read_text()
    assert text.startswith("2.5 s of each load, slots of 0.05 s")
    assert "| 4 x 15 |" in text
    assert capsys.readouterr().out == text


def test_a_load_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(load: batching.Load, _seconds: float, _slot_seconds: float) -> list[dict[str, float]]:
        if load.pendings == 1:
            raise LoadFailed("no replica listens")
        return [dict.fromkeys(POLICIES, 100.0)] * 3

    monkeypatch.setattr(batching, "measured", measured)
    assert main(["--output", str(tmp_path), "--loads", "1 x 1,4 x 15"]) == 1
    assert "batching: 1 x 1: no replica listens" in capsys.readouterr().err
    text = (tmp_path / "batching.md").read_text()
    assert text.startswith("Partial: ")
    assert "| 4 x 15 | 3 | 100 |" in text


def test_an_interrupted_run_keeps_the_loads_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(load: batching.Load, _seconds: float, _slot_seconds: float) -> list[dict[str, float]]:
        if load.pendings == 1:
            raise KeyboardInterrupt
        return [dict.fromkeys(POLICIES, 100.0)] * 3

    monkeypatch.setattr(batching, "measured", measured)
    assert main(["--output", str(tmp_path), "--loads", "4 x 15,1 x 1,4 x 128"]) == 130
    assert "batching: interrupted during 1 x 1" in capsys.readouterr().err
    text = (tmp_path / "batching.md").read_text()
    assert text.startswith("Partial: ")
    assert "| 4 x 15 | 3 | 100 |" in text
    assert "4 x 128" not in text
