"""Well-formed messages made from the codec's table; whoever makes the choices decides whether they shrink (Hypothesis) or are fast (random)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from replica.wire import LAYOUTS
from replica.wire_cbor import INT_MAX
from replica.wire_columns import TOKEN_BYTES_MAX, Field
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, CLOSE, CONFIG, DELETE, EXPIRE, HORIZON, NOOP, OPEN, PUT

if TYPE_CHECKING:
    from random import Random

    from replica.wire import Layout

BY_NAME = {layout.name: layout for layout in LAYOUTS}
SENT = [layout for layout in LAYOUTS if layout.tag]
KINDS = (PUT, DELETE, CAS_VALUE, CAS_VERSION, PUT | CAUSAL, DELETE | CAUSAL)


class Choices(Protocol):
    """Where numbers and bytes come from."""

    def number(self, least: int, most: int) -> int:
        """An integer from ``least`` to ``most``."""

    def blob(self, least: int, most: int) -> bytes:
        """From ``least`` to ``most`` bytes."""


class Chance:
    """Choices by a seeded generator."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def number(self, least: int, most: int) -> int:
        # Mostly small, so that numbers of every width in CBOR are met.
        if most > 1 << 16 and self._random.random() < 0.8:
            most = self._random.choice((1, 23, 24, 255, 256, 65535))
        return self._random.randint(least, most)

    def blob(self, least: int, most: int) -> bytes:
        return self._random.randbytes(self._random.randint(least, most))


def make_message(layout: Layout, choose: Choices) -> Any:
    """Make a message that ``replica.wire`` must take, of up to four runs."""
    runs = choose.number(0, 4)
    counts = [choose.number(1, 4) for _ in range(runs)]
    kinds = bytes(KINDS[choose.number(0, len(KINDS) - 1)] for _ in range(sum(counts)))
    return layout.message(*(_make_field(field, counts, kinds, choose) for field in layout.fields.values()))


def _make_field(field: Field, counts: list[int], kinds: bytes, choose: Choices) -> Any:
    """Make what stands in one place, for runs of these counts whose commands have these kinds."""
    each_run, each_place, some = range(len(counts)), range(len(kinds)), range(choose.number(0, 3))
    match field:
        case Field.INT:
            return choose.number(0, INT_MAX)
        case Field.REPLICA:
            return choose.number(-1, 6)
        case Field.FLAG:
            return bool(choose.number(0, 1))
        case Field.SECONDS:
            return choose.number(1, 1 << 20) / 8
        case Field.COUNTS:
            return counts
        case Field.INTS:
            return [choose.number(0, INT_MAX - 4) for _ in each_run]  # where a run of four may still begin
        case Field.TOKENS:
            return [choose.blob(1, TOKEN_BYTES_MAX) for _ in each_run]
        case Field.KINDS:
            return kinds
        case Field.KEYS:
            return [choose.blob(0, 20) for _ in each_place]
        case Field.VALUES:
            return [_make_value(kind, choose) for kind in kinds]
        case Field.QUERIES:
            return [_make_query(choose) for _ in each_place]
        case Field.ANSWERS:
            return [_make_answer(choose) for _ in each_place]
        case Field.VERSIONS:
            return [choose.number(0, INT_MAX) for _ in each_place]
        case Field.PLACED:
            return [[choose.number(0, len(kinds) - 1), choose.number(0, 1)] for _ in some if kinds]
        case Field.NUMBERED:
            return [[choose.number(0, INT_MAX), choose.number(0, INT_MAX), choose.number(0, 1)] for _ in some]
        case Field.REFUSALS:
            return [[choose.number(0, INT_MAX), choose.number(0, 9)] for _ in some]
        case Field.LAGGING:
            return [[choose.number(0, INT_MAX), choose.number(0, INT_MAX), choose.number(1, 9)] for _ in some]
        case Field.LEVELS:
            return [[choose.number(0, INT_MAX) for _ in range(4)] for _ in some]
        case Field.PLAIN:
            return [choose.number(0, INT_MAX), [choose.blob(0, 9) for _ in some], [None, True, 0.5]]
        case Field.MEMBERS:
            return _make_members(choose)
        case Field.SYSTEM:
            return [_make_system(choose) for _ in some]
        case Field.ENTRIES:
            return [make_message(BY_NAME["Entry"], choose) for _ in some]
        case Field.RECORD:
            return make_message(BY_NAME["Record"], choose)


def _make_value(kind: int, choose: Choices) -> Any:
    match kind & ~CAUSAL:
        case 0:  # PUT
            return choose.blob(0, 40)
        case 1:  # DELETE
            return None
        case 2:  # CAS_VALUE
            return [_maybe(choose, choose.blob(0, 9)), choose.blob(0, 9)]
        case _:
            return [choose.number(0, INT_MAX), choose.blob(0, 9)]


def _maybe(choose: Choices, item: bytes) -> bytes | None:
    return item if choose.number(0, 1) else None


def _make_query(choose: Choices) -> Any:
    if choose.number(0, 3):
        return choose.blob(0, 20)
    return [choose.blob(0, 9), _maybe(choose, choose.blob(0, 9)), choose.number(1, 1000)]


def _make_answer(choose: Choices) -> Any:
    if choose.number(0, 3):
        return _maybe(choose, choose.blob(0, 40))
    rows = [[choose.blob(0, 9), choose.blob(0, 9), choose.number(0, INT_MAX)] for _ in range(choose.number(0, 3))]
    return [rows, bool(choose.number(0, 1))]


def _make_members(choose: Choices) -> list[Any]:
    """Make the items of a configuration."""
    number, some = choose.number(0, INT_MAX), range(choose.number(0, 3))
    address = [[choose.number(0, INT_MAX), b"host:%d" % place] for place in some]
    return [number, list(some), [7, number], [[7, 0]] * len(some), [choose.number(0, INT_MAX) for _ in some], address]


def _make_system(choose: Choices) -> list[Any]:
    number = choose.number(0, INT_MAX)
    commands: list[list[Any]] = [
        [OPEN, choose.blob(1, TOKEN_BYTES_MAX), number / 1024 + 1], [CLOSE, number], [EXPIRE, number], [NOOP],
        [CONFIG, "ho", *_make_members(choose)], [HORIZON, number],
    ]  # fmt: skip
    return commands[choose.number(0, len(commands) - 1)]
