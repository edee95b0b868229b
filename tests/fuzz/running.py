"""Runs of the fuzzer: blocks of inputs, each with a seed of its own, in one process or in several."""

from __future__ import annotations

import hashlib
import resource
import shutil
import sys
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs

from tests.fuzz.stored import scratch
from tests.fuzz.targets import TARGETS, Target

if TYPE_CHECKING:
    from tests.fuzz.judging import Tell

CORPUS = Path(__file__).parent / "corpus"
BLOCK = 1000
BLOCKS_AT_ONCE = 25
GROWTH_KIB_MAX = 8 * 1024
INPUT_SECONDS_MAX = 2.0
"""Of processor time, for one input of at most 64 KiB."""
ADDRESS_SPACE_BYTES = 4 << 30
"""Of a process of the long run: an input that asks for more memory than that fails, and is found."""


@attrs.define
class Report:
    """What came of inputs of one target.

    Attributes:
        verdicts: ``{verdict: how often}``; BROKEN is a broken promise.
        growth_kib: By how much resident memory grew, the first tenth left out.
        slowest_seconds: Of processor time, for one input.
        kept: Failing inputs, as they were written.
    """

    verdicts: Counter[str] = attrs.Factory(Counter)
    growth_kib: int = 0
    slowest_seconds: float = 0.0
    kept: list[str] = attrs.Factory(list)

    def add(self, other: Report) -> None:
        """Add what another process found."""
        self.verdicts += other.verdicts
        self.growth_kib = max(self.growth_kib, other.growth_kib)
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.kept += other.kept


def fuzz(target: Target, blocks: range, inputs: int, seed: int, corpus: Path) -> Report:
    """Judge inputs of some blocks; ``inputs`` is how many all blocks of the run have."""
    report = Report()
    before = resident_kib()
    for place, block in enumerate(blocks):
        if place == max(len(blocks) // 10, 1):
            before = resident_kib()
        source = target.source(Random(f"{seed}/{block}"))
        told = _told(report, target, f"seed {seed}, block {block}", corpus)
        target.judging((source() for _ in range(min(BLOCK, inputs - block * BLOCK))), told)
    report.growth_kib = resident_kib() - before
    return report


def _told(report: Report, target: Target, where: str, corpus: Path) -> Tell:
    """Return what takes verdicts down; inputs that broke a promise are kept."""

    def tell(data: bytes, verdict: str | Exception, seconds: float) -> None:
        report.slowest_seconds = max(report.slowest_seconds, seconds)
        if isinstance(verdict, str) and seconds >= INPUT_SECONDS_MAX:
            verdict = TimeoutError(f"{seconds:.1f} s for {len(data)} bytes")
        if isinstance(verdict, str):
            report.verdicts[verdict] += 1
            return
        report.verdicts["BROKEN"] += 1
        traceback.print_exception(verdict)
        report.kept.append(str(keep(target, data, corpus)))
        sys.stderr.write(f"{target.name}: {where}: kept as {report.kept[-1]}\n")

    return tell


def keep(target: Target, data: bytes, corpus: Path) -> Path:
    """Write a failing input where the tests find it."""
    path = corpus / f"{target.name}-{hashlib.sha256(data).hexdigest()[:16]}.payload"
    corpus.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def resident_kib() -> int:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _work(name: str, blocks: range, inputs: int, seed: int, corpus: Path) -> Report:
    """As ``fuzz``, in a process of the long run."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    try:
        return fuzz(TARGETS[name], blocks, inputs, seed, corpus)
    finally:
        shutil.rmtree(scratch(), ignore_errors=True)
        scratch.cache_clear()


def long_run(name: str, inputs: int, seed: int, jobs: int, corpus: Path) -> Report:
    """Judge many inputs of a target in several processes."""
    count = -(-inputs // BLOCK)
    parts = [range(low, min(low + BLOCKS_AT_ONCE, count)) for low in range(0, count, BLOCKS_AT_ONCE)]
    total = Report()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for report in pool.map(_work, *zip(*((name, part, inputs, seed, corpus) for part in parts), strict=True)):
            total.add(report)
    return total
