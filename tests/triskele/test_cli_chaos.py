from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from triskele.chaos.nemeses import NEMESES
from triskele.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--output: missing: name the folder for the reports"),
        ("--output x --replicas 4", "--replicas 4: must be one of 3, 5, 7, 9"),
        ("--output x --seconds 0", "--seconds 0: must be 6 seconds at least, or there is no time for a fault"),
        ("--output x --seconds 5.9", "--seconds 5.9: must be 6 seconds at least, or there is no time for a fault"),
        ("--output x --nemesis kil", "--nemesis kil: must be one of kill, pause, "),
        ("--output x --nemesis kill,partition-majorities-ring", "--nemesis partition-majorities-ring: needs 5 replicas"),
        ("--output x --load=--threds", "--threds: no such flag; did you mean --threads?; see triskele load --help"),
        ("--output x --load=--check", "--load --check: is for triskele chaos itself to say"),
        ("--output x --load=--delay-ms=5", "--load --delay-ms: is for triskele chaos itself to say"),
    ],
)
def test_wrong_usage_is_one_line_and_makes_no_folder(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["chaos", *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_kind_of_fault_and_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "--help"]) == 0
    told = [line.strip().partition("  ") for line in capsys.readouterr().out.partition("kinds of fault, for")[2].splitlines()]
    assert [(name, says.strip()) for name, _, says in told if name in NEMESES] == [(name, nemesis.says) for name, nemesis in NEMESES.items()]
