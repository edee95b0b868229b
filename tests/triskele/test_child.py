from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from replica.listening import bound_address, open_socket
from triskele.child import Child, child_environment, start_child

TELLER = (sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.stdin.read()")


async def test_a_child_gets_its_id_flags_and_sockets_and_we_keep_none_of_them() -> None:
    lines: list[str] = []
    opened = open_socket("127.0.0.1:0")
    descriptor, address = opened.fileno(), bound_address(opened)
    child = await start_child(TELLER, 4, ["--mode", "ho"], {"listen": opened}, lines.append)
    assert opened.fileno() == -1
    assert child.process.stdin is not None
    await child.process.stdin.aclose()
    await child.listen(lines.append)
    assert lines == [
        f"replica 4: process {child.pid}",
        f"4 | ['--id', '4', '--mode', 'ho', '--listen', 'fd:{descriptor}', '--announce', '--attached']",
    ]
    assert (child.alive, child.ending()) == (False, "ended with status 0")
    open_socket(address).close()


async def test_a_program_that_cannot_be_started_leaves_no_socket() -> None:
    opened = open_socket("127.0.0.1:0")
    with pytest.raises(FileNotFoundError):
        await start_child(("/none/such",), 0, [], {"listen": opened}, lambda _: None)
    assert opened.fileno() == -1


async def test_a_child_that_announces_itself_is_settled_and_serves_from_then_on() -> None:
    child = await start_child(("/bin/sh", "-c", """echo '{"id": 7}'; exec cat"""), 7, [], {}, lambda _: None)
    assert not child.settled.is_set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.listen, lambda _: None)
        with trio.fail_after(10):
            await child.settled.wait()
        assert child.announced.is_set()
        await trio.sleep(0.01)
        assert 0.01 <= child.served_seconds() < 10
        child.process.kill()


async def test_a_child_that_ends_unannounced_is_settled_too_and_has_not_served() -> None:
    child = await start_child(("/bin/sh", "-c", "echo one >&2; echo 'the reason' >&2; echo >&2; echo out; exit 3"), 0, [], {}, lambda _: None)
    await child.listen(lambda _: None)
    assert (child.settled.is_set(), child.announced.is_set(), child.served_seconds()) == (True, False, 0.0)
    assert (child.ending(), child.last_line) == ("ended with status 3", "the reason")


async def test_variables_that_are_settings_of_this_process_do_not_reach_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """``TRISKELE_DATA_DIR`` of ``triskele up`` would be a folder that all its replicas share."""
    monkeypatch.setenv("TRISKELE_DATA_DIR", "data")
    monkeypatch.setenv("ANOTHER", "there")
    lines: list[str] = []
    child = await start_child(("/bin/sh", "-c", 'echo "$TRISKELE_DATA_DIR, $ANOTHER"'), 0, [], {}, lines.append)
    await child.listen(lines.append)
    assert lines[1:] == ["0 | , there"]


async def test_lines_may_be_bytes_of_any_kind() -> None:
    lines: list[str] = []
    program = (sys.executable, "-c", r"import os; os.write(2, b'\xff one\ntwo\n\nlast')")
    child = await start_child(program, 1, [], {}, lambda _: None)
    await child.listen(lines.append)
    assert lines == ["1 | \ufffd one", "1 | two", "1 | ", "1 | last"]
    assert isinstance(child, Child)


def test_a_child_finds_the_packages_of_this_process() -> None:
    first = child_environment().get("PYTHONPATH", "").split(os.pathsep)[0]
    assert (Path(first) / "replica").is_dir()
