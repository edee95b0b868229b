"""The figures in README.md and docs/performance.md come out of one report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.sweep.plan import Changes, find_plan
from loadgen.sweep.report import build
from tests.loadgen.sweep.stand import outcomes
from tools import figures_table
from tools.figures_table import BEGIN, END, PERFORMANCE, README, long_table, main, short_table, with_table

if TYPE_CHECKING:
    from pathlib import Path


def report(*, repeats: int = 2) -> dict[str, Any]:
    swept = find_plan("figures", Changes(repeats=repeats))
    return build(swept, outcomes(swept, lambda run: 1000.0 * (run.point.number + 1)), started="2026-01-01", finished="2026-01-02")


@pytest.mark.parametrize("page", [README, PERFORMANCE], ids=lambda page: page.name)
def test_both_pages_have_the_marks(page: Path) -> None:
    text = page.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


def test_what_is_between_the_marks_is_replaced_and_nothing_else() -> None:
    found = report()
    changed = with_table(f"above\n{BEGIN}\nformer\n{END}\nbelow\n", "caption", short_table(found))
    assert changed.startswith(f"above\n{BEGIN}\ncaption\n\n| streams x in flight |")
    assert changed.endswith(f"|\n{END}\nbelow\n")
    assert "| 16 x 15, disk | 11,000 | 2.00 | 2.00 | 0.007 |\n" in changed
    assert "former" not in changed
    assert with_table(changed, "caption", short_table(found)) == changed


def test_the_long_table_has_intervals_and_what_was_lost() -> None:
    heads, rows = long_table(report())
    assert (heads[0], heads[-1]) == ("streams x in flight", "failed + unknown")
    assert rows[1][:2] == ["16 x 15", "2,000 (2,000-2,000)"]


def test_both_pages_are_written_from_a_whole_report_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("README", "PERFORMANCE"):
        (tmp_path / name).write_text(f"{BEGIN}\n{END}\n")
        monkeypatch.setattr(figures_table, name, tmp_path / name)
    whole = report()
    for wrong in (whole | {"partial": True}, whole | {"name": "depth"}, whole | {"failures": [{"point": "4 x 15"}]}):
        (tmp_path / "wrong.json").write_text(json.dumps(wrong))
        assert main([str(tmp_path / "wrong.json")]) == 2
    assert capsys.readouterr().err.count("is no report.json of a whole `triskele sweep figures`") == 3
    (tmp_path / "right.json").write_text(json.dumps(whole))
    assert main([str(tmp_path / "right.json")]) == 0
    assert (tmp_path / "README").read_text().count("\n| ") == 13
    told = [(tmp_path / name).read_text() for name in ("README", "PERFORMANCE")]
    assert ["\n2 repeats, --repeats 2; commit " in text for text in told] == [True, True]
    assert ["in brackets" in text for text in told] == [False, True], "only one of the tables has any"
    assert "strong p99" in (tmp_path / "PERFORMANCE").read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "No such file or directory"), ("{", "is no JSON: "), ("[]", "is no report.json of a whole"), ("{}", "is no report.json of a whole")],
)
def test_what_is_no_report_is_one_line_and_status_2(text: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    if text is not None:
        file.write_text(text)
    assert main([str(file)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"figures_table: {file}: {why}")
    assert told.count("\n") == 1


def test_flags_that_are_none_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--colour"])
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
