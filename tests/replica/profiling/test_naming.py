from __future__ import annotations

import dis
import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from replica.profiling.naming import COLLECTION, OTHER_THREADS, SAMPLING, SLICE_STACKS, Naming, called_names, line_of, name_samples, named_at_once
from replica.profiling.sampler import IN_COLLECTION, Samples
from tests.replica.profiling.recorded import USAGE

if TYPE_CHECKING:
    from types import CodeType


def inner(column: list[int]) -> int:
    return max(column)


def outer(column: list[int]) -> int:
    total = 0
    for _ in range(3):
        total += inner(column)
    return total


def place(code: CodeType, operation: str, which: int = -1) -> int:
    """Return the offset of an instruction whose name contains ``operation``."""
    return [one.offset for one in dis.get_instructions(code) if operation in one.opname][which]


def taken(*stacks: tuple[tuple[CodeType, int], ...], main_seconds: float = 0.02, cpu_seconds: float = 0.02) -> Samples:
    """Make samples of 10 ms, each given from the outermost frame in."""
    codes = {id(code): code for stack in stacks for code, _ in stack}
    keys = [tuple(number for code, last in reversed(stack) for number in (id(code), last)) for stack in stacks]
    usage = attrs.evolve(USAGE, cpu_seconds=cpu_seconds)
    return Samples(0, 100.0, 0.0, main_seconds, usage, codes, {key: [1, 10_000_000] for key in keys})


def stacks_of(samples: Samples) -> list[list[str]]:
    recording = named_at_once(samples)
    return [[recording.frames[number].function for number in stack.frames] for stack in recording.stacks]


OUTER, INNER = outer.__code__, inner.__code__


def test_behind_a_call_the_time_is_the_called_native_code_s() -> None:
    samples = taken(((OUTER, place(OUTER, "CALL")), (INNER, place(INNER, "CALL"))))
    assert stacks_of(samples) == [["outer", "inner", "max"]]
    recording = named_at_once(samples)
    leaf = recording.frames[recording.stacks[0].frames[-1]]
    assert (leaf.native, leaf.file.endswith("test_naming.py"), leaf.line) == (True, True, INNER.co_firstlineno + 1)


def test_at_the_beginning_of_a_function_the_time_is_its_caller_s() -> None:
    assert stacks_of(taken(((OUTER, place(OUTER, "CALL")), (INNER, place(INNER, "RESUME"))))) == [["outer"]]


def test_at_the_end_of_a_loop_the_time_is_the_function_s() -> None:
    assert stacks_of(taken(((OUTER, place(OUTER, "JUMP_BACKWARD")),))) == [["outer"]]


def test_a_collection_is_a_frame_on_the_function_that_set_it_off() -> None:
    watch = (INNER, IN_COLLECTION)
    assert stacks_of(taken(((OUTER, place(OUTER, "CALL")), watch))) == [["outer", COLLECTION]]


def test_what_other_threads_and_the_sampling_took_stands_beside() -> None:
    samples = attrs.evolve(taken(((OUTER, 0),), main_seconds=0.02, cpu_seconds=0.05), sampling_seconds=0.008)
    recording = named_at_once(samples)
    told = {recording.frames[stack.frames[-1]].function: stack.cpu_ns for stack in recording.stacks}
    assert told == {"outer": 10_000_000, SAMPLING: 8_000_000, OTHER_THREADS: pytest.approx(30_000_000, abs=1)}


def test_long_profiles_are_named_in_slices() -> None:
    samples = taken(*(((OUTER, place(OUTER, "CALL")),) * depth for depth in range(1, 101)))
    assert len(list(name_samples(samples))) == 100 // SLICE_STACKS


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("f(x)", "f"),
        ("a.b.c(x, g(y))", "c"),
        ("b''.join(parts)", "join"),
        ("f(x)(y)", "f"),
        ("a.b(x).c(y)", "c"),
        ("f(*parts)", "f"),
        ("f(x, key=y)", "f"),
        ("list(map(len, parts))", "list"),
    ],
)
def test_a_call_is_named_by_the_last_name_it_calls_by(source: str, name: str) -> None:
    code = compile(source, "<generated>", "eval")
    assert called_names(code)[place(code, "CALL")] == name


def test_a_call_of_what_has_no_name_has_none() -> None:
    code = compile("(lambda: 1)()", "<generated>", "eval")
    assert called_names(code)[place(code, "CALL")] == ""


def test_a_line_is_that_of_the_instruction() -> None:
    assert line_of(OUTER, place(OUTER, "JUMP_BACKWARD")) in {OUTER.co_firstlineno + 2, OUTER.co_firstlineno + 3}
    assert line_of(OUTER, 10_000) == OUTER.co_firstlineno


def test_files_are_named_below_the_folder_they_are_imported_from() -> None:
    naming = Naming(["/lib", "/lib/site"])
    assert naming.short("/lib/json/decoder.py") == "json/decoder.py"
    assert naming.short("/lib/site/trio/_core.py") == "trio/_core.py"
    assert naming.short("<frozen runpy>") == "<frozen runpy>"
    assert Naming().short(sys.modules["replica.profiling.naming"].__file__ or "") == "replica/profiling/naming.py"
