"""Every setting of a replica, declared once: type, default, limits, unit, help; flag, environment variable and TOML key follow from the name.

A setting's value comes from the first of these that gives one: a flag (``--batch-delay-us 75``), the environment
(``TRISKELE_BATCH_DELAY_US=75``), a TOML file (``batch_delay_us = 75``), the default.  ``Settings`` remembers which, so that
``triskele config show`` can tell, and so that an error names the place where the wrong value stands.

Units are the last part of a name.  What happens at a limit is part of its help: nothing in a replica grows without one.

Rejected: a settings library (three of them compared; none keeps the origin of a value for error messages, all import slowly, and a
cluster starts many processes).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from replica.address import AddressError, check_listening
from statemachine.sessions import RESULTS_MAX
from transport.frame import HEADER_BYTES

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Collection, Mapping

Mode = Literal["paxos", "curp", "ht", "ho"]
Batching = Literal["turn", "fixed", "adaptive"]
Durability = Literal["memory", "disk"]
LogLevel = Literal["debug", "info", "warning", "error"]

Value = str | int | float | bool

VARIABLE_PREFIX = "TRISKELE_"
DEFAULT_ORIGIN = "default"

HEARTBEATS_PER_ELECTION = 3
_MEBIBYTE = 1 << 20
_FLOAT_BITS_MAX = 256
"""Of a whole number that is read as a float; no limit of ours comes near."""


class SettingError(Exception):
    """A setting is wrong; whoever wrote it has to change it. Programs end with exit status 2.

    Attributes:
        what: The setting as it was written: ``--mode``, ``TRISKELE_MODE`` or ``mode in FILE``.
        value: The value that is wrong, as written.
        why: What is allowed.
    """

    exit_status = 2

    def __init__(self, what: str, value: object, why: str) -> None:
        told = shown(value)
        super().__init__(f"{what} {told}: {why}" if told else f"{what}: {why}")
        self.what = what
        self.value = value
        self.why = why


def shown(value: object) -> str:
    """Returns a value as text for a message; Python refuses to write numbers of thousands of digits, which files may hold in hexadecimal."""
    try:
        return str(value)
    except ValueError:
        return "(thousands of digits)"


@attrs.frozen(kw_only=True)
class Setting:
    """What is known about one setting.

    Invariants: ``name`` is unique and ends in its unit; ``default`` passes ``check``.
    """

    name: str
    default: Value
    help: str
    group: str
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    address: bool = False

    @property
    def flag(self) -> str:
        """The command line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return VARIABLE_PREFIX + self.name.upper()

    def parse(self, text: str, what: str) -> Value:
        """Reads a value written as text (flag or environment).

        Args:
            text: The value as written.
            what: Where it was written, for the error.

        Raises:
            SettingError: The text is no value of this setting.
        """
        try:
            if isinstance(self.default, bool):
                return self.check(_BOOLEANS[text.lower()], what)
            if isinstance(self.default, int):
                return self.check(int(text), what)
            if isinstance(self.default, float):
                return self.check(float(text), what)
        except (KeyError, ValueError):
            raise SettingError(what, text, self.allowed()) from None
        return self.check(text, what)

    def check(self, value: object, what: str) -> Value:
        """Returns the value in the setting's type, or says why it is wrong.

        Raises:
            SettingError: The value has another type, or is not among what is allowed.
        """
        kind = type(self.default)
        if kind is float and type(value) is int and value.bit_length() <= _FLOAT_BITS_MAX:
            value = float(value)
        if type(value) is not kind:
            raise SettingError(what, value, self.allowed())
        if self.choices and value not in self.choices:
            raise SettingError(what, value, self.allowed())
        if isinstance(value, (int, float)) and not self.minimum <= value <= self.maximum:
            raise SettingError(what, value, self.allowed())
        if self.address and value:
            try:
                check_listening(str(value))
            except AddressError as error:
                raise SettingError(what, value, str(error)) from None
        return value

    def allowed(self) -> str:
        """Says in words what values are allowed."""
        if self.choices:
            return "must be one of " + ", ".join(self.choices)
        if isinstance(self.default, bool):
            return "must be true or false"
        if self.address:
            return "must be HOST:PORT"
        if isinstance(self.default, str):
            return "must be text"
        noun = "a whole number" if isinstance(self.default, int) else "a number"
        return f"must be {noun} from {_plain(self.minimum)} to {_plain(self.maximum)}"


_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _setting(default: Value, group: str, help: str, **limits: Any) -> Any:  # noqa: A002 - the field's type is its annotation
    return attrs.field(default=default, metadata={"default": default, "group": group, "help": help, **limits})


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of one process, resolved and checked.

    Invariants: every value passes its ``Setting.check``, however the object was made.

    Raises:
        SettingError: A value is not allowed.
    """

    mode: Mode = _setting("ho", "protocol", "how commands are agreed on; the same in the whole cluster", choices=get_args(Mode))
    durability: Durability = _setting(
        "disk", "protocol", "what an acknowledged command survives: disk = all replicas losing power, memory = any minority of them failing",
        choices=get_args(Durability),
    )  # fmt: skip
    batching: Batching = _setting(
        "turn", "protocol",
        "when queued frames leave: turn = at the end of each turn, fixed = after batch_delay_us, adaptive = within 200 us, as each link measures",
        choices=get_args(Batching),
    )  # fmt: skip
    batch_delay_us: int = _setting(150, "protocol", "how long 'fixed' batching holds a frame, microseconds", minimum=0, maximum=100_000)

    listen: str = _setting("", "addresses", "native protocol, HOST:PORT; empty = the cluster file's", address=True)
    websocket: str = _setting("", "addresses", "WebSocket protocol, HOST:PORT; empty = the cluster file's", address=True)
    admin: str = _setting("", "addresses", "admin HTTP (health, status, metrics), HOST:PORT; empty = the cluster file's", address=True)
    insecure: bool = _setting(default=False, group="addresses", help="allow addresses that other machines reach, without encryption or identity")

    heartbeat_seconds: float = _setting(
        0.2, "times", "the leader's idle frames to its followers; unless set, a fifth of election_seconds at most", minimum=0.001, maximum=60.0
    )
    election_seconds: float = _setting(
        1.0,
        "times",
        "a follower that hears no leader for this long, and up to twice this long by chance, asks for votes",
        minimum=0.01,
        maximum=600.0,
    )
    read_wait_seconds: float = _setting(
        0.1, "times", "a causal read waits this long for its floor, then says that this replica lags", minimum=0.0, maximum=60.0
    )
    forward_seconds: float = _setting(
        0.3, "times", "a follower passes a held command on when the leader's log lacks it for", minimum=0.001, maximum=60.0
    )
    handshake_seconds: float = _setting(5.0, "times", "a connection that has not said who it is by then is closed", minimum=0.01, maximum=300.0)

    frame_bytes_max: int = _setting(  # at least what the core puts into one: an entry with a whole frame of a client in it, answers to many reads
        16 * _MEBIBYTE, "limits", "a larger frame closes its link", minimum=16 * _MEBIBYTE, maximum=256 * _MEBIBYTE
    )
    connections_max: int = _setting(2_000, "limits", "connections of each listener; one more is closed at once", minimum=1, maximum=1_000_000)
    out_queue_bytes_max: int = _setting(
        32 * _MEBIBYTE, "limits", "bytes waiting on one link; a frame that does not fit is dropped whole, and caught up with later",
        minimum=16 * _MEBIBYTE, maximum=1 << 40,
    )  # fmt: skip
    sessions_max: int = _setting(100_000, "limits", "open sessions; one more is refused", minimum=1, maximum=100_000_000)
    commands_in_flight_max: int = _setting(  # at most as many as have their outcomes kept for a client that has not heard them
        4_096, "limits", "uncommitted commands of one session; one more is answered BUSY or REFUSED", minimum=1, maximum=RESULTS_MAX
    )
    witness_commands_max: int = _setting(
        200_000, "limits", "uncommitted commands a witness holds in all, or one longer run of one session; beyond it REFUSED or BUSY",
        minimum=1, maximum=1 << 40,
    )  # fmt: skip
    witness_bytes_max: int = _setting(
        256 * _MEBIBYTE, "limits", "bytes of the values a witness holds; beyond it REFUSED or BUSY", minimum=2 * _MEBIBYTE, maximum=1 << 40
    )
    log_bytes_max: int = _setting(
        256 * _MEBIBYTE, "limits", "entries kept in memory; above half of it applied ones are forgotten, above it new commands are answered BUSY",
        minimum=2 * _MEBIBYTE, maximum=1 << 40,
    )  # fmt: skip

    log_on_disk_bytes_max: int = _setting(
        64 * _MEBIBYTE, "limits", "bytes of the log on disk; when it has grown so much, a snapshot replaces it", minimum=_MEBIBYTE, maximum=1 << 40
    )

    log_level: LogLevel = _setting("info", "logging", "the least important line that is logged", choices=get_args(LogLevel))

    origins: Mapping[str, str] = attrs.field(factory=dict, eq=False)  # {name: where its value was written}; absent = default

    def __attrs_post_init__(self) -> None:
        """Checks every value, and those that must fit each other."""
        for setting in SETTINGS.values():
            setting.check(getattr(self, setting.name), self.written(setting.name))
        if self.out_queue_bytes_max < self.frame_bytes_max + HEADER_BYTES:
            why = f"must be more than frame_bytes_max ({self.frame_bytes_max}), or that frame never fits"
            raise SettingError(self.written("out_queue_bytes_max"), self.out_queue_bytes_max, why)
        idle = self.batching != "fixed" and self.batch_delay_us != SETTINGS["batch_delay_us"].default
        if idle and self._rank("batch_delay_us") >= self._rank("batching"):
            raise SettingError(self.written("batch_delay_us"), self.batch_delay_us, f"is for batching fixed alone, and batching is {self.batching}")
        if self.election_seconds < HEARTBEATS_PER_ELECTION * self.heartbeat:
            why = f"must be at least {HEARTBEATS_PER_ELECTION} times heartbeat_seconds ({self.heartbeat}), or leaders are given up for nothing"
            raise SettingError(self.written("election_seconds"), self.election_seconds, why)

    @property
    def heartbeat(self) -> float:
        """Seconds between a leader's idle frames: as set, or what goes with ``election_seconds``."""
        unset = self.origin("heartbeat_seconds") == DEFAULT_ORIGIN and self.heartbeat_seconds == SETTINGS["heartbeat_seconds"].default
        return min(self.heartbeat_seconds, self.election_seconds / 5) if unset else self.heartbeat_seconds

    def _rank(self, name: str) -> int:
        """Returns how strong the place is where a value was written: what is overruled there contradicts nobody."""
        origin = self.origin(name)
        return 0 if origin == DEFAULT_ORIGIN else 3 if origin == SETTINGS[name].flag else 2 if origin == SETTINGS[name].variable else 1

    def origin(self, name: str) -> str:
        """Returns where the value was written: ``default``, ``--flag``, ``TRISKELE_…`` or ``FILE``."""
        return self.origins.get(name, DEFAULT_ORIGIN)

    def written(self, name: str) -> str:
        """Returns the setting as the user wrote it, for messages: ``--mode``, ``TRISKELE_MODE``, ``mode in FILE``."""
        origin = self.origins.get(name)
        if origin is None:
            return SETTINGS[name].flag
        return origin if origin in (SETTINGS[name].flag, SETTINGS[name].variable) else f"{name} in {origin}"

    def changed(self, origin: str, **values: Value) -> Settings:
        """Returns these settings with other values, whose origin is told.

        Raises:
            SettingError: A value is not allowed.
        """
        return attrs.evolve(self, origins={**self.origins, **dict.fromkeys(values, origin)}, **values)  # type: ignore[arg-type]

    def as_flags(self) -> list[str]:
        """Returns the flags that give a child process these settings: every value that is not a default, addresses left out."""
        flags: list[str] = []
        for setting in SETTINGS.values():
            if setting.name not in self.origins or setting.address or (setting.name == "batch_delay_us" and self.batching != "fixed"):
                continue
            value = getattr(self, setting.name)
            if isinstance(value, bool):
                flags.append(setting.flag if value else "--no-" + setting.flag[2:])
            else:
                flags += [setting.flag, str(value)]
        return flags


SETTINGS: dict[str, Setting] = {
    field.name: Setting(name=field.name, **field.metadata) for field in attrs.fields(Settings) if "default" in field.metadata
}  # {name: Setting}, in the order of their declaration


def add_settings_flags(parser: ArgumentParser, *, without: frozenset[str] = frozenset()) -> None:
    """Gives a parser ``--config`` and the flag of every setting but those in ``without``; values stay text for ``settings_from``.

    The parser's default ``settings_flags`` names them, for whoever looks for values of the other flags.
    """
    parser.set_defaults(settings_flags=frozenset(SETTINGS) - without)
    parser.add_argument("--config", metavar="FILE", default=None, help="TOML file of settings; flags and TRISKELE_… variables win over it")
    groups: dict[str, Any] = {}
    for setting in SETTINGS.values():
        if setting.name in without:
            continue
        group = groups.get(setting.group) or groups.setdefault(setting.group, parser.add_argument_group(f"settings: {setting.group}"))
        if isinstance(setting.default, bool):
            from argparse import BooleanOptionalAction

            group.add_argument(setting.flag, action=BooleanOptionalAction, default=None, help=setting.help)
        else:
            metavar = "|".join(setting.choices) or setting.name.rsplit("_", 1)[-1].upper()
            if setting.address:
                metavar = "ADDRESS"
            elif setting.name.endswith("_max"):
                metavar = "N"
            default = f" (default {setting.default})" if setting.default != "" else ""
            group.add_argument(setting.flag, metavar=metavar, default=None, help=setting.help.replace("%", "%%") + default)


def settings_from(arguments: Namespace, environment: Mapping[str, str]) -> Settings:
    """Resolves the settings of a command whose parser has ``add_settings_flags``.

    Raises:
        SettingError: As ``resolve``.
    """
    given = vars(arguments)
    flags = {name: given[name] for name in SETTINGS if given.get(name) is not None}
    return resolve(flags, environment, Path(given["config"]) if given.get("config") else None, given.get("other_keys", ()))


def resolve(flags: Mapping[str, str | bool], environment: Mapping[str, str], file: Path | None = None, other_keys: Collection[str] = ()) -> Settings:
    """Puts settings together: flags win over the environment, that over the TOML file, that over the defaults.

    Args:
        flags: ``{setting name: text, or bool for a switch}``.
        environment: ``os.environ`` or a stand-in. Variables that name no setting are left alone: orchestrators make up their own.
        file: TOML file of settings, or None.
        other_keys: Keys of the file that are no settings of a replica: it serves other commands as well.

    Raises:
        SettingError: A value is not allowed, a key of the file names no setting, or the file cannot be read.
    """
    values: dict[str, Value] = {}
    origins: dict[str, str] = {}
    if file is not None:
        for name, value in read_toml(file, "--config").items():
            if name in other_keys:
                continue
            if name not in SETTINGS:
                raise SettingError(f"{name} in {file}", value, "names no setting" + _nearest(name))
            values[name] = SETTINGS[name].check(value, f"{name} in {file}")
            origins[name] = str(file)
    for name, setting in SETTINGS.items():
        if name in flags:
            given, origin = flags[name], setting.flag
        elif environment.get(setting.variable):  # an empty one says nothing
            given, origin = environment[setting.variable], setting.variable
        else:
            continue
        values[name] = setting.parse(given, origin) if isinstance(given, str) else setting.check(given, origin)
        origins[name] = origin
    return Settings(origins=origins, **values)  # type: ignore[arg-type]


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    nearest = get_close_matches(name, SETTINGS, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def read_toml(file: Path, what: str) -> dict[str, Any]:
    """Reads a file of settings; ``what`` named it.

    Raises:
        SettingError: It cannot be read, or is no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(what, file, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is neither of tomllib's own errors
        raise SettingError(what, file, f"is no TOML: {error}") from None
