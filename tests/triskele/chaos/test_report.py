from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest

from replica.config import SettingError
from tests.triskele.chaos.told import STRIKES, result
from triskele.chaos.report import again, check_folder, write_folder
from triskele.chaos.report import title as title_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_leaves_its_result_and_two_reports(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    write_folder(tmp_path / "new", result())
    assert json.loads((tmp_path / "new" / "chaos.json").read_text())["schema"] == "triskele.chaos/1"
    text = (tmp_path / "new" / "report.md").read_text()
    assert "# Chaos, seed 5: passed" in text
    assert "| half-open incoming | 1 | 1 | 3.0 | 1.0 | 7 | 2.40 | 0.50 | 1 | 0 | 3 |" in text
    assert "| linearizable | yes |" in text
    assert "- without slow-disk: strace is not installed" in text
    assert "What is wrong" not in text
    assert (tmp_path / "new" / "report.html").read_text().count("<svg") == 1


def test_what_is_wrong_stands_first(tmp_path: Path) -> None:
    write_folder(tmp_path, result(strikes=[STRIKES[0], attrs.evolve(STRIKES[1], touched=0)]))
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# Chaos, seed 5: NOT PASSED")
    assert text.index("touched nothing") < text.index("## Promises")


def test_a_run_that_was_stopped_is_marked_in_every_report(tmp_path: Path) -> None:
    assert write_folder(tmp_path, result(stopped="stopped by SIGINT after 4.0 s of 8")) == []
    assert json.loads((tmp_path / "chaos.json").read_text())["partial"] is True
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "Chaos, seed 5: PARTIAL" in text
        assert "stopped by SIGINT after 4.0 s of 8" in text


def test_a_report_that_cannot_be_written_is_a_line_and_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "chaos.json").symlink_to("/dev/full")
    assert write_folder(tmp_path, result()) == [f"--output {tmp_path / 'chaos.json'}: could not be written: No space left on device"]
    assert (tmp_path / "report.md").exists()


def test_the_report_tells_how_to_draw_the_same_schedule() -> None:
    assert again(result()) == 'triskele chaos --replicas 3 --seconds 8 --seed 5 --nemesis kill,half-open --load="--rate 9" --output DIR'
    assert title_of(result()) == "Chaos, seed 5: passed"


def test_a_folder_that_cannot_be_made_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"--output .*file: "):
        check_folder(tmp_path / "file")
