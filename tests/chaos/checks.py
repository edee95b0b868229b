"""Looks at a store that is still: every key as the ledger promises it, every session shown no less than it has seen, all replicas alike.

All of them expect that the load is held (``Load.hold``), and leave it so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from triskele.agreement import COMPARE_SECONDS, compare_states
from triskele.client import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.cluster_file import ClusterFile
    from tests.chaos.ledger import Ledger, Register
    from tests.chaos.load import ClientSession, Load

READS_AT_ONCE = 256
READS_OF_SESSION = 8


async def check_keys(load: Load, timeout: float) -> None:
    """Read every key strongly and judge what it holds; a key that cannot be read within the timeout is a broken promise, too."""
    ledger, limit = load.ledger, trio.CapacityLimiter(READS_AT_ONCE)

    async def check(key: bytes) -> None:
        async with limit:
            try:
                value, version = await load.checker.get(key, with_version=True, timeout=timeout)
            except Unavailable as error:
                ledger.broken(f"{key!r} could not be read at a check: {error}")
                return
        if key in ledger.registers:
            ledger.judge_register(ledger.registers[key], value, version)
        else:
            ledger.judge_counter(ledger.counters[key], value)

    async with trio.open_nursery() as nursery:
        for key in [*ledger.registers, *ledger.counters]:
            nursery.start_soon(check, key)


async def show_all(load: Load) -> None:
    """Let every session read every register causally: judged as any read, and from then on none may be shown less to it."""

    async def show(session: ClientSession, registers: Iterator[Register]) -> None:
        for register in registers:  # shared by some tasks
            await session.read(register, "causal get")

    async with trio.open_nursery() as nursery:
        for session in load.sessions:
            registers = iter(list(load.ledger.registers.values()))
            for _ in range(READS_OF_SESSION):
                nursery.start_soon(show, session, registers)


async def check_agreement(ledger: Ledger, file: ClusterFile, seconds: float = COMPARE_SECONDS) -> None:
    """Hold the replicas' states against each other; nothing else may write meanwhile."""
    agreement = await compare_states(file, seconds)
    if agreement.verdict != "equal":
        ledger.broken(f"the replicas do not converge: {agreement.verdict} {agreement.why} {agreement.hashes}")
