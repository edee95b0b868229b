"""The comparison as a program: bad input is one line, a peer that is missing or fails stops nobody else, and the tables say what was measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from loadgen.figures import RATE
from tools import peers
from tools.peers_systems import System
from tools.peers_wires import PeerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadgen.figures import Figures
    from tools.peers_systems import Run


def figures(rate: float) -> Figures:
    return {
        RATE: rate, "strong_p50_ms": 1.0, "strong_p99_ms": 2.0, "causal_p50_ms": 0.5, "syscalls_per_operation": 0.25,
        "codec_floor_share": 0.5, "wire_floor_share": 0.125, "client_cpu_us_per_operation": 4.0, "failed": 1, "unknown": 2,
    }  # fmt: skip


def system(name: str, measure: Callable[[Run], Figures], program: str = "") -> System:
    worth: dict[str, Any] = {"strong": "all", "causal": "some", "linearizable": "yes", "durable": "no", "exactly_once": "no"}
    return System(name, measure, program, "get it for {folder}", **worth)


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> dict[str, System]:
    """What stands in place of the real systems."""
    known: dict[str, System] = {}
    monkeypatch.setattr(peers, "SYSTEMS", known)
    return known


@pytest.fixture
def order(systems: dict[str, System]) -> list[tuple[str, str]]:
    """Put three systems in place of the real ones; return which runs they did."""
    done: list[tuple[str, str]] = []

    def good(run: Run) -> Figures:
        done.append(("good", run.point))
        return figures(1000.0 * len(done))

    def bad(run: Run) -> Figures:
        done.append(("bad", run.point))
        (run.folder / "node.log").write_text("port is taken\n")
        raise PeerError("node ended with status 1: port is taken")

    systems |= {"good": system("Good", good), "bad": system("Bad", bad), "absent": system("Absent", good, "no-such-program")}
    return done


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--points", "5 x 5"], "--points 5 x 5: must be one of 1 x 1, 4 x 15, 16 x 15, 64 x 15, 4 x 128, 16 x 15 all strong half writes"),
        (["--systems", "good,mongo"], "--systems mongo: must be one of good, bad, absent"),
        (["--seconds", "0"], "--seconds 0: must be more than 0"),
        (["--seconds", "nan"], "--seconds nan: must be more than 0"),
        (["--repeats", "0"], "--repeats 0: must be 1 to 1000"),
        (["--output", "/dev/null/x"], "--output /dev/null/x: cannot be written: Not a directory"),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str], told: str, order: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        peers.main(["--output", str(tmp_path), "--systems", "good", *words])
    assert ending.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"tools/peers.py: error: {told}")
    assert order == []


def test_repeats_are_interleaved_and_neither_a_missing_nor_a_failing_peer_stops_the_others(
    order: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main(["--output", str(tmp_path), "--repeats", "2"]) == 1
    assert order == [(name, point) for _ in range(2) for point in ("4 x 15", "16 x 15") for name in ("good", "bad")]
    told = capsys.readouterr()
    assert told.err.splitlines()[0] == f"peers: Absent is left out: no-such-program is missing; get it for {tmp_path / 'pysyncobj'}"
    assert "repeat 2 of 2, 16 x 15, Bad: failed: node ended with status 1: port is taken" in told.err
    assert "repeat 1 of 2, 4 x 15, Good: 1,000 commands/s" in told.err
    assert (tmp_path / "failed" / "bad-4x15-2" / "node.log").read_text() == "port is taken\n"
    assert told.out == (tmp_path / "peers.md").read_text()


def test_the_tables_tell_medians_and_what_they_are_worth(order: list[tuple[str, str]], tmp_path: Path) -> None:
    peers.main(["--output", str(tmp_path), "--repeats", "3", "--points", "4 x 128", "--seconds", "2"])
    assert len(order) == 6
    text = (tmp_path / "peers.md").read_text()
    assert text.startswith("Medians of 3 interleaved runs of 2 s; commit ")
    assert "failed: repeat 1, 4 x 128, Bad: node ended with status 1: port is taken\n" in text
    assert "| 4 x 128 | Good | 3,000 (1,000-5,000) | 1.00 | 2.00 | 0.50 | 0.250 | 50.0 | 12.5 | 4.0 | 9 |\n" in text
    assert "| 4 x 128 | Bad | - | - | - | - | - | - | - | - | 0 |\n" in text
    assert "| Good | all | some | yes | no | no |" in text
    report = json.loads((tmp_path / "peers.json").read_text())
    assert report["schema"] == "triskele.peers/1"
    assert [run["repeat"] for run in report["runs"]] == [1, 1, 2, 2, 3, 3]
    assert report["rows"][0]["figures"][RATE]["median"] == 3000.0


def test_a_system_is_measured_at_its_own_points_only(systems: dict[str, System], order: list[tuple[str, str]], tmp_path: Path) -> None:
    systems["special"] = attrs.evolve(systems["good"], name="Special", only=("4 x 128",))
    assert peers.main(["--output", str(tmp_path), "--repeats", "1", "--points", "all", "--systems", "good,special"]) == 0
    assert [point for _, point in order] == ["1 x 1", "4 x 15", "16 x 15", "64 x 15", "4 x 128", "4 x 128", "16 x 15 all strong half writes"]
    report = json.loads((tmp_path / "peers.json").read_text())
    assert [row["point"] for row in report["rows"] if row["system"] == "special"] == ["4 x 128"]
    assert not report["partial"]
    peers.main(["--output", str(tmp_path), "--repeats", "1", "--points", "1 x 1", "--systems", "good,special"])
    assert "Special" not in (tmp_path / "peers.md").read_text()


def test_an_interrupted_comparison_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_run: Run) -> Figures:
        if not rates:
            raise KeyboardInterrupt
        return figures(rates.pop())

    rates = [7000.0]
    monkeypatch.setattr(peers, "SYSTEMS", {"good": system("Good", measure)})
    assert peers.main(["--output", str(tmp_path)]) == 130
    text = (tmp_path / "peers.md").read_text()
    assert text.startswith("Partial: ")
    assert "| 4 x 15 | Good | 7,000 |" in text


def test_nothing_to_measure_is_told(order: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--output", str(tmp_path), "--systems", "absent"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "peers: nothing to measure"
    assert order == []
