from __future__ import annotations

import json
from typing import TYPE_CHECKING

from replica.config import SETTINGS
from triskele.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_setting_is_shown_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.toml"
    file.write_text("forward_seconds = 4\n")
    monkeypatch.setenv("TRISKELE_BATCHING", "fixed")
    assert main(["config", "show", "--config", str(file), "--mode", "ht", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == list(SETTINGS)
    assert told["mode"] == {"value": "ht", "origin": "--mode"}
    assert told["batching"] == {"value": "fixed", "origin": "TRISKELE_BATCHING"}
    assert told["forward_seconds"] == {"value": 4.0, "origin": str(file)}
    assert told["insecure"] == {"value": False, "origin": "default"}


def test_a_variable_that_names_no_setting_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRISKELE_MOD", "ht")
    monkeypatch.setenv("TRISKELE_CLUSTER", "h:1")
    assert main(["config", "show"]) == 0
    assert capsys.readouterr().err == "triskele: TRISKELE_MOD in the environment names no setting; did you mean TRISKELE_MODE?\n"


def test_what_is_written_for_other_commands_is_shown_with_its_origin_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.toml"
    file.write_text('mode = "ht"\nreplicas = 5\nthreads = 4\n')
    monkeypatch.setenv("TRISKELE_REPLICAS", "3")
    assert main(["config", "show", "--config", str(file)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[-2:] == [["replicas", "3", "TRISKELE_REPLICAS"], ["threads", "4", str(file)]]
    assert ["mode", "ht", str(file)] in rows


def test_the_table_has_a_line_for_each_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--insecure"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["setting", "value", "origin"]
    assert [row[0] for row in rows[1:]] == list(SETTINGS)
    assert ["insecure", "true", "--insecure"] in rows
    assert ["listen", "-", "default"] in rows
