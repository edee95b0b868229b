"""A program that takes the flags of ``triskele load`` and has its result at once: a recorded one, with another rate. Run as a file, without site.

Its first argument is the recorded result. ``--threads`` says what it does: 3 fails and says why, 4 never ends, 5 writes nothing, 6 writes its result
and fails, 7 ignores SIGTERM and never ends; anything else succeeds. The rate is a thousand for each command in flight.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

FAILS, HANGS, SILENT, LOSES, DEAF = "3", "4", "5", "6", "7"


def main() -> int:
    recorded, words = Path(sys.argv[1]), sys.argv[2:]
    flags = dict(pairwise(words))
    threads = flags.get("--threads", "")
    if threads == FAILS:
        sys.stderr.write("some line\ntriskele: load: no leader served\n")
        return 1
    if threads in {HANGS, DEAF}:
        if threads == DEAF:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    if threads == SILENT:
        return 0
    result = json.loads(recorded.read_text(encoding="utf-8"))
    result["throughput_per_second"] = 1000.0 * float(flags.get("--pendings", "15"))
    result["told"] = {"words": words, "variables": {name: value for name, value in os.environ.items() if name.startswith("TRISKELE_")}}
    if threads == LOSES:
        result["unknown"] = 3
        sys.stderr.write("triskele: load: 3 have an unknown outcome\n")
    Path(flags["--json"]).write_text(json.dumps(result), encoding="utf-8")
    return 1 if threads == LOSES else 0


if __name__ == "__main__":
    sys.exit(main())
