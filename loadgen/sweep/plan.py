"""A sweep as its TOML file describes it: the points, how often each is run, and in which order.

::

    name = "depth"                  # these five may all be left out
    about = "what it is for"
    repeats = 5
    seed = 1                        # of the order of the runs
    run_seconds_max = 3600          # a run that takes longer has failed

    [base]                          # flags of triskele load, with underscores or dashes, the same in all points
    seconds = 5

    [axes]                          # each value of one meets each of every other
    pendings = [5, 15, 128]
    streams = [{ name = "4 streams", clients = 2, threads = 2 }, { name = "16 streams", clients = 2, threads = 8 }]

    [[point]]                       # instead of, or one more axis beside them: flags that move together
    name = "disk"
    durability = "disk"

    [baseline]                      # each point is compared with the one that has this step instead of its own, repeat by repeat
    pendings = 15

Repeats are interleaved: each runs every point once, in an order drawn anew from the seed, so that each point meets each mood of the machine.
"""

from __future__ import annotations

import random
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.sweep.grid import POINT, Axis, Flags, Point, axis_of, flags_of, name_of, points_of
from replica.config import Setting, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNS_MAX: Final = 100_000
ABOUT_LETTERS_MAX: Final = 2000
REPEATS: Final = Setting(name="repeats", default=5, help="", group="", minimum=1, maximum=1000)
SEED: Final = Setting(name="seed", default=1, help="", group="", minimum=0, maximum=(1 << 63) - 1)
RUN_SECONDS_MAX: Final = Setting(name="run_seconds_max", default=3600.0, help="", group="", minimum=1.0, maximum=1e6)
_KEYS: Final = ("name", "about", "repeats", "seed", "run_seconds_max", "base", "axes", "point", "baseline")
_LENGTHS: Final = ("seconds", "operations")


@attrs.frozen(kw_only=True)
class Changes:
    """What the command line says otherwise than the file; None: nothing.

    Attributes:
        repeats: Instead of the file's.
        seconds: Measured of each run, instead of the file's seconds or operations.
    """

    repeats: int | None = None
    seconds: float | None = None

    def words(self) -> str:
        """Return them as flags."""
        return " ".join(f"--{name} {value:g}" for name, value in attrs.asdict(self).items() if value is not None)


@attrs.frozen
class Run:
    """One run: a point in a repeat, from 1."""

    point: Point
    repeat: int

    @property
    def file(self) -> str:
        """Name of its result's file, unique in its sweep."""
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.point.name).strip("-")[:60]
        return f"{self.point.number + 1:03}-{slug}-{self.repeat}.json"


@attrs.frozen(kw_only=True)
class Plan:
    """A sweep.

    Attributes:
        name: For people.
        about: What it is for, perhaps empty.
        text: The file, as written.
        changes: Of the command line.
        points: In the file's order.
        axes: Of the points.
        repeats: Runs of each point.
        seed: Of the order.
        run_seconds_max: A run that takes longer has failed.
        baseline: ``{axis: step}`` that points are compared with; empty: none.
    """

    name: str
    about: str
    text: str
    changes: Changes
    points: tuple[Point, ...]
    axes: tuple[Axis, ...]
    repeats: int
    seed: int
    run_seconds_max: float
    baseline: Mapping[str, str]

    def runs(self) -> list[Run]:
        """Return all runs in their order."""
        found: list[Run] = []
        for repeat in range(1, self.repeats + 1):
            draw = random.Random(f"sweep/{self.seed}/{repeat}")
            found += [Run(point, repeat) for point in draw.sample(self.points, len(self.points))]
        return found

    def baseline_of(self, point: Point) -> Point | None:
        """Return the point that a point is compared with; None for one that others are compared with, and without a baseline."""
        steps = {**point.steps, **self.baseline}
        if steps == point.steps:
            return None
        return next(other for other in self.points if other.steps == steps)


def read_plan(text: str, file: str, changes: Changes) -> Plan:
    """Read a sweep.

    Args:
        text: TOML.
        file: Where it stands, for messages.
        changes: Of the command line.

    Raises:
        SettingError: It is no TOML, a key or value is wrong, or the grid is impossible.
    """
    table = _parsed(text, file)
    for key, value in table.items():
        if key not in _KEYS:
            shown = "" if isinstance(value, dict | list) else value
            raise SettingError(f"{key} in {file}", shown, f"is no key of a sweep ({', '.join(_KEYS)}); flags of the load go below [base] or [axes]")
    base = flags_of(_table(table, "base", file), file)
    axes = [axis_of(key, values, file) for key, values in _table(table, "axes", file).items()]
    if POINT in table:
        if any(axis.name == POINT for axis in axes):
            raise SettingError(f"{POINT} in {file}", "", "is an axis and a list of [[point]] tables: give one of them")
        axes.append(axis_of(POINT, table[POINT], file))
    points = points_of(base, axes, file)  # what the file says must be right, also where the command line says otherwise
    if (changed := _changed(base, axes, changes, file)) != base:
        points = points_of(changed, axes, file)
    repeats = int(REPEATS.check(table.get("repeats", REPEATS.default), f"repeats in {file}"))
    repeats = int(REPEATS.check(changes.repeats, "--repeats")) if changes.repeats is not None else repeats
    if len(points) * repeats > RUNS_MAX:
        raise SettingError(f"repeats in {file}", repeats, f"makes {len(points) * repeats} runs of {len(points)} points; the most is {RUNS_MAX}")
    about = table.get("about", "")
    return Plan(
        name=name_of(table.get("name", Path(file).stem), f"name in {file}"),
        about=name_of(" ".join(about.split()) if isinstance(about, str) else about, f"about in {file}", ABOUT_LETTERS_MAX) if about else "",
        text=text,
        changes=changes,
        points=points,
        axes=tuple(axes),
        repeats=repeats,
        seed=int(SEED.check(table.get("seed", SEED.default), f"seed in {file}")),
        run_seconds_max=float(RUN_SECONDS_MAX.check(table.get("run_seconds_max", RUN_SECONDS_MAX.default), f"run_seconds_max in {file}")),
        baseline=_baseline(_table(table, "baseline", file), axes, file),
    )


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(file, "", f"is no TOML: {error}") from None


def _table(table: Mapping[str, Any], key: str, file: str) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise SettingError(f"{key} in {file}", "" if isinstance(found, list) else found, f"must be a table: [{key}]")
    return found


def _changed(base: Flags, axes: list[Axis], changes: Changes, file: str) -> Flags:
    """Return the base with the command line's seconds.

    Raises:
        SettingError: An axis moves the length itself.
    """
    if changes.seconds is None:
        return base
    for axis in axes:
        for name in _LENGTHS:
            if name in axis.flags:
                raise SettingError("--seconds", f"{changes.seconds:g}", f"{file} compares runs of different {name} ({axis.name})")
    return {**{name: value for name, value in base.items() if name not in _LENGTHS}, "seconds": float(changes.seconds)}


def _baseline(table: Mapping[str, Any], axes: list[Axis], file: str) -> dict[str, str]:
    """Return ``{axis: name of the baseline's step}``.

    Raises:
        SettingError: There is no such axis, or no such step.
    """
    found: dict[str, str] = {}
    for key, value in table.items():
        axis = next((axis for axis in axes if axis.name == key), None)
        if axis is None:
            raise SettingError(f"baseline {key} in {file}", value, "is no axis; there are: " + ", ".join(axis.name for axis in axes))
        step = next((step for step in axis.steps if step.name == value or (len(step.flags) == 1 and value in step.flags.values())), None)
        if step is None:
            raise SettingError(f"baseline {key} in {file}", value, "is none of its values: " + "; ".join(step.name for step in axis.steps))
        found[key] = step.name
    return found


# ---------------------------------------------------------------------------------------------------------------------- files


def shipped() -> dict[str, str]:
    """Return the experiments that come with the program: ``{name: text}``."""
    folder = files("loadgen").joinpath("experiments")
    found = {entry.name.removesuffix(".toml"): entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}


def find_plan(word: str, changes: Changes) -> Plan:
    """Read the sweep that a word names: a file, or an experiment that comes with the program.

    Raises:
        SettingError: There is no such file, or it is wrong.
    """
    path = Path(word)
    if not path.exists() and word in (known := shipped()):
        return read_plan(known[word], f"{word}.toml", changes)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingError(word, "", f"is no TOML: {error}") from None
    except OSError as error:
        hint = "" if word.endswith(".toml") else f"; nor is it one of ours: {', '.join(shipped())}"
        raise SettingError(word, "", f"{error.strerror or error}{hint}") from None
    return read_plan(text, word, changes)
