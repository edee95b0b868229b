from __future__ import annotations

from loadgen.checkers.operation import Unreadable, shown
from tests.loadgen.checkers.scripts import history


def test_operations_read_as_sentences() -> None:
    made = history("""
        a causal put x 1
        b get x = 1 @7
        b cas x 1 2
        b cas x @9 3 refused
        a delete x unknown
        c get x = -
        c scan a z 5 = x:1 y:2
        c put x 4 fail
    """)
    assert [str(operation) for operation in made.operations] == [
        "a causal put x 1 ok", "b get x = 1 version 7", "b cas x 1 -> 2 ok", "b cas x version 9 -> 3 (not swapped)",
        "a delete x (outcome unknown)", "c get x = nothing", "c scan a = x: 1, y: 2", "c put x 4 (failed)",
    ]  # fmt: skip


def test_bytes_are_shown_as_text_where_they_are_some_and_never_at_length() -> None:
    assert [shown(data) for data in (None, b"key", b"\xff\n", b"name.1.2;" + b"abc" * 30, b"x" * 100, 17)] == [
        "nothing", "key", "hex:ff0a", "name.1.2", "x" * 24 + "…", "17",
    ]  # fmt: skip


def test_nothing_in_a_history_does_something_to_the_terminal() -> None:
    made = history("a put x 1")
    made.operations[0].process = "\x1b[31mred\ud800"
    assert str(made.operations[0]) == "\\x1b[31mred\\ud800 put x 1 ok"
    assert str(Unreadable(3, "process \x1b[2J")) == "line 3: process \\x1b[2J"


def test_a_scan_covers_what_its_page_would_have_shown() -> None:
    [whole, page] = history("a scan b d 9 = b:1\na scan b - 1 = c:1").operations
    keys = [b"a", b"b", b"c", b"c\0", b"d"]
    assert [keys[place] for place in whole.covered(keys)] == [b"b", b"c", b"c\0"]
    assert [keys[place] for place in page.covered(keys)] == [b"b", b"c"]
