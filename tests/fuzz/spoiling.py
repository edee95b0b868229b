"""Bytes that are nearly right, whatever they are of: good ones with bits, bytes, words or pieces changed, cut, doubled, or put together anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

NUMBERS = (b"-1", b"0", b"1e999", b"9" * 20, b"9" * 5000, b"0x10", b"nan", b"1_0", b"0x" + b"f" * 5000, b"-0.0", b"99999999999999999999.5")
DEEP = 3000
"""Brackets in brackets: more than a reader that calls itself can take."""
LARGE = 1 << 16


class Spoiler:
    """An endless supply of inputs from one seed.

    Args:
        random: makes every choice.
        good: inputs that are right.
        words: what may be put in, tokens of the format.
    """

    def __init__(self, random: Random, good: Sequence[bytes], words: Sequence[bytes] = ()) -> None:
        self._random = random
        self._good = good
        self._words = words

    def input(self) -> bytes:
        """Make one: right in some cases, wrong in one place in most, garbage in the rest."""
        random = self._random
        fate = random.random()
        if fate < 0.03:
            return random.randbytes(random.randint(0, 80))
        data = random.choice(self._good)
        if fate < 0.08:
            return data
        if fate < 0.16:
            data = self._spliced(data, random.choice(self._good))
        for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
            data = self._changed(data)
        return data[:LARGE]

    def _spliced(self, one: bytes, other: bytes) -> bytes:
        return one[: self._random.randint(0, len(one))] + other[self._random.randint(0, len(other)) :]

    def _changed(self, data: bytes) -> bytes:
        random = self._random
        at = random.randrange(len(data)) if data else 0
        some = random.randint(1, 8)
        match random.randrange(10):
            case 0:
                return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :] if data else b"\0"
            case 1:
                return data[:at] + random.choice((b"\0", b"\xff", b"\x80", b"\x7f", b"\n", b'"')) + data[at + 1 :]
            case 2:
                return data[:at]
            case 3:
                return data[:at] + data[at + some * random.choice((1, 1, 16)) :]
            case 4:
                return data[:at] + random.randbytes(some) + data[at:]
            case 5:
                return data[:at] + data[at : at + some * 5] * random.choice((2, 2, 40)) + data[at + some * 5 :]
            case 6:
                return data[:at] + random.choice((b"\xff" * 4, b"\xff" * 8, b"\0" * 8, random.randbytes(4))) + data[at + 4 :]
            case 7:
                lines = data.split(b"\n")
                random.shuffle(lines)
                return b"\n".join(lines)
            case 8:
                return self._with_number(data, at)
            case _:
                return self._with_word(data, at)

    def _with_number(self, data: bytes, at: int) -> bytes:
        """Replace the first digits from a place on by another number."""
        start = next((place for place in range(at, len(data)) if data[place] in b"0123456789"), at)
        end = start
        while end < len(data) and data[end] in b"0123456789.":
            end += 1
        return data[:start] + self._random.choice(NUMBERS) + data[end:]

    def _with_word(self, data: bytes, at: int) -> bytes:
        if not self._words or self._random.random() < 0.08:
            return data[:at] + self._random.choice((b"[", b"{", b"(", b'{"a":', b"\x81")) * DEEP + data[at:]
        return data[:at] + self._random.choice(self._words) + data[at + self._random.choice((0, 0, 1, 4)) :]
