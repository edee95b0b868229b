"""A replica whose links change their batch policy from slot to slot, all replicas of a machine together: what ``tools/batching.py`` measures.

    python -m tools.batching_replica FOLDER SLOT_SECONDS FLAGS OF TRISKELE REPLICA

A slot is a stretch of the machine's own steady clock, which all its processes share; every round of slots has each policy once, in an order drawn by
the round's number.  So the policies meet the same minutes, and the same few seconds.  A policy that never holds costs what it costs elsewhere: the
links do not look at the clock then.

At a slot's end one line goes into ``FOLDER/<pid>.jsonl``: the slot, the policy, commands that came in and seconds that passed since the slot was
``SETTLING_SHARE`` old; what is in flight at a change belongs to nobody.
"""

from __future__ import annotations

import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final, TextIO

import trio

import replica.server
from replica.driver import ReplicaDriver
from transport.adaptive import policy_named
from transport.hub import Hub
from triskele.cli import main

if TYPE_CHECKING:
    from transport.batch import BatchPolicy
    from transport.tcp import TcpLink
    from transport.turns import Turns

POLICIES: Final = {
    "turn": ("turn", 0.0),
    "fixed 50": ("fixed", 50e-6),
    "fixed 75": ("fixed", 75e-6),
    "fixed 150": ("fixed", 150e-6),
    "adaptive": ("adaptive", 0.0),
}
"""``{name: what policy_named takes}``."""
SETTLING_SHARE: Final = 0.2
"""Of a slot, before its commands count."""


def policy_at(slot: int) -> str:
    """Return the name of a slot's policy."""
    number, place = divmod(slot, len(POLICIES))
    return random.Random(number).sample(list(POLICIES), len(POLICIES))[place]


class CountingDriver(ReplicaDriver):
    """The one driver of this process, found by its hub."""

    made: ClassVar[list[ReplicaDriver]] = []

    def __init__(self, *arguments: object, **settings: object) -> None:
        """Remember who was made."""
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]
        self.made.append(self)


class SwitchingHub(Hub):
    """A hub that gives all its links the slot's policy.

    Attributes:
        slot_seconds: How long a slot is.
        folder: For what was counted.
    """

    slot_seconds: ClassVar[float] = 0.25
    folder: ClassVar[Path] = Path()
    _name = "turn"

    def __init__(self, turns: Turns) -> None:
        """Know no link's policies yet."""
        super().__init__(turns)
        self._own: dict[TcpLink, dict[str, BatchPolicy]] = {}  # {link: its policies}; what one has learned it finds again

    def add(self, link: TcpLink) -> None:
        """Register a link, under the present policy."""
        super().add(link)
        self._own[link] = {name: policy_named(*words) for name, words in POLICIES.items()}
        self._give(link)

    def remove(self, link: TcpLink) -> None:
        """Forget a link."""
        super().remove(link)
        del self._own[link]

    async def run(self) -> None:
        """Serve the links and change their policies until cancelled."""
        with (self.folder / f"{os.getpid()}.jsonl").open("w", encoding="utf-8") as lines:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._switch, lines)
                await super().run()

    def _give(self, link: TcpLink) -> None:
        """Put the link under its policy of the present slot."""
        link._batcher.policy = policy = self._own[link][self._name]  # noqa: SLF001 - links of the product never change their policy
        link._watched, link._untold = policy.holds, 0  # noqa: SLF001

    def begin(self, slot: int) -> None:
        """Put all links under a slot's policy."""
        self._name = policy_at(slot)
        for link in self._links.values():
            self._give(link)

    async def _switch(self, lines: TextIO) -> None:
        while True:
            slot = int(monotonic() / self.slot_seconds)
            self.begin(slot)
            await self._until((slot + SETTLING_SHARE) * self.slot_seconds)
            statistics, begun = CountingDriver.made[-1].statistics, monotonic()
            before = statistics.commands_in
            await self._until((slot + 1) * self.slot_seconds)
            told = {"slot": slot, "policy": self._name, "commands": statistics.commands_in - before, "seconds": monotonic() - begun}
            lines.write(json.dumps(told) + "\n")
            lines.flush()

    async def _until(self, moment: float) -> None:
        await trio.sleep(max(0.0, moment - monotonic()))


if __name__ == "__main__":
    SwitchingHub.folder, SwitchingHub.slot_seconds = Path(sys.argv[1]), float(sys.argv[2])
    vars(replica.server).update(Hub=SwitchingHub, ReplicaDriver=CountingDriver)
    with suppress(KeyboardInterrupt):
        sys.exit(main(["replica", *sys.argv[3:]]))
