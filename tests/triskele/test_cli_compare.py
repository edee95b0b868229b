from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.sweep.report import build
from tests.loadgen.sweep.stand import outcomes, plan, result
from triskele.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders of five runs, the second twice as fast."""
    monkeypatch.chdir(tmp_path)
    for name, factor in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}.json").write_text(json.dumps(result(factor * (1000.0 + number))))


@pytest.mark.usefixtures("sides")
def test_two_folders_of_runs_are_put_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a", "b"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    line = next(line for line in out.splitlines() if "commands/s" in line)
    assert line.split() == ["all", "runs", "commands/s", "1,002", "2,004", "2.00", "1.99-2.01", "*"]
    assert "bootstrap over runs" in out


def test_two_runs_on_each_side_are_said_to_be_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.json").write_text(json.dumps(result()))
    assert main(["compare", "a", "b"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "B/A: ratio of the medians; too few runs, and too few seconds, for an interval"


@pytest.mark.usefixtures("sides")
def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a", "b", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "triskele.comparison/1"
    assert found["points"][0]["figures"]["throughput_per_second"]["ratio"] == 2.0


@pytest.mark.usefixtures("sides")
def test_what_was_not_measured_alike_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (tmp_path / "b").iterdir():
        file.write_text(json.dumps(json.loads(file.read_text()) | {"commit": "d" * 12}))
    assert main(["compare", "a", "b"]) == 0
    assert capsys.readouterr().err == f"triskele: compare: not measured alike: commit None and {'d' * 12}\n"


@pytest.mark.usefixtures("sides")
def test_what_only_one_side_has_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = result()
    other["settings"]["threads"] = 99
    (tmp_path / "b" / "other.json").write_text(json.dumps(other))
    assert main(["compare", "a", "b"]) == 0
    assert "only in B: threads 99\n" in capsys.readouterr().out


@pytest.mark.usefixtures("sides")
def test_what_cannot_be_compared_is_status_2_with_the_file_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.json").write_text('{"schema": "other/1"}')
    for words, message in (
        (["a", "none.json"], "none.json: No such file or directory"),
        (["c.json", "a"], "c.json: has schema other/1, neither triskele.load/1 nor triskele.sweep/1"),
    ):
        assert main(["compare", *words]) == 2
        assert capsys.readouterr() == ("", f"triskele: {message}\n")


STRANGE = ("x", None, [1], {"a": 1}, 1e308, float("nan"), 10**400)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """The places of a JSON value, of a list the first alone: what it is in, and its name or number there."""
    for name, child in [*(value.items() if isinstance(value, dict) else [(0, value[0])] if isinstance(value, list) and value else ())]:
        yield value, name
        yield from places(child)


def loaded() -> dict[str, Any]:
    found = result(seconds=4)
    del found["replicas"][1:]
    found["latency_ms"] = {"strong": {"p50": 1.0}}
    found["settings"], found["machine"], found["paths_series"] = {"threads": 2}, {"cores": 2}, []
    found["replicas"][0]["rss_series"] = []
    return found


def swept() -> dict[str, Any]:
    found = plan(repeats=3)
    report = build(found, outcomes(found, lambda run: 10.0 * run.repeat), started="2026-01-01", finished="2026-01-02")
    (point, *_) = report["points"]
    runs = [{"figures": {name: run["figures"][name] for name in ("throughput_per_second", "failed")}} for run in point["runs"]]
    read = {name: report[name] for name in ("schema", "commit", "version", "partial")}
    return read | {"machine": {"cores": 2}, "points": [{"name": point["name"], "flags": {"threads": 1}, "runs": runs}]}


@pytest.mark.parametrize("make", [loaded, swept])
def test_whatever_stands_in_a_file_it_is_compared_or_refused_in_one_line(
    make: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    good = make()
    (tmp_path / "good.json").write_text(json.dumps(good))
    refused = 0
    for container, name in [*places(good)]:
        kept = container[name]
        for strange in STRANGE:
            container[name] = strange
            (tmp_path / "strange.json").write_text(json.dumps(good))
            status = main(["compare", "strange.json", "strange.json" if isinstance(strange, float) else "good.json"])
            out, err = capsys.readouterr()
            assert status in {0, 2}
            assert (out == "", err.count("\n")) == (True, 1) if status else (out != "")
            refused += status == 2
        container[name] = kept
    assert refused > 60


@pytest.mark.usefixtures("sides")
def test_signs_that_cannot_be_printed_are_shown_as_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (tmp_path / "b").iterdir():
        found = json.loads(file.read_text()) | {"commit": "\ud800\x1b[2J"}
        file.write_text(json.dumps(found))
    other = result() | {"commit": "\ud800\x1b[2J"}
    other["settings"]["workload"] = "\ud800\x1b[2J"
    (tmp_path / "b" / "other.json").write_text(json.dumps(other))
    assert main(["compare", "a", "b"]) == 0
    out, err = capsys.readouterr()
    assert err == "triskele: compare: not measured alike: commit None and \\ud800\\x1b[2J\n"
    assert "only in B: workload \\ud800\\x1b[2J\n" in out
