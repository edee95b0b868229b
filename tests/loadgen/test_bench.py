"""The bench: medians, and the share of each floor."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from loadgen import bench
from loadgen.runner import LoadFailed
from tests.loadgen.results import built, client_result

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.settings import LoadSettings


def run_of(operations: int, wire: float, codec: float) -> dict[str, Any]:
    return built([client_result([(operations // 10, 0, 0)] * 10)], floors={"wire_per_second": wire, "codec_per_second": codec})


def test_medians_and_shares() -> None:
    row = bench.row("16 x 15", [run_of(1000, 4000.0, 2000.0), run_of(3000, 6000.0, 4000.0), run_of(2000, 5000.0, 5000.0)])
    assert (row.per_second, row.lowest, row.highest) == (2000.0, 1000.0, 3000.0)
    assert (row.wire_per_second, row.codec_per_second) == (5000.0, 4000.0)
    line = bench.table([row]).splitlines()[1].split()
    assert line[-6:] == ["1,000", "3,000", "5,000", "40%", "4,000", "50%"]


def test_repeats_are_interleaved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[int, int]] = []

    async def measure(settings: LoadSettings, _cluster: object) -> dict[str, Any]:
        assert (settings.floor, settings.quiet, settings.local, settings.seconds) == (True, True, 3, 1.0)
        asked.append((settings.threads, settings.pendings))
        return run_of(1000, 4000.0, 2000.0)

    monkeypatch.setattr(bench, "measure", measure)
    file = tmp_path / "runs.json"
    assert bench.main(["--seconds", "1", "--repeats", "2", "--points", "4 x 15,4 x 128", "--json", str(file)]) == 0
    assert asked == [(2, 15), (2, 128)] * 2
    assert len(json.loads(file.read_text())) == 4
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_fails_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def measure(*_settings: object) -> dict[str, Any]:
        raise LoadFailed("no leader")

    monkeypatch.setattr(bench, "measure", measure)
    assert bench.main(["--points", "4 x 15"]) == 1
    assert capsys.readouterr().err.endswith("bench: no leader\n")
    with pytest.raises(SystemExit):
        bench.main(["--points", "5 x 5"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--seconds nan", "nan: must be a number of seconds above 0"),
        ("--seconds 0", "0: must be a number of seconds above 0"),
        ("--seconds 1e8", "--seconds 100000000"),
        ("--repeats 0", "0: must be a whole number from 1 to 1000"),
        ("--replicas 2", "--local 2: must be one of 1, 3, 5, 7, 9"),
        ("--json /nowhere/bench.json", "--json /nowhere/bench.json: cannot be written: No such file or directory"),
    ],
)
def test_a_wrong_flag_is_refused_before_anything_runs(
    words: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measure(*_settings: object) -> dict[str, Any]:
        pytest.fail("ran")

    monkeypatch.setattr(bench, "measure", measure)
    with pytest.raises(SystemExit) as ended:
        bench.main(words.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_signal_ends_the_bench_with_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def measure(*_settings: object) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep(60)
        return {}

    monkeypatch.setattr(bench, "measure", measure)
    assert bench.main(["--points", "4 x 15"]) == 130
    assert capsys.readouterr().err.endswith("bench: stopped by SIGINT, nothing is reported\n")
