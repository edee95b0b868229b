"""What two results are compared as: points, each with the figures of its runs; read from a load's result, a sweep's report or a folder of results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.figures import Figures, figures_of
from loadgen.report import SCHEMA as LOAD_SCHEMA
from loadgen.sweep.grid import told
from loadgen.sweep.report import SCHEMA as SWEEP_SCHEMA
from loadgen.sweep.report import mixture
from replica.config import SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RUNS: Final = "runs"
SWEEP: Final = "sweep"
INCIDENTAL: Final = frozenset({"seed", "json", "html", "csv", "history", "quiet", "cluster", "check", "check_operations", "floor"})
"""Settings that do not decide what is measured."""
RECORDED: Final = "recorded"
"""Stands for ``check`` and ``history``: either writes a history, which costs the clients time; the file's name decides nothing."""


@attrs.frozen
class Point:
    """One setting.

    Attributes:
        name: Unique on its side.
        flags: What decides the measurement.
        runs: Figures of each run.
        series: Commands of each whole second, of a run that stands alone; empty otherwise.
    """

    name: str
    flags: Mapping[str, Any]
    runs: Sequence[Figures]
    series: Sequence[float] = ()


@attrs.frozen(kw_only=True)
class Side:
    """One of two results.

    Attributes:
        name: As the user wrote it.
        kind: ``runs`` or ``sweep``; only equal ones can be compared.
        machine, commit, version: Where and with what it was measured, of its first run.
        partial: Whether runs are missing.
        points: All that has runs.
        mixture: What its runs differ in among themselves, a line each: several commits, say, where a sweep was resumed.
    """

    name: str
    kind: str
    machine: Mapping[str, Any]
    commit: str | None
    version: str
    partial: bool
    points: Sequence[Point]
    mixture: Sequence[str] = ()


def read_side(path: Path) -> Side:
    """Read a load's result, a sweep's report or its folder, or a folder of results.

    Raises:
        SettingError: It is none of these, or has no runs.
    """
    try:
        if path.is_dir() and not (path / "report.json").exists():
            folder = path / "runs" if (path / "runs").is_dir() else path
            results = [found for file in sorted(folder.glob("*.json")) if (found := _read(file)).get("schema") == LOAD_SCHEMA]
            if not results:
                raise SettingError(str(path), "", f"holds no results of triskele load (schema {LOAD_SCHEMA})")
            return side_of_results(str(path), results)
        found = _read(path / "report.json" if path.is_dir() else path)
        if found.get("schema") == LOAD_SCHEMA:
            return side_of_results(str(path), [found])
        if found.get("schema") == SWEEP_SCHEMA:
            return side_of_report(str(path), found)
    except OSError as error:
        raise SettingError(str(path), "", error.strerror or str(error)) from None
    except ValueError as error:
        raise SettingError(str(path), "", f"is not what its schema says: {error}") from error
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise SettingError(str(path), "", f"is not what its schema says: {type(error).__name__} {error}") from error
    raise SettingError(str(path), "", f"has schema {found.get('schema')}, neither {LOAD_SCHEMA} nor {SWEEP_SCHEMA}")


def _read(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        SettingError: It is none.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingError(str(file), "", f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise SettingError(str(file), "", "is no JSON object")
    return found


def side_of_results(name: str, results: Sequence[dict[str, Any]]) -> Side:
    """Return results as a side: runs of equal settings are one point, named by what differs between points.

    Raises:
        Exception: A result is not what its schema says; ``read_side`` puts that in words.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(json.dumps(_deciding(result["settings"]), sort_keys=True), []).append(result)
    every = [_deciding(own[0]["settings"]) for own in groups.values()]
    moved = [flag for flag in every[0] if len({json.dumps(flags.get(flag)) for flags in every}) > 1]
    points = [
        Point(
            told({flag: flags[flag] for flag in moved}) or "all runs",
            flags,
            [_numbers(figures_of(result)) for result in own],
            [_number("throughput_series", row[1]) for row in own[0]["throughput_series"]] if len(own) == 1 else (),
        )
        for flags, own in zip(every, groups.values(), strict=True)
    ]
    first = results[0]
    return Side(
        name=name,
        kind=RUNS,
        machine=_table("machine", first["machine"]),
        commit=first["commit"],
        version=first["version"],
        partial=False,
        points=points,
        mixture=list(mixture(results)),
    )


def side_of_report(name: str, report: Mapping[str, Any]) -> Side:
    """Return a sweep's report as a side.

    Raises:
        SettingError: No run of it has a result.
    """
    every = [
        Point(_text("name", point["name"]), _table("flags", point["flags"]), [_numbers(run["figures"]) for run in point["runs"] if run["figures"]])
        for point in report["points"]
    ]
    points = [point for point in every if point.runs]
    if not points:
        raise SettingError(name, "", "no run of it has a result")
    machine = _table("machine", report["machine"])
    return Side(
        name=name,
        kind=SWEEP,
        machine=machine,
        commit=report["commit"],
        version=report["version"],
        partial=report["partial"],
        points=points,
        mixture=[_text("warnings", line) for line in report["warnings"]],
    )


def _numbers(figures: object) -> Figures:
    """Return figures that are numbers or nothing.

    Raises:
        ValueError: They are not.
    """
    return {name: None if value is None else _number(name, value) for name, value in _table("figures", figures).items()}


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{what} is no number")
    return float(value)


def _table(what: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} is no table")  # noqa: TRY004 - of what a file says, not of a caller's types
    return value


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is no text")  # noqa: TRY004 - the same
    return value


def _deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in settings.items() if name not in INCIDENTAL}
    return found | {RECORDED: bool(settings.get("check") or settings.get("history"))}
