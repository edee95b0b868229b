"""What a user asks of a run, and what follows from it: the kinds of fault, the load's flags."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import attrs

from loadgen.settings import add_load_flags, load_settings
from replica.config import SettingError
from triskele.chaos.disks import can_trace
from triskele.chaos.nemeses import NEMESES, TRACED, chosen
from triskele.cli.framework import Command, make_parser

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.settings import LoadSettings
    from replica.config import Settings

LOAD = (
    "--clients 2 --threads 4 --pendings 4 --rate 1000 --key-space 300 --zipf 0.7 --conflict-percent 2 --value-bytes 20"
    " --causal-percent 50 --write-percent 50 --causal-write-percent 50"
)
"""Enough at once to meet on the same keys, few enough to check a minute's history within seconds."""
_OURS = (
    "cluster", "local", "delay_ms", "seconds", "operations", "warmup_seconds", "history", "check", "check_operations", "json", "html", "csv",
    "transport",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class ChaosSettings:
    """One run.

    Attributes:
        replicas: How many.
        seconds: Of load, faults and calm.
        seed: Of faults and of what the load asks.
        nemeses: Kinds of fault, as given; empty: all that can be had.
        load: Flags of ``triskele load``, behind ours.
        output: Folder of the reports.
    """

    replicas: int
    seconds: float
    seed: int
    output: Path
    nemeses: tuple[str, ...] = ()
    load: str = ""

    @property
    def history(self) -> Path:
        """Where the history is written."""
        return self.output / "history.jsonl"


def kinds_of(settings: ChaosSettings, *, durable: bool) -> tuple[list[str], dict[str, str]]:
    """Return the kinds of fault of a run, and why others are left out: ``{name: why}``.

    Raises:
        SettingError: A name is none, or what was asked for by name cannot be had.
    """
    try:
        wanted = chosen(settings.nemeses) if settings.nemeses else list(NEMESES)
    except ValueError as error:
        raise SettingError("--nemesis", str(error), "must be one of " + ", ".join(NEMESES) + "; or partition") from None
    missing: dict[str, str] = {}
    for name in wanted:
        nemesis = NEMESES[name]
        if nemesis.replicas_min > settings.replicas:
            missing[name] = f"needs {nemesis.replicas_min} replicas"
        elif nemesis.where == "disk" and not durable:
            missing[name] = "nothing is on disk"
        elif name in TRACED and not can_trace():
            missing[name] = "strace is not installed"
    for name, why in missing.items():
        if name in settings.nemeses:
            raise SettingError("--nemesis", name, why)
    kinds = [name for name in wanted if name not in missing]
    if not kinds:
        raise SettingError("--nemesis", ",".join(settings.nemeses), "none of them can be had here")
    return kinds, missing


def load_of(settings: ChaosSettings) -> tuple[LoadSettings, Settings]:
    """Return the settings of the load, and of the cluster.

    Raises:
        SettingError: A flag is wrong, or says what ``triskele chaos`` says.
    """
    parser = make_parser(Command("load", "", ""), ("", ""))
    add_load_flags(parser)
    given = parser.parse_args(shlex.split(settings.load))
    for name in _OURS:
        if getattr(given, name) is not None:
            raise SettingError("--load", f"--{name.replace('_', '-')}", "is for triskele chaos itself to say")
    arguments = parser.parse_args(shlex.split(f"{LOAD} --seed {settings.seed} {settings.load}"))
    arguments.local, arguments.seconds, arguments.warmup_seconds = str(settings.replicas), repr(settings.seconds), "0"
    arguments.check, arguments.history, arguments.quiet = True, str(settings.history), True
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRISKELE_")}
    load, cluster = load_settings(arguments, environment)
    return load, cluster.changed("triskele chaos", log_level="warning")
