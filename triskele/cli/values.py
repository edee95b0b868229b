"""Where the value of a flag comes from: the command line, else the environment, else the TOML file that ``--config`` names, else its default.

``--ready-file F`` is ``TRISKELE_READY_FILE=F`` and ``ready_file = "F"``. The settings of replicas and of the load do this themselves, because they
remember where each value was written (``replica.config``, ``loadgen.settings``); the other flags of every command do it here. What picks one of
several actions, and a folder to write to, are for the command line alone.

One file serves all commands: each takes its own keys. A key that no command has is an error, as is a flag that no command has. A *variable* that
no command has is told in one line and left alone: orchestrators make up their own (``TRISKELE_SERVICE_HOST``).
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

PREFIX = "TRISKELE_"
"""As in ``replica.config``, which is too heavy for ``--help``."""
CONFIG = PREFIX + "CONFIG"
CONFIG_HELP = "TOML file of settings; flags and TRISKELE_… variables win over it"
SETTINGS_FLAGS = "settings_flags"
"""Default of a parser: the names of the flags whose values are found elsewhere."""


class Written(NamedTuple):
    """A value that is not from the command line: where it was written, and what."""

    what: str
    value: object


def flags_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the flags of a command whose values may come from elsewhere than the command line: ``{key in a TOML file: action}``."""
    choosing = {id(action) for group in parser._mutually_exclusive_groups for action in group._group_actions}  # noqa: SLF001 - argparse tells it nowhere else
    found: dict[str, argparse.Action] = {}
    for action in parser._actions:  # noqa: SLF001 - as above
        key = _key(action)
        if not key or key in {"help", "config"} or id(action) in choosing or isinstance(action, argparse._AppendAction):  # noqa: SLF001 - as above
            continue
        if action.nargs not in (None, 0, "?") or (key == "output" and not action.choices):
            continue
        found[key] = action
    return found


def _key(action: argparse.Action) -> str:
    return next((flag[2:].replace("-", "_") for flag in action.option_strings if flag.startswith("--")), "")


def read_arguments(
    parser: argparse.ArgumentParser, words: Sequence[str], environment: Mapping[str, str], everywhere: Callable[[], Collection[str]]
) -> argparse.Namespace:
    """Read a command's arguments.

    Args:
        parser: Of the command.
        words: Of the command line.
        environment: ``os.environ`` or a stand-in.
        everywhere: Gives the keys of all commands; only asked when a key of the file is not this command's.

    Returns:
        With ``config`` (the file, or None), ``other_keys`` (keys of the file that are not for ``settings_flags``) and ``written`` (``{name: where}``
        of the values that are not from the command line).

    Raises:
        SettingError: A value is wrong, the file cannot be read, or a key of it is nobody's.
    """
    if not any("--config" in action.option_strings for action in parser._actions):  # noqa: SLF001 - as above
        parser.add_argument("--config", metavar="FILE", default=None, help=CONFIG_HELP)
    flags = flags_of(parser)
    elsewhere = parser.get_default(SETTINGS_FLAGS) or frozenset()
    file, table = _file(words, environment)
    _check_keys(table, file, {*flags, *elsewhere}, everywhere)
    for key, action in flags.items():
        variable = PREFIX + key.upper()
        if key in elsewhere:
            continue
        if environment.get(variable):
            action.default, action.required = Written(variable, environment[variable]), False
        elif key in table:
            action.default, action.required = Written(f"{key} in {file}", table[key]), False
    arguments = parser.parse_args(words)
    written: dict[str, str] = {}
    for action in flags.values():
        value = getattr(arguments, action.dest)
        if isinstance(value, Written):
            setattr(arguments, action.dest, _converted(action, value))
            written[action.dest] = value.what
    arguments.config, arguments.other_keys, arguments.written = file, frozenset(table) - elsewhere, written
    return arguments


def _file(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str | None, dict[str, Any]]:
    """Return the TOML file's name and what is in it; whoever only asks for help is not troubled with it.

    Raises:
        SettingError: It cannot be read, or no system takes a text in it.
    """
    before = list(words[: words.index("--")] if "--" in words else words)
    if {"-h", "--help"} & set(before):
        return None, {}
    given = [word.partition("=")[2] for word in before if word.startswith("--config=")]
    given += [value for word, value in pairwise(before) if word == "--config"]
    file = given[-1] if given else environment.get(CONFIG)
    if not file:
        return None, {}
    from replica.cluster_file import is_plain
    from replica.config import SettingError, read_toml

    table = read_toml(Path(file), "--config" if given else CONFIG)
    for key, value in table.items():
        if isinstance(value, str) and not is_plain(value):
            raise SettingError(f"{key} in {file}", "", "must be text without zero bytes")
    return file, table


def _check_keys(table: Mapping[str, Any], file: str | None, own: Collection[str], everywhere: Callable[[], Collection[str]]) -> None:
    """Refuse a key that is nobody's.

    Raises:
        SettingError: One is.
    """
    for key in sorted(set(table) - set(own)):
        if key not in (known := everywhere()):
            from replica.config import SettingError

            shown = "" if isinstance(table[key], dict | list) else table[key]
            raise SettingError(f"{key} in {file}", shown, "names no setting" + nearest(key, known))


def _converted(action: argparse.Action, written: Written) -> object:
    """Return a value as the command line would have made it of the text.

    Raises:
        SettingError: It is none of the flag.
    """
    from replica.config import Setting, SettingError

    what, value = written
    if action.nargs == 0:
        switch = Setting(name=action.dest, default=False, help="", group="")
        return switch.parse(value, what) if isinstance(value, str) else switch.check(value, what)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise SettingError(what, value if isinstance(value, bool) else "", "must be text or a number")
    text = str(value)
    if action.choices is not None and text not in action.choices:
        raise SettingError(what, text, f"must be one of {', '.join(map(str, action.choices))}")
    if not callable(action.type):
        return text
    try:
        return action.type(text)
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise SettingError(what, text, str(error).removeprefix(f"{text}: ")) from None


def unknown_variables(environment: Mapping[str, str], own: Collection[str], everywhere: Callable[[], Collection[str]]) -> str:
    """Return a line about variables that look like settings and are none; empty if there are none.

    Args:
        environment: ``os.environ`` or a stand-in.
        own: Keys of the command that runs.
        everywhere: Gives the keys of all commands; only asked when a variable is not this command's.
    """
    names = sorted(name for name in environment if name.startswith(PREFIX) and name != CONFIG and name.removeprefix(PREFIX).lower() not in own)
    if not names:
        return ""
    known = {PREFIX + key.upper() for key in everywhere()}
    nobody = [name for name in names if name not in known]
    if len(nobody) == 1:
        return f"{nobody[0]} in the environment names no setting{nearest(nobody[0], known)}"
    return f"{', '.join(nobody)} in the environment name no settings" if nobody else ""


def nearest(word: str, known: Collection[str]) -> str:
    """Return the question whether the likeliest of known words was meant; nothing if none is like it."""
    from difflib import get_close_matches

    found = get_close_matches(word, known, n=1, cutoff=0.65)
    return f"; did you mean {found[0]}?" if found else ""
