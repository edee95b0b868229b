"""The long run: ``python -m tests.fuzz --inputs 1000000 --seed 1``.

Each block of inputs has a seed of its own, so that a failure can be found again without what came before it; the failing bytes are kept in
``tests/fuzz/corpus`` and judged by every test run from then on.  Ends with 1 if a promise was broken or memory grew.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from tests.fuzz.mutations import Mutator
from tests.fuzz.promises import judge

CORPUS = Path(__file__).parent / "corpus"
BLOCK = 1000
GROWTH_KIB_MAX = 8 * 1024


def fuzz(inputs: int, seed: int, corpus: Path) -> tuple[Counter[str], int]:
    """Judge payloads.

    Returns:
        How often each verdict came, and by how many KiB resident memory grew after the first tenth.
    """
    verdicts: Counter[str] = Counter()
    before = resident_kib()
    for block in range(-(-inputs // BLOCK)):
        if block == max(inputs // BLOCK // 10, 1):
            before = resident_kib()
        mutator = Mutator(Random(f"{seed}/{block}"))
        for _ in range(min(BLOCK, inputs - block * BLOCK)):
            payload = mutator.payload()
            try:
                verdicts[judge(payload)] += 1
            except Exception:  # noqa: BLE001 - whatever it is, it is the finding
                verdicts["BROKEN"] += 1
                traceback.print_exc()
                sys.stderr.write(f"seed {seed}, block {block}: kept as {keep(payload, corpus)}\n")
    return verdicts, resident_kib() - before


def keep(payload: bytes, corpus: Path) -> Path:
    """Write a failing input where the tests find it."""
    path = corpus / f"{hashlib.sha256(payload).hexdigest()[:16]}.payload"
    corpus.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path


def resident_kib() -> int:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Judge payloads that are nearly frames.")
    parser.add_argument("--inputs", type=int, default=100_000, help="how many payloads (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed is other payloads (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where failing payloads are kept (default: tests/fuzz/corpus)")
    options = parser.parse_args()
    start = time.perf_counter()
    verdicts, growth = fuzz(options.inputs, options.seed, options.corpus)
    seconds = time.perf_counter() - start
    lines = [f"{count:10,} {verdict}" for verdict, count in verdicts.most_common()]
    broken = verdicts["BROKEN"]
    lines += [f"{options.inputs:,} payloads of seed {options.seed} in {seconds:.1f} s, {broken} broken promises, memory {growth:+,} KiB", ""]
    sys.stdout.write("\n".join(lines))
    return 1 if broken or growth > GROWTH_KIB_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
