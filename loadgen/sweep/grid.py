"""From a sweep's tables to its points: the base, and every combination of the values of its axes, each checked as ``triskele load`` would.

A value of an axis is a value of one flag, or a table of flags that move together; a file's ``[[point]]`` tables are one such axis.
"""

from __future__ import annotations

import math
from argparse import Namespace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.settings import CLUSTER_FLAGS, LOAD_SETTINGS, load_settings
from replica.config import SETTINGS, Setting, SettingError, Value
from triskele.cluster_ports import REPLICA_COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Flags = dict[str, Value]
"""``{name of a flag: value}``, underscores in the names."""

POINTS_MAX: Final = 1000
NAME_LETTERS_MAX: Final = 120
POINT: Final = "point"
"""The axis of the ``[[point]]`` tables."""
REPLICAS: Final = 3
"""Of each run's cluster, unless the file says ``local``."""
_OURS: Final = frozenset({"cluster", "history", "json", "html", "csv", "quiet"})
ALLOWED: Final[dict[str, Setting]] = {
    name: setting for name, setting in (SETTINGS | LOAD_SETTINGS).items() if name not in _OURS and not setting.address
}
"""What a sweep may say: the flags of the load, and the settings of its cluster."""


@attrs.frozen
class Step:
    """A value of an axis: what it is called, and the flags it stands for."""

    name: str
    flags: Flags


@attrs.frozen
class Axis:
    """A list of steps, each of which meets each of every other axis."""

    name: str
    steps: tuple[Step, ...]

    @property
    def flags(self) -> set[str]:
        """Names of the flags that it moves."""
        return {name for step in self.steps for name in step.flags}


@attrs.frozen
class Point:
    """One setting of a sweep.

    Attributes:
        number: Its place, from 0.
        name: Unique in its sweep.
        flags: The base's and its own.
        steps: ``{axis: name of its step there}``.
    """

    number: int
    name: str
    flags: Flags
    steps: Mapping[str, str]

    def words(self) -> list[str]:
        """Return the flags for the command line of ``triskele load``."""
        words: list[str] = []
        for name, value in self.flags.items():
            if name not in LOAD_SETTINGS and name not in CLUSTER_FLAGS:
                continue
            flag = ALLOWED[name].flag
            if isinstance(value, bool):
                words.append(flag if value else f"--no-{flag[2:]}")
            else:
                words += [flag, str(value)]
        return words

    def variables(self) -> dict[str, str]:
        """Return settings of the cluster that are no flags of the load, as environment variables."""
        return {ALLOWED[name].variable: str(value) for name, value in self.flags.items() if name not in LOAD_SETTINGS and name not in CLUSTER_FLAGS}


def flags_of(table: Mapping[str, Any], file: str) -> Flags:
    """Check a table of flags.

    Raises:
        SettingError: A key names no flag, or its value is wrong.
    """
    flags: Flags = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in _OURS:
            raise SettingError(f"{key} in {file}", value, "is for triskele sweep itself to say")
        if name not in ALLOWED:
            raise SettingError(f"{key} in {file}", value, "names no flag of triskele load" + _nearest(name))
        if name in flags:
            raise SettingError(f"{key} in {file}", value, "is there twice, with dashes and with underscores")
        flags[name] = ALLOWED[name].check(value, f"{key} in {file}")
    return flags


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    nearest = get_close_matches(name, ALLOWED, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def axis_of(key: str, values: object, file: str) -> Axis:
    """Read an axis: values of the flag it is named after, or tables of flags, whose ``name`` is optional.

    Raises:
        SettingError: It has no values, or one is wrong.
    """
    if not isinstance(values, list) or not values:
        raise SettingError(f"{key} in {file}", values, "must be a list of values or tables, and not empty")
    steps: list[Step] = []
    for value in values:
        if isinstance(value, dict):
            given = dict(value)
            flags = flags_of({flag: own for flag, own in given.items() if flag != "name"}, file)
            if not given:
                raise SettingError(f"{key} in {file}", "{}", "is an empty table: give it flags, or a name at least")
            steps.append(Step(name_of(given["name"], f"name in {file}") if "name" in given else told(flags), flags))
        else:
            flags = flags_of({key: value}, file)
            steps.append(Step(told(flags), flags))
    return Axis(key, tuple(steps))


def name_of(value: object, what: str, letters_max: int = NAME_LETTERS_MAX) -> str:
    """Check a name, or another line.

    Raises:
        SettingError: It is no text that can stand in a line of so many letters.
    """
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > letters_max:
        raise SettingError(what, value if isinstance(value, str) and value.isprintable() else "", "must be a line of text that can be printed")
    return value


def told(flags: Mapping[str, Value]) -> str:
    """Say flags in words."""
    return ", ".join(f"{name.replace('_', ' ')} {f'{value:g}' if isinstance(value, float) else value}" for name, value in flags.items())


def points_of(base: Flags, axes: list[Axis], file: str) -> tuple[Point, ...]:
    """Return every combination.

    Raises:
        SettingError: There are none or too many, a flag is said in two places, two points have one name, or the load refuses one.
    """
    _check_apart(base, axes, file)
    count = math.prod(len(axis.steps) for axis in axes)
    if not 1 <= count <= POINTS_MAX or not axes:
        raise SettingError(f"points of {file}", count if axes else 0, f"must be from 1 to {POINTS_MAX}: give axes, or [[point]] tables")
    points: list[Point] = []
    for steps in product(*(axis.steps for axis in axes)):
        flags: Flags = {"local": REPLICAS, **base}
        for step in steps:
            flags |= step.flags
        name = ", ".join(step.name for step in steps)
        points.append(Point(len(points), name, flags, {axis.name: step.name for axis, step in zip(axes, steps, strict=True)}))
        check_point(points[-1], file)
    _check_names((point.name for point in points), file)
    return tuple(points)


def _check_apart(base: Flags, axes: list[Axis], file: str) -> None:
    """Refuse a flag that is said twice.

    Raises:
        SettingError: One is.
    """
    said: dict[str, str] = dict.fromkeys(base, "[base]")
    for axis in axes:
        for name in sorted(axis.flags):
            if name in said:
                value = next(step.flags[name] for step in axis.steps if name in step.flags)
                raise SettingError(f"{name} in {file}", value, f"is in {said[name]} and in {axis.name}: give it once")
        said |= dict.fromkeys(axis.flags, axis.name)


def _check_names(names: Iterable[str], file: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SettingError(f"point in {file}", name, "is there twice")
        seen.add(name)


def check_point(point: Point, file: str) -> None:
    """Let the load judge a point's flags together.

    Raises:
        SettingError: It refuses them.
    """
    if point.flags["local"] not in REPLICA_COUNTS:
        raise SettingError(f"local in {file}", point.flags["local"], "must be one of " + ", ".join(map(str, REPLICA_COUNTS)))
    given = {name: value for name, value in point.flags.items() if name in LOAD_SETTINGS or name in CLUSTER_FLAGS}
    try:
        load_settings(Namespace(**given), point.variables())
    except SettingError as error:
        what = next((name for name in ALLOWED if error.what in {ALLOWED[name].flag, ALLOWED[name].variable}), error.what)
        raise SettingError(f"{what} in {file}", error.value, f"{error.why} (point {point.name})") from None
