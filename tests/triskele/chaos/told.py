"""A result of ``triskele chaos``, made by hand from two faults."""

from __future__ import annotations

from typing import Any

from loadgen.report import CHECKED
from triskele.agreement import Agreement
from triskele.chaos.judgement import SCHEMA, judge
from triskele.chaos.schedule import Fault
from triskele.chaos.striking import Ending, Strike
from triskele.chaos.timeline import Completions

SECONDS = 8.0
SCHEDULE = [
    Fault(number=1, at=1.0, lasts=1.0, nemesis="kill", target="leader"),
    Fault(number=2, at=3.0, lasts=1.0, nemesis="half-open", target="1", outgoing=False),
]
STRIKES = [
    Strike(fault=SCHEDULE[0], hit=(2,), began=1.0, ended=2.0, touched=1),
    Strike(fault=SCHEDULE[1], hit=(1,), began=3.0, ended=4.0, touched=7),
]
ENDINGS = [Ending(replica=2, at=1.0, words="was killed by SIGKILL", expected=True)]
COMPLETIONS = Completions(strong=[0.5, 0.9, 1.4, 2.1, 4.5, 4.6, 7.9], causal=[0.1, 5.0])
CHECK: dict[str, Any] = {**dict.fromkeys(CHECKED, "yes"), "operations_checked": 9, "reasons": {}, "counterexamples": {}, "vacuous": None}


def judged(**changes: Any) -> dict[str, Any]:
    given = {
        "seconds": SECONDS, "schedule": SCHEDULE, "strikes": STRIKES, "endings": ENDINGS, "completions": COMPLETIONS, "check": CHECK,
        "agreement": Agreement("equal", 9, {0: "aa"}),
    }  # fmt: skip
    return judge(**{**given, **changes})


def result(**changes: Any) -> dict[str, Any]:
    settings = {
        "replicas": 3, "seconds": SECONDS, "seed": 5, "nemeses": ["kill", "half-open"], "left_out": {"slow-disk": "strace is not installed"},
        "durability": "disk", "mode": "ho", "load": "--rate 9",
    }  # fmt: skip
    return {"schema": SCHEMA, "settings": settings, "failed": 1, "unknown": 2, "cluster_folder": None, **judged(**changes)}
