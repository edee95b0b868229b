"""The long run: ``python -m tests.fuzz --inputs 1000000 --jobs 2``; one reader alone: ``--target snapshot``.

Each block of inputs has a seed of its own, so that a failure can be found again without what came before it; the failing bytes are kept in
``tests/fuzz/corpus`` and judged by every test run from then on.  Ends with 1 if a promise was broken or memory grew.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.running import CORPUS, GROWTH_KIB_MAX, long_run
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Give bytes that are nearly right to everything that reads bytes.")
    parser.add_argument("--inputs", type=int, default=100_000, help="how many for each target (default: %(default)s)")
    parser.add_argument("--target", action="append", choices=[*TARGETS], help="one reader; may be given several times (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="another seed is other inputs (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where failing inputs are kept (default: tests/fuzz/corpus)")
    options = parser.parse_args()
    wrong = 0
    for name in options.target or TARGETS:
        start = time.perf_counter()
        report = long_run(name, options.inputs, options.seed, options.jobs, options.corpus)
        broken, grown = report.verdicts["BROKEN"], report.growth_kib > GROWTH_KIB_MAX
        wrong += bool(broken or grown)
        told = ", ".join(f"{verdict} {count:,}" for verdict, count in report.verdicts.most_common())
        sys.stdout.write(
            f"{name}: {options.inputs:,} inputs of seed {options.seed} in {time.perf_counter() - start:.1f} s, {broken} broken promises, "
            f"memory {report.growth_kib:+,} KiB, slowest {report.slowest_seconds * 1000:.0f} ms: {told}\n"
        )
        sys.stdout.flush()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
