from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.loadgen.sweep.stand import result
from triskele.cli import main

if TYPE_CHECKING:
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
