"""A soak, short: real replicas, a fault in each cycle, everything held, everything counted; and what is told of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from tests.chaos.bulk import Bulk, Counted
from tests.chaos.ledger import Ledger
from tests.chaos.load import Shape
from tests.chaos.memory import OURSELVES, Sample
from tests.chaos.soak import Result, exit_status, plan_of, report, run
from tests.chaos.soak import _parser as parser
from tests.chaos.soaking import Plan, Row

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

SHORT = Plan(
    seconds=16.0,
    every=8.0,
    shape=Shape(sessions=2, causal_sessions=1, workers=8, pause_seconds=0.1, probe_seconds=0.05, probes=64),
    bulk=Bulk(clients=1, threads=4, pendings=4, key_space=2000),
    kinds=(("kill", "leader"), ("pause", "follower")),
    peak_seconds=1.0,
    part=1,
)
ROW = Row(
    number=1, at=54.0, fault="kill of leader", kind="kill of leader", hit=(0,), lasted=5.0, touched=1, silence=0.5, silence_at=0.1, again=0.2,
    stall=0.0, bulk=Counted(100, 1, 2), bulk_rate=50.0, bulk_ordered=60.0, ledger={"done": 9}, looked=1.0,
    processes=(Sample(54.0, 0, 1, 50.0, 1 << 27, 20),), disk=(1 << 20, 2 << 20),
)  # fmt: skip


async def test_every_fault_is_got_over_and_every_promise_held(tmp_path: Path, looks: Counter[str]) -> None:
    said: list[str] = []
    with trio.fail_after(150):
        result = await run(SHORT, tmp_path, said.append)
    assert result.ledger.breaks == []
    assert looks["judge_register"] >= len(result.rows) * SHORT.shape.workers
    assert looks["judge_counter"] >= len(result.rows)
    assert looks["compare_states"] == len(result.rows)
    assert sorted(row.kind for row in result.rows) == ["kill of leader", "pause of follower"]
    assert all(row.touched and row.again is not None for row in result.rows)
    assert all(row.bulk.done > 10 and row.ledger["done"] > 100 for row in result.rows)
    assert [row.number for row in result.rows] == [1, 2]
    assert len(said) == 3
    assert len(result.peaks) == 2
    assert result.bulk.done >= sum(row.bulk.done for row in result.rows)
    assert {sample.replica for sample in result.rows[-1].processes} == {0, 1, 2, OURSELVES}
    assert len(result.rows[-1].disk) == 3
    assert len({sample.pid for sample in result.samples}) == 5  # three replicas, one that was started again, and this process
    assert not list(result.ledger.commands)  # forgotten, and counted
    assert json.loads(json.dumps(result.as_json()))["partial"] is False
    assert "lost: 0; promises broken: 0" in report(result)


async def test_what_is_known_when_it_is_ended_is_kept_and_called_partial(tmp_path: Path) -> None:
    stop = trio.Event()
    with trio.fail_after(60):
        result = await run(SHORT, tmp_path, lambda _line: stop.set(), stop)
    assert result.partial
    assert result.peak > 0
    assert result.rows == []
    assert exit_status(result) == 130
    assert result.as_json()["partial"] is True
    assert "PARTIAL" in "\n".join(report(result))


def test_a_broken_promise_or_growth_is_a_failure() -> None:
    result = Result(Plan(), Ledger(), rows=[attrs.evolve(ROW, number=number, at=600.0 * number) for number in range(1, 5)])
    assert exit_status(result) == 0
    grown = attrs.evolve(result, rows=[*result.rows, attrs.evolve(ROW, number=5, at=3000.0, disk=(1 << 30, 1 << 30))])
    assert exit_status(grown) == 1
    assert any(line.startswith("GROWS: most on disk") for line in report(grown))
    short = attrs.evolve(grown, rows=[attrs.evolve(row, at=row.at / 10) for row in grown.rows])
    assert exit_status(short) == 0
    assert any(line.startswith("too short to tell") for line in report(short))
    result.ledger.broken("LOST: it")
    assert exit_status(result) == 1
    assert "BROKEN: LOST: it" in report(result)


def test_a_row_tells_fault_silence_rates_and_sizes() -> None:
    told = ROW.line()
    for words in ("kill of leader, 5.0 s, replica 0", "silence 500 ms", "bulk 50 of 60/s, failed 1, unknown 2", "0 128 MiB/50 s/20 files", "1+2 MiB"):
        assert words in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--every 5", "--every 5: must be at least 10"),
        ("--every nan", "--every nan: must be at least 10"),
        ("--seconds 30", "--seconds 30: must be at least --every (60)"),
        ("--seconds inf", "--seconds inf: must be at least --every (60)"),
        ("--keys 0", "--keys 0: must be at least 1"),
        ("--replicas 2", "invalid choice: 2"),
        ("--seed x", "invalid int value"),
    ],
)
def test_bad_input_is_one_line(words: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plan_of(parser(), [*words.split(), "--output", str(tmp_path / "new")])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        plan_of(parser(), ["--output", str(tmp_path)])
    assert "is not empty" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        plan_of(parser(), ["--output", str(tmp_path / "file")])
    assert "file: " in capsys.readouterr().err
    plan, output = plan_of(parser(), ["--seconds", "120", "--seed", "4", "--keys", "50", "--output", str(tmp_path / "new" / "one")])
    assert (plan.cycles, plan.seed, plan.bulk.key_space, output.is_dir()) == (2, 4, 50, True)
