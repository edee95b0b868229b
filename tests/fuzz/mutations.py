"""Payloads that are nearly right: frames of messages with bytes or items changed, and bytes that never were a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cbor2

from replica.hello import Hello, encode_hello, encode_refusal
from replica.wire import encode
from tests.fuzz.frames import BY_NAME, SENT, Chance, make_message

if TYPE_CHECKING:
    from random import Random

HEADS = bytes.fromhex("00 17 18 19 1a 1b 1c 1f 20 3b 40 41 58 5b 5f 60 61 78 7f 80 81 82 98 9a 9b 9f a0 a1 bf c0 c2 d8 db e0 f4 f5 f6 f7 f9 fb ff")
STRANGERS: list[Any] = [
    None, True, False, 0, 1, -1, 23, 24, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1.5, float("nan"), float("inf"), b"", b"k", bytes(4097),
    "", "text", [], [[]], [None], [0, 0], [b"", None, 1], [None, b""], {}, {"a": 1}, 2**70, cbor2.undefined, cbor2.CBORTag(4660, 0),
]  # fmt: skip


LAYOUTS = [*SENT, *[BY_NAME["Record"]] * 4]
"""What commands may be in is met more often: it has most rules."""
FRAMES = 50
HELLOS = 5


class Mutator:
    """An endless supply of payloads from one seed; all are made of a few good ones."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._choices = Chance(random)
        self._good = [self._frame() for _ in range(FRAMES)] + [self._hello() for _ in range(HELLOS)]

    def payload(self) -> bytes:
        """Make one: valid in some cases, wrong in one place in most, garbage in the rest."""
        return self._spoiled(self._good)

    def hello_payload(self) -> bytes:
        """Likewise, of hellos alone."""
        return self._spoiled(self._good[FRAMES:])

    def _spoiled(self, some: list[bytes]) -> bytes:
        random = self._random
        fate = random.random()
        if fate < 0.05:
            return random.randbytes(random.randint(0, 60))
        good = random.choice(some)
        if fate < 0.1:
            return good
        if fate < 0.6:
            return self._with_a_strange_item(good)
        for _ in range(random.choice((1, 1, 1, 2, 5))):
            good = self._with_changed_bytes(good)
        return good

    def _frame(self) -> bytes:
        random = self._random
        messages = [make_message(random.choice(LAYOUTS), self._choices) for _ in range(random.choice((1, 1, 1, 2, 4)))]
        return encode(random.choice((0, 1, 2**60)), messages)

    def _hello(self) -> bytes:
        if not self._random.randrange(4):
            return encode_refusal("wrong_mode", "mode 'ht'; here it is 'ho'")
        return encode_hello(Hello(cluster_id="c", mode="ho", role="replica", id=1, incarnation=7, config=1, voters=(0, 1, 2)))

    def _with_a_strange_item(self, payload: bytes) -> bytes:
        """Put something else in one place of the tree, or leave the place out, or double it."""
        random = self._random
        tree = cbor2.loads(payload)
        node = tree
        while True:
            inner = [item for item in node if type(item) is list and item]
            if not inner or random.random() < 0.25:
                break
            node = random.choice(inner)
        place = random.randrange(len(node))
        fate = random.random()
        if fate < 0.15:
            del node[place]
        elif fate < 0.3:
            node.insert(place, node[place])
        elif fate < 0.4 and isinstance(node[place], int):
            node[place] += random.choice((-1, 1))
        elif fate < 0.8 and isinstance(node[place], bytes) and node[place]:
            data = bytearray(node[place])
            data[random.randrange(len(data))] = random.choice((0, 1, 2, 3, 4, 0x80, 0x81, 0x82, 0x83, 0xFF))
            node[place] = bytes(data)
        else:
            node[place] = random.choice(STRANGERS)
        return cbor2.dumps(tree)

    def _with_changed_bytes(self, payload: bytes) -> bytes:
        random = self._random
        data = bytearray(payload or b"\x00")
        at = random.randrange(len(data))
        match random.randrange(7):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at] = random.choice(HEADS)
            case 2:
                del data[at:]
            case 3:
                del data[at : at + random.randint(1, 8)]
            case 4:
                data[at:at] = random.randbytes(random.randint(1, 8))
            case 5:
                data[at:at] = data[at : at + random.randint(1, 40)] * random.choice((1, 1, 50))
            case _:
                data[at : at + 9] = bytes([random.choice((0x1B, 0x5B, 0x7B, 0x9B, 0xBB, 0xDB))]) + random.choice((b"\xff" * 8, random.randbytes(8)))
        return bytes(data)
