"""A run's history is checked when the load is over, and what is wrong is left where it is said to be."""

from __future__ import annotations

import json
import marshal
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.checked_run import finish_history
from loadgen.checkers.formats import read
from loadgen.history import _ANSWERS, _COMMANDS, _READS
from loadgen.settings import LoadSettings
from statemachine.command import PUT
from triskele.cli.framework import main

if TYPE_CHECKING:
    from pathlib import Path


def captured(folder: Path, seen: bytes | None) -> None:
    """One client process's capture: a put of ``new``, and a strong read that saw something."""
    events = [
        (10, _COMMANDS, 7, 0, bytes([PUT]), [b"x"], [b"new"], 1),
        (20, _ANSWERS, 0, 1, None, None, None),
        (30, _READS, 8, 1, "strong", [b"x"]),
        (40, _ANSWERS, 1, 1, None, [seen], [3]),
    ]
    with (folder / "captured-0").open("wb") as file:
        marshal.dump(events, file)


def finished(folder: Path, said: list[str] | None = None, **settings: Any) -> dict[str, Any] | None:
    return finish_history(LoadSettings(clients=1, **settings), folder, (said if said is not None else []).append, [])


def test_what_holds_leaves_no_file(tmp_path: Path) -> None:
    captured(tmp_path, b"new")
    check = finished(tmp_path, local=3, check=True)
    assert check is not None
    assert (check["linearizable"], check["hybrid"], check["operations_checked"], check["history"]) == ("yes", "yes", 2, None)
    assert [file.name for file in tmp_path.iterdir()] == ["captured-0"]


def test_a_history_that_cannot_be_written_is_checked_all_the_same_and_few_operations_are_vacuous(tmp_path: Path) -> None:
    captured(tmp_path, b"new")
    unwritten: list[str] = []
    check = finish_history(LoadSettings(clients=1, local=3, check=True, history="/dev/full"), tmp_path, lambda _: None, unwritten)
    assert unwritten == ["--history /dev/full: could not be written: No space left on device"]
    assert check is not None
    assert (check["linearizable"], check["vacuous"]) == ("yes", "2 operations were answered, fewer than 100")


def test_a_violation_leaves_the_history_and_pictures_beside_the_report(tmp_path: Path) -> None:
    captured(tmp_path, None)
    said: list[str] = []
    check = finished(tmp_path, said, local=3, check=True, json=str(tmp_path / "report.json"))
    assert check is not None
    assert (check["linearizable"], check["causal"], check["hybrid"]) == ("no", "yes", "no")
    assert check["history"] == str(tmp_path / "report-history.jsonl")
    assert check["pictures"] == [str(tmp_path / f"report-{name}.svg") for name in ("linearizable", "hybrid")]
    assert len(read(tmp_path / "report-history.jsonl", "jsonl").operations) == 2
    assert said[-1].endswith(f"again: triskele check {check['history']}")
    assert json.loads(json.dumps(check)) == check


def test_a_history_that_was_wanted_anyway_is_the_one_that_is_named(tmp_path: Path) -> None:
    captured(tmp_path, None)
    check = finished(tmp_path, local=3, check=True, history=str(tmp_path / "mine.edn"))
    assert check is not None
    assert check["history"] == str(tmp_path / "mine.edn")
    assert check["pictures"][0] == str(tmp_path / "mine-linearizable.svg")


@pytest.mark.parametrize(("local", "answer"), [(3, "no"), (0, "yes")])
def test_only_a_cluster_of_one_s_own_begins_empty(tmp_path: Path, local: int, answer: str) -> None:
    """A value from nowhere is a violation there; elsewhere it may have been there before."""
    (tmp_path / "captured-0").write_bytes(marshal.dumps([(10, _READS, 8, 0, "strong", [b"x"]), (20, _ANSWERS, 0, 1, None, [b"old"], [3])]))
    check = finished(tmp_path, local=local, check=True, json=str(tmp_path / "r.json"))
    assert check is not None
    assert check["linearizable"] == answer


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.edn"])
@pytest.mark.parametrize(("local", "status"), [(3, 1), (0, 0)])
def test_the_written_history_says_itself_whether_it_begins_empty(tmp_path: Path, name: str, local: int, status: int) -> None:
    """So that whoever checks it later need not know where it was recorded."""
    events = [
        (1, _COMMANDS, 7, 0, bytes([PUT]), [b"y"], [b"new"], 1),
        (2, _ANSWERS, 0, 1, None, None, None),
        (10, _READS, 8, 1, "strong", [b"x", b"y"]),
        (20, _ANSWERS, 1, 2, None, [b"old", b"new"], [3, 4]),
    ]
    (tmp_path / "captured-0").write_bytes(marshal.dumps(events))
    assert finished(tmp_path, local=local, history=str(tmp_path / name)) is None
    assert main(["check", str(tmp_path / name), "--property", "linearizable"]) == status


def test_a_beginning_may_be_enough(tmp_path: Path) -> None:
    """The put alone: the read that did not see it comes later."""
    captured(tmp_path, None)
    check = finished(tmp_path, local=3, check=True, check_operations=1)
    assert check is not None
    assert (check["linearizable"], check["operations_checked"]) == ("yes", 1)
    assert finished(tmp_path, local=3, check=True, check_operations=2, json=str(tmp_path / "r.json"))["linearizable"] == "no"  # type: ignore[index]


def test_a_history_alone_is_written_and_not_checked(tmp_path: Path) -> None:
    captured(tmp_path, None)
    assert finished(tmp_path, local=3, history=str(tmp_path / "h.jsonl")) is None
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 4
