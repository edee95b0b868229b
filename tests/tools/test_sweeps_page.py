"""What docs/sweeps.md shows comes out of reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.sweep.plan import Changes, find_plan
from loadgen.sweep.report import build
from tests.loadgen.sweep.stand import outcomes
from tools import sweeps_page
from tools.sweeps_page import END, PAGE, begin, main, with_section

if TYPE_CHECKING:
    from pathlib import Path

SWEEPS = (
    "batch-delay", "batching", "causal-ratio", "conflict-ratio", "depth", "distance", "durability", "floors", "long-run", "modes", "parallelism",
    "replicas", "value-size",
)  # fmt: skip


def report(name: str) -> dict[str, Any]:
    swept = find_plan(name, Changes(repeats=2))
    return build(swept, outcomes(swept, lambda run: 1000.0 * (run.point.number + 1)), started="2026-01-01", finished="2026-01-02")


@pytest.mark.parametrize("name", SWEEPS)
def test_the_page_has_a_place_for_every_experiment(name: str) -> None:
    assert PAGE.read_text().count(begin(name)) == 1


def test_what_is_between_the_marks_is_replaced_and_nothing_else() -> None:
    page = f"above\n{begin('depth')}\nformer\n{END}\nbetween\n{begin('modes')}\nkept\n{END}\nbelow\n"
    changed = with_section(page, report("depth"))
    assert changed.startswith(f"above\n{begin('depth')}\n2 repeats")
    assert changed.endswith(f"|\n{END}\nbetween\n{begin('modes')}\nkept\n{END}\nbelow\n")
    assert "former" not in changed
    assert with_section(changed, report("depth")) == changed


def test_ratios_over_a_baseline_have_a_table_of_their_own() -> None:
    page = f"{begin('durability')}\n{END}\n"
    assert with_section(page, report("durability")).count("| --- |") >= 2


def test_reports_that_are_not_whole_or_have_no_place_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "sweeps.md"
    page.write_text(f"{begin('depth')}\n{END}\n")
    monkeypatch.setattr(sweeps_page, "PAGE", page)
    before, whole = page.read_text(), report("depth")
    for number, wrong in enumerate((whole | {"partial": True}, whole | {"failures": [{}]}, whole | {"name": "figures"}, {}, [])):
        (tmp_path / f"{number}.json").write_text(json.dumps(wrong))
        assert main([str(tmp_path / f"{number}.json")]) == 2
        assert capsys.readouterr().err.startswith(f"sweeps_page: {tmp_path / f'{number}.json'}: ")
    assert main([str(tmp_path / "missing.json")]) == 2
    assert main([]) == 2
    assert page.read_text() == before
    (tmp_path / "right.json").write_text(json.dumps(whole))
    assert main([str(tmp_path / "right.json")]) == 0
    assert "| pendings 5 |" in page.read_text()
