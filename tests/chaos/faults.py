"""The faults of a soak: one in each cycle, over well before the next begins, kinds and victims dealt from a deck by a seed.

Kinds are those of ``triskele chaos``, struck by its striker, and letting another replica lead, which ends nothing and breaks nothing.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import trio

from triskele.admin_client import AdminUnreachable
from triskele.chaos.disks import can_trace
from triskele.chaos.nemeses import NEMESES
from triskele.chaos.schedule import Fault
from triskele.chaos.striking import Strike, Striker
from triskele.leadership import LeadershipError, transfer_leader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from triskele.chaos.network import Network
    from triskele.cluster import LocalCluster

TRANSFER: Final = "transfer-leader"
DECK: Final[tuple[tuple[str, str], ...]] = (
    ("kill", "leader"), ("kill", "follower"), ("kill", "all"), ("pause", "leader"), ("pause", "follower"), ("pause", "all"),
    ("partition-one", "leader"), ("partition-one", "follower"), ("partition-clients", "leader"), ("half-open", "leader"), ("half-open", "follower"),
    ("slow-net", "all"), ("flaky", "all"), ("reorder", "all"), ("slow-disk", "leader"), ("slow-disk", "all"), ("disk-full", "follower"),
    (TRANSFER, "leader"),
)  # fmt: skip
"""(kind, whom): each once, in an order by chance, before one comes again."""
BEGINS: Final = (0.2, 0.3)
LASTS: Final = (0.08, 0.16)
"""Of the time from one fault to the next, from and to."""


def draw(seed: int, count: int, every: float, kinds: Sequence[tuple[str, str]] = DECK) -> list[Fault]:
    """Draw a fault for each cycle, its time counted from the cycle's beginning.

    Args:
        seed: Of everything.
        count: Of cycles.
        every: Seconds from the beginning of one cycle to the next.
        kinds: The deck.
    """
    chance = random.Random(f"soak/{seed}")
    fit = [(name, target) for name, target in kinds if name != "slow-disk" or can_trace()]
    deck: list[tuple[str, str]] = []
    faults = []
    for number in range(1, count + 1):
        deck = deck or chance.sample(fit, len(fit))
        name, target = deck.pop()
        at, lasts = chance.uniform(*BEGINS) * every, chance.uniform(*LASTS) * every
        strengths = NEMESES[name].strengths if name in NEMESES else (0.0, 0.0)
        faults.append(
            Fault(
                number=number, at=round(at, 3), lasts=round(lasts, 3), nemesis=name, target=target, strength=round(chance.uniform(*strengths), 3),
                outgoing=chance.random() < 0.5,
            )
        )  # fmt: skip
    return faults


class Cycle:
    """One fault and what came of it, in a cycle that begins with ``run``.

    Attributes:
        strike: The fault as it struck; None before.
        began: The cycle's beginning, ``trio.current_time()``.
        over: Set when the fault is.
        refusal: Why a leader did not hand over; empty if it did, or for other kinds.
    """

    def __init__(self, cluster: LocalCluster, network: Network, fault: Fault, seed: int) -> None:
        self.began = 0.0
        self.over = trio.Event()
        self.refusal = ""
        self._cluster, self._fault = cluster, fault
        self._striker = Striker(cluster, network, [fault] if fault.nemesis != TRANSFER else [], seed, lambda _line: None)

    @property
    def strike(self) -> Strike | None:
        """The fault as it struck; None before."""
        return self._striker.strikes[0] if self._striker.strikes else None

    def unexplained(self) -> list[str]:
        """Tell which processes ended though the fault does not explain it."""
        endings = [ending for ending in self._striker.endings if not ending.expected]
        return [f"replica {ending.replica} {ending.words} {ending.at:.1f} s into a cycle, and no fault explains it" for ending in endings]

    async def run(self) -> None:
        """Strike, and watch for processes that end, until cancelled."""
        self.began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for place in self._cluster.file.replicas:
                nursery.start_soon(self._striker.watch, place.id)
            await self._striker.run()
            if self._fault.nemesis == TRANSFER:
                await self._transfer()
            self.over.set()
            await trio.sleep_forever()

    async def _transfer(self) -> None:
        """Let another replica lead; a refusal is a strike that touched nothing."""
        await trio.sleep_until(self.began + self._fault.at)
        strike = Strike(fault=self._fault, began=round(trio.current_time() - self.began, 3))
        self._striker.strikes.append(strike)
        try:
            done = await transfer_leader(self._cluster.file)
            strike.hit, strike.touched = (done.source, done.target), 1
        except (LeadershipError, AdminUnreachable) as error:
            self.refusal = str(error)
        strike.ended = round(trio.current_time() - self.began, 3)
