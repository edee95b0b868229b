"""Finds the command, reads its arguments, runs it, and turns what goes wrong into one line and an exit status.

Exit status: 0 done, 1 a check or command failed, 2 wrong usage, 130 after Ctrl-C.  A line is ``triskele: <what> <value>: <why>``.  An exception
that carries an ``exit_status`` is for the user, and its message is the line; any other is a bug of ours and shows its traceback.  Where values of
flags come from is ``triskele.cli.values``, what is wrong with standard output ``triskele.cli.output``.

Only the command that runs is imported, and nothing heavy for ``--help``: a cluster starts many processes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol, cast

from triskele.cli.output import checked_output
from triskele.cli.values import SETTINGS_FLAGS, flags_of, nearest, read_arguments, unknown_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Command(NamedTuple):
    """One command: the words that call it, its module, what it does."""

    words: str
    module: str
    summary: str


COMMANDS = (
    Command("up", "triskele.cli.up", "run a cluster on this machine, in the foreground"),
    Command("replica", "triskele.cli.replica", "run one replica of a cluster"),
    Command("get", "triskele.cli.get", "print the value of a key"),
    Command("put", "triskele.cli.put", "set the value of a key"),
    Command("delete", "triskele.cli.delete", "remove a key"),
    Command("cas", "triskele.cli.cas", "set the value of a key if it is still the expected one"),
    Command("scan", "triskele.cli.scan", "print a range of keys, in order"),
    Command("status", "triskele.cli.status", "show what each replica of a cluster says of itself"),
    Command("transfer-leader", "triskele.cli.transfer_leader", "let another replica lead"),
    Command("members list", "triskele.cli.members_list", "show who belongs to a cluster"),
    Command("members add", "triskele.cli.members_add", "add a new replica to a running cluster"),
    Command("members remove", "triskele.cli.members_remove", "remove a replica from a running cluster"),
    Command("members replace", "triskele.cli.members_replace", "let a new replica take the place of a lost one"),
    Command("verify", "triskele.cli.verify", "compare the states of all replicas of a cluster"),
    Command("verify-log", "triskele.cli.verify_log", "check the data folder of a stopped replica"),
    Command("snapshot save", "triskele.cli.snapshot_save", "save the state of a running cluster into a file"),
    Command("snapshot verify", "triskele.cli.snapshot_verify", "check a snapshot file and say what it holds"),
    Command("snapshot restore", "triskele.cli.snapshot_restore", "make the folder of a new cluster from a snapshot file"),
    Command("load", "triskele.cli.load", "put load on a cluster and measure it"),
    Command("sweep", "triskele.cli.sweep", "run a grid of loads, repeats interleaved, and report them together"),
    Command("compare", "triskele.cli.compare", "put two results side by side and tell what differs by more than chance"),
    Command("profile", "triskele.cli.profile", "sample the processes of a cluster and tell what they spend their time on"),
    Command("check", "triskele.cli.check", "check a recorded history for the promises of the store"),
    Command("chaos", "triskele.cli.chaos", "break a cluster of its own by a schedule from a seed, under load that is checked"),
    Command("config show", "triskele.cli.config_show", "print every setting, its value and where that was written"),
)

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

INTRODUCTION = """\
Triskele: a replicated key-value store. Strong commands are linearizable and take one round trip to the replicas; causal commands are
answered by the nearest one.

A first look, in two terminals:
  triskele up                      three replicas on 127.0.0.1:7400, 7401 and 7402
  triskele put greeting hello      and then: triskele get greeting
"""


ENDING = """\
triskele COMMAND --help tells more, with examples. What a flag says may stand in the environment (--ready-file: TRISKELE_READY_FILE) and in a
TOML file that --config names (ready_file) as well.
"""


class CommandFailed(Exception):
    """The command could not do its work; the message is the line for the user."""

    exit_status = EXIT_FAILED


class CommandModule(Protocol):
    """What a command's module has."""

    EXAMPLES: tuple[str, str]
    """Two command lines, each with ``  # what it does``."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare flags and arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and return its exit status."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``triskele`` command.

    Args:
        argv: Arguments, ``sys.argv[1:]`` if None.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with checked_output():
            try:
                return _dispatch(words)
            except SystemExit as exit_:  # argparse, after --help or an error of usage
                return exit_.code if isinstance(exit_.code, int) else EXIT_FAILED
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        if isinstance(error, KeyboardInterrupt) or (isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt)):
            return EXIT_INTERRUPTED
        only = only_error(error)
        if isinstance(only, BrokenPipeError):  # the reader of our messages has gone: nobody to tell
            return EXIT_FAILED
        status = getattr(only, "exit_status", None)
        if status is None:
            raise
        if str(only):
            complain(str(only))
        return cast("int", status)


def only_error(error: BaseException) -> BaseException:
    """Return the one exception inside groups of one; Trio's nurseries wrap what their tasks raise.

    Several for the user that say the same are one as well: a full disk fails the turn and the task that syncs.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    first, *others = map(only_error, error.exceptions)
    same = all(hasattr(other, "exit_status") and (type(other), str(other)) == (type(first), str(first)) for other in others)
    return first if same else error


def complain(line: str) -> None:
    """Write one line to the user; if that fails there is nobody to tell."""
    with suppress(OSError):
        sys.stderr.write(f"triskele: {' '.join(line.split())}\n")
        sys.stderr.flush()


def _dispatch(words: list[str]) -> int:
    if not words:
        sys.stderr.write(overview())
        return EXIT_USAGE
    if words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(overview())
        return EXIT_DONE
    if words[0] == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"triskele {version('triskele')}\n")
        return EXIT_DONE
    command = find_command(words)
    if command is None and words[1:] in (["-h"], ["--help"]) and (group := overview_of(words[0])):
        sys.stdout.write(group)
        return EXIT_DONE
    if command is None:
        complain(f"{words[0]}: no such command{nearest(words[0], [command.words for command in COMMANDS])}; see triskele --help")
        return EXIT_USAGE
    module = cast("CommandModule", import_module(command.module))
    parser = make_parser(command, module.EXAMPLES)
    module.add_arguments(parser)
    arguments = read_arguments(parser, words[len(command.words.split()) :], os.environ, all_keys)
    if told := unknown_variables(os.environ, _keys_of(parser), all_keys):
        complain(told)
    try:
        return module.run(arguments)
    except Exception as error:
        written = {flag: arguments.written.get(action.dest) for action in flags_of(parser).values() for flag in action.option_strings}
        placed = where_written(error, written)
        if placed is error:
            raise
        raise placed from None


def where_written(error: Exception, written: Mapping[str, str | None]) -> Exception:
    """Return an error of usage with the place where the value was written; any other error as it is.

    Args:
        error: What a command raised; it calls a setting by its flag, not knowing better.
        written: ``{flag: where}``, None of values that are from the command line or are defaults.
    """
    from replica.config import SettingError

    only = only_error(error)
    place = written.get(only.what) if isinstance(only, SettingError) else None
    return SettingError(place, only.value, only.why) if isinstance(only, SettingError) and place else error


def _keys_of(parser: argparse.ArgumentParser) -> set[str]:
    return {*flags_of(parser), *(parser.get_default(SETTINGS_FLAGS) or ())}


def all_keys() -> set[str]:
    """Return the keys of all commands' flags and settings; without those of a command whose packages are not installed."""
    found: set[str] = set()
    for command in COMMANDS:
        with suppress(CommandFailed):
            module = cast("CommandModule", import_module(command.module))
            parser = make_parser(command, module.EXAMPLES)
            module.add_arguments(parser)
            found |= _keys_of(parser)
    return found


def find_command(words: Sequence[str]) -> Command | None:
    """Return the command that the first words name."""
    for command in COMMANDS:
        named = command.words.split()
        if list(words[: len(named)]) == named:
            return command
    return None


def overview_of(word: str) -> str:
    """Return the commands that begin with a word, for ``triskele WORD --help``; empty if none does."""
    group = [command for command in COMMANDS if command.words.split()[0] == word]
    return f"Commands:\n{_rows(group)}\nEach has --help.\n" if group else ""


def overview() -> str:
    """Return what ``triskele --help`` prints."""
    return f"{INTRODUCTION}\nCommands:\n{_rows(COMMANDS)}\n{ENDING}"


def _rows(commands: Sequence[Command]) -> str:
    width = 1 + max(len(command.words) for command in commands)
    return "".join(f"  {command.words:<{width}} {command.summary}\n" for command in commands)


class _Parser(argparse.ArgumentParser):
    """Tells errors of usage in the one form that all errors have."""

    def error(self, message: str) -> NoReturn:
        complain(self._reworded(message))
        self.exit(EXIT_USAGE)

    def _reworded(self, message: str) -> str:
        """Turn argparse's words into ``<what> <value>: <why>``."""
        if found := re.match(r"unrecognized arguments: (\S+)", message):
            word = found[1].partition("=")[0]
            if not word.startswith("-"):
                return f"{word}: one argument too many; see {self.prog} --help"
            flags = [flag for action in self._actions for flag in action.option_strings]
            return f"{word}: no such flag{nearest(word, flags)}; see {self.prog} --help"
        if found := re.match(r"the following arguments are required: (.*)", message):
            return f"{found[1]}: missing; see {self.prog} --help"
        if found := re.match(r"argument (.*?): invalid choice: '(.*?)' \(choose from (.*)\)", message):
            return f"{found[1]} {found[2]}: must be one of {found[3].replace(chr(39), '')}"
        if found := re.match(r"argument (.*?): ((?:expected|not allowed|ignored) .*)", message):
            return f"{found[1]}: {found[2]}"
        return re.sub(r"^argument (.*?): ", r"\1 ", message)


def make_parser(command: Command, examples: tuple[str, str]) -> argparse.ArgumentParser:
    """Make the parser of a command: its summary, two examples, no abbreviations."""
    return _Parser(
        prog=f"triskele {command.words}",
        description=command.summary[:1].upper() + command.summary[1:] + ".",
        epilog="examples:\n" + "".join(f"  {example}\n" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def argument_type(read: Callable[[str], object], allowed: str) -> Callable[[str], object]:
    """Return a ``type`` for argparse whose error names the value and what is allowed.

    Args:
        read: Makes the value from text, raising ValueError if it is none.
        allowed: In words: ``must be …``.
    """

    def typed(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: {allowed}") from error

    return typed
