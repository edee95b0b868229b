from __future__ import annotations

import shlex
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, cast

import pytest

from replica.config import SettingError
from triskele.child import child_environment
from triskele.cli import framework, main
from triskele.cli.framework import COMMANDS, Command, CommandFailed, CommandModule, find_command, make_parser, only_error, overview, where_written

if TYPE_CHECKING:
    from pathlib import Path


def module_of(command: Command) -> CommandModule:
    return cast("CommandModule", import_module(command.module))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_command_explains_itself_with_two_examples(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.words.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert command.summary.lower() in text.lower()
    assert text.partition("examples:\n")[2].count(f"  triskele {command.words} ") == 2


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_example_is_understood(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8")
    monkeypatch.chdir(tmp_path)
    module = module_of(command)
    for example in module.EXAMPLES:
        words = shlex.split(example, comments=True)[1:]
        assert find_command(words) == command
        parser = make_parser(command, module.EXAMPLES)
        module.add_arguments(parser)
        parser.parse_args(words[len(command.words.split()) :])


def test_the_overview_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text == overview()
    assert all(f"  {command.words} " in text and command.summary in text for command in COMMANDS)


def test_no_command_is_wrong_usage_and_shows_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == overview()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gte k", "gte: no such command; did you mean get?; see triskele --help"),
        ("config", "config: no such command; did you mean config show?; see triskele --help"),
        ("get", "KEY: missing; see triskele get --help"),
        ("put k", "VALUE: missing; see triskele put --help"),
        ("get k v", "v: one argument too many; see triskele get --help"),
        ("get k --consistncy causal", "--consistncy: no such flag; did you mean --consistency?; see triskele get --help"),
        ("get k --consist causal", "--consist: no such flag; did you mean --consistency?; see triskele get --help"),
        ("up --colour=red", "--colour: no such flag; see triskele up --help"),
        ("get k --consistency weekly", "--consistency weekly: must be one of strong, causal"),
        ("get k --timeout soon", "--timeout soon: must be a number of seconds above 0"),
        ("get k --timeout", "--timeout: expected one argument"),
        ("get k --timeout -1", "--timeout -1: must be a number of seconds above 0"),
        ("get k --timeout 0", "--timeout 0: must be a number of seconds above 0"),
        ("get hex:0", "KEY hex:0: must be text, hex:HEXADECIMAL or @FILE of a file that can be read"),
        ("get @/none/such", "KEY @/none/such: must be text, hex:HEXADECIMAL or @FILE of a file that can be read"),
        ("get k --cluster none.json", "--cluster none.json: no such file (and no address list: ADDRESS,ADDRESS,…)"),
        ("cas k v", "one of the arguments --expected --version --absent is required"),
        ("cas k v --absent --version 1", "--version: not allowed with argument --absent"),
        ("scan a --limit 0", "--limit 0: must be a whole number from 1 to 1000000"),
        ("up --replicas 4", "--replicas 4: must be one of 1, 3, 5, 7, 9"),
        ("up --replicas x", "--replicas x: must be a whole number from 1 to 9"),
        ("up --port 70000", "--port 70000: must be a whole number from 0 to 65535"),
        ("up --port 1 --listen 127.0.0.1:1", "--port 1: --listen 127.0.0.1:1 says otherwise: give one of them"),
        (
            "up --listen 0.0.0.0:1",
            "--listen 0.0.0.0:1: other machines can reach it and nothing is encrypted yet; bind a loopback address, or say --insecure",
        ),
        ("up --batching always", "--batching always: must be one of turn, fixed, adaptive"),
        ("up --durability paper", "--durability paper: must be one of memory, disk"),
        ("up --config none.toml", "--config none.toml: No such file or directory"),
        ("replica --cluster none.toml --id 0", "--cluster none.toml: No such file or directory"),
        ("replica --cluster none.toml", "--id: missing; see triskele replica --help"),
        ("config show --mode raft", "--mode raft: must be one of paxos, curp, ht, ho"),
    ],
)
def test_wrong_usage_is_one_line_that_names_it_and_status_2(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(line)) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"triskele: {message}\n")


@pytest.mark.parametrize(
    ("line", "name", "value", "why"),
    [
        ("get k", "cluster", "none.json", "no such file (and no address list: ADDRESS,ADDRESS,…)"),
        ("status", "cluster", "none.json", "no such file (and no address list: ADDRESS,ADDRESS,…)"),
        ("up --port 0", "replicas", "4", "must be one of 1, 3, 5, 7, 9"),
        ("up --listen 127.0.0.1:1", "port", "1", "--listen 127.0.0.1:1 says otherwise: give one of them"),
        ("up --port 0", "data_dir", "/dev/null", "File exists"),
        ("snapshot save s --cluster 127.0.0.1:1", "from", "x", "must be a whole number from 0 to 65535"),
    ],
)
def test_what_a_command_finds_wrong_is_told_with_the_place_where_it_was_written(
    line: str, name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "t.toml"
    file.write_text(f'{name} = "{value}"\n')
    assert main([*shlex.split(line), "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"triskele: {name} in {file} {value}: {why}\n"
    monkeypatch.setenv(f"TRISKELE_{name.upper()}", value)
    assert main(shlex.split(line)) == 2
    assert capsys.readouterr().err == f"triskele: TRISKELE_{name.upper()} {value}: {why}\n"


def test_an_error_of_several_and_one_of_the_command_line_stay_as_they_are() -> None:
    group = ExceptionGroup("two", [SettingError("--a", 1, "x"), SettingError("--b", 2, "y")])
    given = SettingError("--b", 2, "y")
    assert [where_written(error, {"--a": "TRISKELE_A", "--b": None}) for error in (group, given)] == [group, given]


def test_help_is_quick_nothing_heavy_is_loaded() -> None:
    heavy = "{'trio', 'attrs', 'attr', 'cbor2', 'h11', 'numpy', 'logging', 'replica.config'}"
    program = f"import sys; from triskele.cli import main; main(['--help']); print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=child_environment(), check=True)
    assert done.stderr == "[]\n"


def test_errors_for_the_user_become_a_line_also_out_of_groups(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_words: list[str]) -> int:
        raise ExceptionGroup("nursery", [ExceptionGroup("nursery", [CommandFailed("put k:\n no")])])

    monkeypatch.setattr(framework, "_dispatch", fail)
    assert main(["put"]) == 1
    assert capsys.readouterr().err == "triskele: put k: no\n"


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_words: list[str]) -> int:
        raise KeyError("planted")

    monkeypatch.setattr(framework, "_dispatch", fail)
    with pytest.raises(KeyError, match="planted"):
        main(["put"])


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(framework, "_dispatch", interrupt)
    assert main(["put"]) == 130
    assert capsys.readouterr().err == ""


def test_an_interrupt_inside_nurseries_ends_as_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_words: list[str]) -> int:
        raise BaseExceptionGroup("nursery", [BaseExceptionGroup("nursery", [KeyboardInterrupt()])])

    monkeypatch.setattr(framework, "_dispatch", interrupt)
    assert main(["put"]) == 130
    assert capsys.readouterr().err == ""


def test_several_errors_for_the_user_that_say_the_same_are_one() -> None:
    """What a full disk does to a replica: the turn fails, and so does the task that syncs."""
    first = SettingError("--a", 1, "x")
    assert only_error(ExceptionGroup("two", [first, ExceptionGroup("one", [SettingError("--a", 1, "x")])])) is first
    bugs = ExceptionGroup("two", [KeyError("x"), KeyError("x")])
    assert only_error(bugs) is bugs


def test_a_group_of_several_errors_stays_a_group() -> None:
    group = ExceptionGroup("two", [SettingError("--a", 1, "x"), SettingError("--b", 2, "y")])
    assert only_error(group) is group


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{shlex.quote(sys.executable)} -m triskele config show | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=child_environment(), check=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", ["triskele", "replica", "loadgen"])
def test_packages_run_as_programs(package: str) -> None:
    done = subprocess.run([sys.executable, "-m", package, "--help"], capture_output=True, text=True, env=child_environment(), check=True)
    assert {"triskele": "Commands:", "replica": "triskele replica", "loadgen": "triskele load"}[package] in done.stdout


def test_a_word_that_begins_several_commands_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["members", "--help"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[:2] for line in told.splitlines()[1:5]] == [["members", word] for word in ("list", "add", "remove", "replace")]
