"""Every setting of the load generator, declared once, as those of a replica are (``replica.config``): flag, environment variable and TOML key
follow from the name; flags win over the environment, that over the file, that over the default.

A run with a cluster of its own (``--local``) takes that cluster's settings from the same places; only four of them are flags here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.workload import KEY_SPACE_MAX, WORKLOADS, WorkloadSettings
from replica.config import SETTINGS, Setting, SettingError, Settings, read_toml
from statemachine.command import VALUE_BYTES_MAX
from triskele.cluster_ports import REPLICA_COUNTS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

CLUSTER_FLAGS: Final = ("mode", "durability", "batching", "batch_delay_us")
"""Settings of the cluster of one's own that are flags of the load generator."""

OPERATIONS_DEFAULT: Final = 400_000
"""Operations measured when neither ``--operations`` nor ``--seconds`` says anything."""


def _setting(default: Any, group: str, help: str, **limits: Any) -> Any:  # noqa: A002 - the field's type is its annotation
    return attrs.field(default=default, metadata={"default": default, "group": group, "help": help, **limits})


@attrs.frozen(kw_only=True)
class LoadSettings:
    """The settings of one run. A 0 of ``operations``, ``seconds``, ``rate`` and ``conflict_seconds`` means: not given."""

    cluster: str = _setting("", "where", "addresses, a ready file or a cluster TOML (default: where `triskele up` puts three replicas)")
    local: int = _setting(0, "where", "start a cluster of this many replicas (1, 3, 5, 7 or 9), and stop it at the end", minimum=0, maximum=9)
    transport: str = _setting("native", "where", "how clients reach the replicas", choices=("native", "websocket"))
    links: str = _setting(
        "shared", "where", "one link per client process and replica, or one per stream and replica", choices=("shared", "per-stream")
    )
    delay_ms: float = _setting(
        0.0, "where", "with --local: replicas are so far apart, one way, and the clients from all but replica 1", minimum=0.0, maximum=10_000.0
    )

    clients: int = _setting(2, "streams", "client processes", minimum=1, maximum=64)
    threads: int = _setting(8, "streams", "streams of each client process; a stream is a session", minimum=1, maximum=1000)
    pendings: int = _setting(15, "streams", "operations in flight of each stream (with --rate: at most)", minimum=1, maximum=4096)
    rate: float = _setting(0.0, "streams", "operations a second, on schedule (open loop); 0: closed loop", minimum=0.0, maximum=1e8)

    operations: int = _setting(0, "length", f"operations to measure (default {OPERATIONS_DEFAULT} without --seconds)", minimum=0, maximum=1 << 40)
    seconds: float = _setting(0.0, "length", "seconds to measure", minimum=0.0, maximum=1e7)
    warmup_seconds: float = _setting(2.0, "length", "load before the measured window", minimum=0.0, maximum=1e6)
    connect_seconds: float = _setting(10.0, "length", "give up when sessions are not open by then", minimum=0.1, maximum=3600.0)
    drain_seconds: float = _setting(5.0, "length", "what has no answer this long after the end is unknown", minimum=0.0, maximum=3600.0)

    workload: str = _setting("mix", "workload", "the mix of the percentages below, or a YCSB mix", choices=WORKLOADS)
    causal_percent: float = _setting(50.0, "workload", "share of causal operations", minimum=0.0, maximum=100.0)
    write_percent: float = _setting(10.0, "workload", "share of writes among the strong operations", minimum=0.0, maximum=100.0)
    causal_write_percent: float = _setting(10.0, "workload", "share of writes among the causal operations", minimum=0.0, maximum=100.0)
    key_space: int = _setting(1_000_000, "workload", "number of keys", minimum=1, maximum=KEY_SPACE_MAX)
    zipf: float = _setting(0.9, "workload", "exponent of the keys' popularity; 0: uniform", minimum=0.0, maximum=10.0)
    conflict_percent: float = _setting(0.0, "workload", "share of operations on one key common to all sessions", minimum=0.0, maximum=100.0)
    conflict_seconds: float = _setting(0.0, "workload", "conflicts end this long after the window opened; 0: never", minimum=0.0, maximum=1e7)
    value_bytes: int = _setting(100, "workload", "bytes of a value", minimum=0, maximum=VALUE_BYTES_MAX)
    preload: str = _setting("auto", "workload", "write every key once before the warm-up; auto: with YCSB mixes", choices=("auto", "yes", "no"))
    seed: int = _setting(1, "workload", "of the operations drawn", minimum=0, maximum=(1 << 63) - 1)

    floor: bool = _setting(default=False, group="results", help="measure the wire floor and the codec floor beside the run")
    check: bool = _setting(default=False, group="results", help="record the history and check it: linearizability, sessions, causality, exactly once")
    check_operations: int = _setting(0, "results", "check the first so many operations, the warm-up's among them; 0: all", minimum=0, maximum=1 << 40)
    history: str = _setting("", "results", "write the history to this file: JSON lines, or Jepsen's EDN if its name ends in .edn")
    json: str = _setting("", "results", "write the result (schema triskele.load/1) to this file")
    html: str = _setting("", "results", "write the report to this file")
    csv: str = _setting("", "results", "write the result as one line of CSV to this file")
    quiet: bool = _setting(default=False, group="results", help="no progress, no table")

    origins: Mapping[str, str] = attrs.field(factory=dict, eq=False)  # {name: where its value was written}; absent = default

    def __attrs_post_init__(self) -> None:
        """Checks every value, and those that must fit each other."""
        for setting in LOAD_SETTINGS.values():
            setting.check(getattr(self, setting.name), self.written(setting.name))
        if self.local and self.local not in REPLICA_COUNTS:
            raise SettingError(self.written("local"), self.local, "must be one of " + ", ".join(map(str, REPLICA_COUNTS)))
        if self.local and self.cluster:
            raise SettingError(self.written("local"), self.local, f"{self.written('cluster')} says where a cluster is: give one of them")
        if self.operations and self.seconds:
            raise SettingError(self.written("operations"), self.operations, f"{self.written('seconds')} limits the run too: give one of them")
        if 0 < self.operations < self.clients:
            raise SettingError(self.written("operations"), self.operations, f"must be at least one for each of {self.clients} client processes")
        if self.conflict_percent and self.workload in {"ycsb-d", "ycsb-e"}:
            raise SettingError(self.written("conflict_percent"), self.conflict_percent, f"{self.workload} has no keys to put conflicts on")
        if self.conflict_seconds and not self.conflict_percent:
            raise SettingError(self.written("conflict_seconds"), self.conflict_seconds, "ends conflicts, and there are none: give --conflict-percent")
        if self.floor and not self.local:
            raise SettingError(self.written("floor"), "", "the floors need the same processes on this machine: give --local")
        if self.delay_ms and not self.local:
            raise SettingError(self.written("delay_ms"), self.delay_ms, "only a cluster of our own can be put apart: give --local")
        if self.delay_ms and (self.transport == "websocket" or self.floor):
            other = self.written("floor") if self.floor else f"{self.written('transport')} websocket"
            raise SettingError(self.written("delay_ms"), self.delay_ms, f"cannot go with {other}, which would not be delayed")

    @property
    def streams(self) -> int:
        """Streams of the whole run."""
        return self.clients * self.threads

    @property
    def measured_operations(self) -> int:
        """Operations after which the window closes, 0 if seconds close it."""
        return 0 if self.seconds else self.operations or OPERATIONS_DEFAULT

    @property
    def records(self) -> bool:
        """Whether the history is recorded, and every written value unique."""
        return self.check or bool(self.history)

    @property
    def preloads(self) -> bool:
        """Whether every key is written once before the warm-up."""
        return self.preload == "yes" or (self.preload == "auto" and self.workload != "mix")

    def written(self, name: str) -> str:
        """Returns the setting as the user wrote it, for messages."""
        origin = self.origins.get(name)
        setting = LOAD_SETTINGS[name]
        if origin is None:
            return setting.flag
        return origin if origin in (setting.flag, setting.variable) else f"{name} in {origin}"

    def workload_settings(self, unique: str | None = None) -> WorkloadSettings:
        """Returns what the streams draw; ``unique``: see there."""
        names = [field.name for field in attrs.fields(WorkloadSettings) if field.name in LOAD_SETTINGS]
        return WorkloadSettings(**{name: getattr(self, name) for name in names}, streams=self.streams, unique=unique)

    def as_json(self) -> dict[str, object]:
        """Returns every setting by its name."""
        return {name: getattr(self, name) for name in LOAD_SETTINGS}


LOAD_SETTINGS: Final[dict[str, Setting]] = {
    field.name: Setting(name=field.name, **field.metadata) for field in attrs.fields(LoadSettings) if "default" in field.metadata
}


def add_load_flags(parser: ArgumentParser) -> None:
    """Gives a parser the flag of every setting; values stay text for ``load_settings``. As ``replica.config.add_settings_flags``."""
    from argparse import BooleanOptionalAction

    parser.set_defaults(settings_flags=frozenset(LOAD_SETTINGS) | frozenset(SETTINGS))
    parser.add_argument("--config", metavar="FILE", default=None, help="TOML file of settings; flags and TRISKELE_… variables win over it")
    groups: dict[str, Any] = {}
    cluster = [attrs.evolve(SETTINGS[name], group="cluster (with --local)") for name in CLUSTER_FLAGS]
    for setting in [*LOAD_SETTINGS.values(), *cluster]:
        group = groups.get(setting.group) or groups.setdefault(setting.group, parser.add_argument_group(setting.group))
        text = setting.help.replace("%", "%%")
        if isinstance(setting.default, bool):
            group.add_argument(setting.flag, action=BooleanOptionalAction, default=None, help=text)
            continue
        metavar = "|".join(setting.choices) or _METAVARS.get(setting.name) or ("N" if isinstance(setting.default, int) else "X")
        default = f" (default {setting.default})" if setting.default not in ("", 0) else ""
        group.add_argument(setting.flag, metavar=metavar, default=None, help=text + default)


_METAVARS: Final = {
    "cluster": "ADDRESS,…|FILE", "history": "FILE", "json": "FILE", "html": "FILE", "csv": "FILE", "seconds": "S", "rate": "R",
    "warmup_seconds": "S", "connect_seconds": "S", "drain_seconds": "S", "conflict_seconds": "S",
}  # fmt: skip


def load_settings(arguments: Namespace, environment: Mapping[str, str]) -> tuple[LoadSettings, Settings]:
    """Resolves the settings of a run, and those of a cluster of its own.

    Raises:
        SettingError: A value is not allowed, a key of the file names no setting, or settings contradict each other.
    """
    given = vars(arguments)
    table = read_toml(Path(given["config"]), "--config") if given.get("config") else {}
    for name, value in table.items():
        if name not in LOAD_SETTINGS and name not in SETTINGS and name not in given.get("other_keys", ()):
            raise SettingError(f"{name} in {given['config']}", value, "names no setting")
    values, origins = _resolve(LOAD_SETTINGS, given, environment, table, str(given.get("config")))
    if values.get("local") and origins.get("cluster", "--cluster") != "--cluster":
        del values["cluster"], origins["cluster"]  # the environment says where clusters usually are; --local says: not this time
    load = LoadSettings(**values, origins=origins)
    for name in ("seconds", "operations"):
        if name in origins and not values[name]:
            raise SettingError(load.written(name), f"{values[name]:g}", "must be above 0: nothing would be measured")
    values, origins = _resolve(SETTINGS, {name: given.get(name) for name in CLUSTER_FLAGS}, environment, table, str(given.get("config")))
    if not load.local:
        for name in CLUSTER_FLAGS:
            if given.get(name) is not None:
                raise SettingError(SETTINGS[name].flag, given[name], "is a setting of the cluster: it goes with --local")
    return load, Settings(**values, origins=origins)


def _resolve(
    settings: Mapping[str, Setting], flags: Mapping[str, Any], environment: Mapping[str, str], table: Mapping[str, Any], file: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the values that somebody gave, and where each was written."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, setting in settings.items():
        found: Any
        if flags.get(name) is not None:
            found, what, origin = flags[name], setting.flag, setting.flag
        elif environment.get(setting.variable):  # an empty one says nothing
            found, what, origin = environment[setting.variable], setting.variable, setting.variable
        elif name in table:
            values[name], origins[name] = setting.check(table[name], f"{name} in {file}"), file
            continue
        else:
            continue
        values[name] = setting.parse(found, what) if isinstance(found, str) else setting.check(found, what)
        origins[name] = origin
    return values, origins
