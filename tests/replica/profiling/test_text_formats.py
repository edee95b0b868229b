from __future__ import annotations

import json

from replica.profiling.text_formats import STACKS_PER_PIECE, collapsed_name, collapsed_pieces, speedscope_pieces
from tests.replica.profiling.recorded import MAIN, SEND, SMALL, STEP, python, record


def test_a_speedscope_file_has_what_its_schema_demands() -> None:
    read = json.loads(b"".join(speedscope_pieces(SMALL, "replica 0")))
    assert read["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    (profile,) = read["profiles"]
    assert (profile["type"], profile["unit"], profile["startValue"], profile["endValue"]) == ("sampled", "nanoseconds", 0, 1_000_000_000)
    assert len(profile["samples"]) == len(profile["weights"])
    assert sum(profile["weights"]) == profile["endValue"]
    frames = read["shared"]["frames"]
    assert [frames[place]["name"] for place in profile["samples"][0]] == ["main", "TcpLink.flush", "[send]"]
    assert frames[profile["samples"][1][1]] == {"name": "Replica.step", "file": "replica/core/replica.py", "line": 111}


def test_a_large_speedscope_file_comes_in_pieces_and_is_whole() -> None:
    count = 2 * STACKS_PER_PIECE + 1
    made = list(speedscope_pieces(record(*(((MAIN,) * (number + 1), 1, 1) for number in range(count))), "x"))
    assert len(made) == 5
    assert len(json.loads(b"".join(made))["profiles"][0]["samples"]) == count


def test_collapsed_lines_add_up_what_differs_by_line_only() -> None:
    recording = record(((MAIN, STEP), 1, 2), ((MAIN, python("Replica.step", STEP.file, 150, 100)), 1, 3), ((MAIN, SEND), 1, 4))
    assert b"".join(collapsed_pieces(recording)).decode().splitlines() == [
        "main (replica/__main__.py:1);Replica.step (replica/core/replica.py:100) 5000",
        "main (replica/__main__.py:1);[send] 4000",
    ]


def test_a_name_never_breaks_its_line() -> None:
    assert collapsed_name(python("f;g", "a;b", 1)) == "f,g (a,b:1)"


def test_nothing_was_seen_of_an_idle_process() -> None:
    assert b"".join(collapsed_pieces(record())) == b""
    assert json.loads(b"".join(speedscope_pieces(record(), "x")))["profiles"][0]["samples"] == []
