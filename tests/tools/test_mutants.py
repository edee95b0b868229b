"""The mutants: the list fits the sources, a mistake is found where it is planted and nowhere else, and what is said of it is what happened."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import pytest

from tools import mutants
from tools.mutants import (
    CONTROL,
    COPIED,
    LADDER,
    PYTEST,
    ROOT,
    NoMutantError,
    Result,
    Rung,
    due,
    evidence,
    judge,
    load,
    mutated,
    own_tests,
    rungs,
    save,
    table,
)
from tools.mutants_list import MUTANTS, Mutant

if TYPE_CHECKING:
    from pathlib import Path

HALF = Mutant("half", "recovery", "replica/core/half.py", "n // 2 + 1", "(n + 1) // 2", "two majorities meet")
TESTS = """from replica.core.half import half


def test_two_majorities_meet() -> None:
    assert 2 * half(4) > 4
"""
OWN = Rung("its own", (*PYTEST, "tests/replica/core/test_half.py"), 60.0)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout with one source file and its test."""
    base = tmp_path / "house"
    for name in COPIED:
        if name == "pyproject.toml":
            (base / name).write_text('[tool.pytest]\npythonpath = ["."]\n')
        else:
            (base / name).mkdir(parents=True)
            (base / name / "__init__.py").touch()
    (base / "replica" / "core").mkdir()
    (base / "replica" / "core" / "__init__.py").touch()
    (base / "replica" / "core" / "half.py").write_text("def half(n: int) -> int:\n    return n // 2 + 1\n")
    (base / "tests" / "replica" / "core").mkdir(parents=True)
    (base / "tests" / "replica" / "core" / "test_half.py").write_text(TESTS)
    (base / "tests" / "forever.py").write_text("import threading\n\nthreading.Event().wait()\n")
    return base


# ----------------------------------------------------------------------------------------------------------------------------- the list


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_has_its_one_place_and_is_a_program(mutant: Mutant) -> None:
    assert mutated(mutant) != (ROOT / mutant.file).read_text()
    assert own_tests(mutant.file) != []


def test_there_are_ten_mutants_of_each_area_each_with_a_name_of_its_own() -> None:
    assert collections.Counter(mutant.area for mutant in MUTANTS) == {"witness": 10, "leader": 10, "recovery": 10, "session": 10, "storage": 10}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_the_page_tells_of_every_mutant_its_promise_and_its_remark() -> None:
    page = (ROOT / "docs" / "mutants.md").read_text()
    assert [mutant.name for mutant in MUTANTS if f"| `{mutant.name}` | {mutant.promise} |" not in page] == []
    assert [mutant.name for mutant in MUTANTS if mutant.remark and f"- `{mutant.name}` ({mutant.file}): {mutant.remark}\n" not in page] == []


@pytest.mark.parametrize("change", [{"old": "n // 3"}, {"old": "n"}, {"new": "n // 2 + 1"}, {"new": "n // ("}, {"file": "replica/core/none.py"}])
def test_a_mutant_without_a_place_or_a_meaning_is_refused_by_name(house: Path, change: dict[str, str]) -> None:
    with pytest.raises(NoMutantError, match="half"):
        mutated(Mutant(**{**vars(HALF), **change}), house)


# ---------------------------------------------------------------------------------------------------------------------------- the ladder


def test_a_mutant_climbs_the_tests_of_its_file_first_and_then_what_can_see_it() -> None:
    first = rungs(Mutant("x", "storage", "replica/storage/log.py", "", "", ""))[0]
    assert first.command[-2:] == ("tests/replica/storage/test_log.py", "tests/replica/storage/test_log_crashes.py")
    assert [rung.name for rung in rungs(Mutant("x", "storage", "replica/storage/log.py", "", "", ""))] == ["its own", "storage", "on disk"]
    assert "state machine" not in [rung.name for rung in rungs(Mutant("x", "witness", "replica/core/witness.py", "", "", ""))]
    assert rungs(CONTROL) == list(LADDER)


@pytest.mark.parametrize(
    ("folder", "unseen"), [("tests/replica/storage", "replica.core"), ("tests/statemachine", "replica"), ("tests/sim", "replica.storage")]
)
def test_no_rung_that_is_left_out_could_see_the_mutant(folder: str, unseen: str) -> None:
    texts = {path: path.read_text() for path in (ROOT / folder).rglob("*.py")}
    assert texts
    assert [path for path, text in texts.items() if f"from {unseen}" in text or f"import {unseen}" in text] == []


def test_a_planted_mistake_is_found_by_the_test_that_states_the_promise(house: Path) -> None:
    result = judge(HALF, house, [OWN])
    assert (result.killed_by, result.hung) == ("its own", False)
    assert result.evidence.startswith("tests/replica/core/test_half.py::test_two_majorities_meet")
    assert (house / "replica" / "core" / "half.py").read_text() == "def half(n: int) -> int:\n    return n // 2 + 1\n"


def test_who_passes_every_rung_survives(house: Path) -> None:
    result = judge(CONTROL, house, [OWN])
    assert (result.killed_by, list(result.seconds)) == ("", ["its own"])


def test_a_rung_that_does_not_end_kills_and_is_marked(house: Path) -> None:
    result = judge(HALF, house, [Rung("forever", ("tests.forever",), 0.2), OWN])
    assert (result.killed_by, result.hung, list(result.seconds)) == ("forever", True, ["forever"])


def test_a_mutant_that_cannot_be_imported_is_no_mutant(house: Path) -> None:
    with pytest.raises(NoMutantError, match="cannot be imported"):
        judge(Mutant("broken", "recovery", HALF.file, "def half", "n_unknown\n\n\ndef half", ""), house, [OWN])


def test_a_rung_without_tests_says_nothing(house: Path) -> None:
    with pytest.raises(mutants.BadLadderError, match="nothing to run"):
        judge(HALF, house, [Rung("empty", (*PYTEST, "tests/loadgen_none"), 60.0)])


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("..F\nFAILED tests/x.py::test_y - assert 1 == 2\n1 failed in 0.1s\n", "tests/x.py::test_y - assert 1 == 2"),
        ("1/16 seeds, 1 failed\r2/16 seeds\n\nFAILED  python -m tests.sim --seed 3\n  two leaders\n", "python -m tests.sim --seed 3"),
        ("a  13 states  4 steps  0.1 s  BROKEN\n  lost\n", "a  13 states  4 steps  0.1 s  BROKEN"),
        ("Traceback\nKeyError: 3\n", "KeyError: 3"),
        ("", ""),
    ],
)
def test_the_evidence_is_the_first_failure_that_was_said(output: str, said: str) -> None:
    assert evidence(output) == said


# ------------------------------------------------------------------------------------------------------------------------------- a run


def test_a_run_goes_on_where_it_was_and_judges_changed_files_anew(house: Path, tmp_path: Path) -> None:
    text = mutants.checksum(mutated(HALF, house))
    killed, survived = {HALF.name: Result(HALF.name, text, "core")}, {HALF.name: Result(HALF.name, text)}
    assert due([HALF], {}, house, again=False) == [HALF]
    assert due([HALF], killed, house, again=True) == []
    assert due([HALF], survived, house, again=False) == []
    assert due([HALF], survived, house, again=True) == [HALF]
    (house / HALF.file).write_text("# changed\ndef half(n: int) -> int:\n    return n // 2 + 1\n")
    assert due([HALF], killed, house, again=False) == [HALF]
    result = Result(MUTANTS[0].name, "0", "core", hung=True, evidence="x", seconds={"core": 1.5})
    save(tmp_path, {result.name: result})
    assert load(tmp_path) == {result.name: result}


def test_the_table_counts_what_was_found_at_first_and_what_is_found_now() -> None:
    at_first, now, never = (
        Mutant(name, "leader", "f.py", "", "", f"p {name}", remark) for name, remark in (("a", ""), ("b", "a test"), ("c", "same"))
    )
    results = {
        "a": Result("a", "", "its own", seconds={"its own": 2.0}),
        "b": Result("b", "", "core", hung=True, seconds={"its own": 2.0, "core": 30.0}),
        "c": Result("c", "", seconds={"core": 56.0}),
    }
    page = table(results, (at_first, now, never))
    assert "3 small mistakes, planted one at a time (`python tools/mutants.py`, 2 minutes of tests): 1 were found at first, 2 are found now." in page
    assert "| leader | 3 | 1 | 2 |" in page
    assert "| `b` | p b | core (hung) | 32 s |" in page
    assert "| `c` | p c | **nothing** | 56 s |" in page
    assert "- `b` (f.py): a test\n- `c` (f.py): same\n" in page


def test_an_unknown_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        mutants.main(["--only", "nonsense"])
    assert "no such mutant: nonsense" in capsys.readouterr().err
