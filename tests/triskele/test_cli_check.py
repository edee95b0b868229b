"""``triskele check``: each verdict has its exit status, each file that is no history its line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.loadgen.checkers.scripts import events
from triskele.cli.framework import main

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "a put x 1\nb get x = 1"
BAD = "a put x 1\na put x 2\nb get x = 1"
EDN = "{:process 0, :type :invoke, :f :write, :value 1} {:process 0, :type :ok, :f :write, :value 1}\n"
EDN_READ = "{:process 1, :type :invoke, :f :read, :value nil} {:process 1, :type :ok, :f :read, :value 1}\n"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def write(file: Path, text: str) -> str:
    file.write_text("".join(json.dumps(event) + "\n" for event in events(text)))
    return str(file)


def test_what_holds_is_status_0_with_every_verdict(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(recorded, GOOD)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "linearizable  yes (2 operations)",
        "sessions      yes (2 operations)",
        "causal        yes (2 operations)",
        "hybrid        yes (2 operations)",
        "exactly-once  yes (1 operations)",
    ]


def test_a_violation_is_status_1_with_a_counterexample_and_a_picture(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "wrong.svg"
    assert main(["check", write(recorded, BAD), "--property", "linearizable", "--svg", str(picture)]) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "linearizable  no (3 operations)",
        "  no linearization: key x: no order of these in real time explains every answer",
    ]
    assert picture.read_text().startswith("<svg")


def test_no_picture_is_drawn_of_what_holds(recorded: Path, tmp_path: Path) -> None:
    assert main(["check", write(recorded, GOOD), "--svg", str(tmp_path / "none.svg")]) == 0
    assert not (tmp_path / "none.svg").exists()


def test_a_picture_that_cannot_be_written_is_said(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(recorded, BAD), "--svg", str(tmp_path / "none" / "x.svg")]) == 1
    assert "--svg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}\n", "line 1: an event needs 'type'"),
        ('{"type": "ok", "process": 1, "id": 1, "op": "get"}\n', "line 1: operation 1 of process 1 returns before it is invoked"),
        ("", "no operation in it"),
    ],
)
def test_an_unreadable_history_is_status_2_and_no_verdict(recorded: Path, text: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.write_text(text)
    assert main(["check", str(recorded)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert why in told.err


def test_repeated_values_are_unreadable_for_causal_checks_only(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(recorded, "a put x 1\na put x 1\nb get x = 1")
    assert main(["check", file, "--property", "linearizable"]) == 0
    assert main(["check", file, "--property", "causal"]) == 2
    assert "line 3: writes the same value" in capsys.readouterr().err


def test_what_cannot_be_judged_in_time_is_status_3(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"c{number}> p{number} cas x - {number} unknown" for number in range(300)]
    lines += [f"w{number}> p{number} put x v{number % 3}" for number in range(300)] + [f"w{number}<" for number in range(300)]
    lines += [f"r get x = v{number % 2}" for number in range(9)]
    assert main(["check", write(recorded, "\n".join(lines)), "--property", "linearizable", "--time-limit", "0.001"]) == 3
    assert capsys.readouterr().out.startswith("linearizable  unknown (key x: 609 operations were not judged")


def test_json_has_the_verdicts_by_name(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(recorded, BAD), "-o", "json"]) == 1
    table: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (table["format"], table["linearizable"], table["causal"], table["operations_checked"]) == ("jsonl", "no", "yes", 3)
    assert table["counterexamples"]["hybrid"]["operations"][0] == {"line": 1, "process": "a", "text": "a put x 1 ok"}


def test_others_histories_are_checked_for_linearizability(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h.edn").write_text(EDN + EDN_READ)
    assert main(["check", str(tmp_path / "h.edn")]) == 0
    assert capsys.readouterr().out == "linearizable  yes (2 operations)\n"
    assert main(["check", str(tmp_path / "h.edn"), "--format", "jsonl"]) == 2


def test_what_could_not_have_been_wrong_is_vacuous_and_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h.edn").write_text(EDN)
    assert main(["check", str(tmp_path / "h.edn")]) == 3
    why = "no key was written by one operation and read by another"
    assert capsys.readouterr().out == f"linearizable  yes (1 operations)\nvacuous: {why}\n"
    assert main(["check", str(tmp_path / "h.edn"), "-o", "json"]) == 3
    assert json.loads(capsys.readouterr().out)["vacuous"] == why


def test_what_was_there_before_is_no_violation_where_the_user_says_so(recorded: Path) -> None:
    file = write(recorded, "a get x = old\na put x 1\na get x = 1")
    assert (main(["check", file]), main(["check", file, "--prior-state"])) == (1, 0)
