"""What a run says: around each fault what users noticed, and everything that is not as it should be.

A run passes when every promise held *and* it could have been broken: each fault was felt by somebody, and strong commands completed after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from loadgen.report import CHECKED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from triskele.agreement import Agreement
    from triskele.chaos.schedule import Fault
    from triskele.chaos.striking import Ending, Strike
    from triskele.chaos.timeline import Completions

SCHEMA = "triskele.chaos/1"
AGAIN_SECONDS_MAX = 15.0
"""From the end of a fault, though others may have followed it, until a strong command completes."""
_AFTER_SECONDS = 1.0


def judge(
    seconds: float,
    schedule: Sequence[Fault],
    strikes: Sequence[Strike],
    endings: Sequence[Ending],
    completions: Completions,
    check: Mapping[str, Any],
    agreement: Agreement,
    stopped: str = "",
) -> dict[str, Any]:
    """Return the part of the result that is about what happened.

    Args:
        seconds: Of the load.
        schedule: What was to happen.
        strikes: What happened.
        endings: Of processes.
        completions: Of commands.
        check: Verdicts on the history.
        agreement: Of the replicas' states at the end.
        stopped: What ended the run before its time, in words: then it has not passed, and what was to come later is not asked for.
    """
    faults = [felt(strike, completions) for strike in strikes]
    problems = [
        *([stopped] if stopped else []),
        *_broken(check),
        *(f"replica {ending.replica} {ending.words} at {ending.at:.1f} s, and no fault explains it" for ending in endings if not ending.expected),
    ]
    if not stopped:
        unequal = [f"the replicas' states are {agreement.verdict} at the end: {agreement.why or agreement.hashes}"]
        problems += [*([] if agreement.verdict == "equal" else unequal), *(problem for fault in faults for problem in _not_served(fault))]
        problems += _vacuous(schedule, faults, completions)
        problems += [f"the check is vacuous: {check['vacuous']}"] if check["vacuous"] else []
    return {
        "passed": not problems,
        "partial": bool(stopped),
        "problems": problems,
        "operations": len(completions.strong) + len(completions.causal),
        "strong": len(completions.strong),
        "causal": len(completions.causal),
        "longest_strong_silence_seconds": completions.silence(0.0, seconds),
        "faults": faults,
        "endings": [attrs.asdict(ending) for ending in endings],
        "throughput_series": completions.series(seconds),
        "check": dict(check),
        "agreement": attrs.asdict(agreement),
    }


def felt(strike: Strike, completions: Completions) -> dict[str, Any]:
    """Return a fault as the report has it: ``fault, hit, began, ended, touched``, and what users noticed.

    ``again_seconds``: from its end until a strong command completed, None if none did; ``strong_silence_seconds``: the longest time without one
    that touches it; ``rate_before``, ``rate_during``, ``rate_after``: completions a second, in the second before, meanwhile, in the second after
    it served again.
    """
    again = completions.again(strike.ended)
    served = strike.ended + (again or 0.0)
    return {
        **strike.as_json(),
        "again_seconds": again,
        "strong_silence_seconds": completions.silence(strike.began, served),
        "rate_before": completions.rate(strike.began - _AFTER_SECONDS, strike.began),
        "rate_during": completions.rate(strike.began, strike.ended),
        "rate_after": completions.rate(served, served + _AFTER_SECONDS),
    }


def _broken(check: Mapping[str, Any]) -> list[str]:
    found = []
    for name in CHECKED:
        if check[name] != "yes":
            why = check["reasons"].get(name) or check["counterexamples"].get(name, {}).get("why", "")
            found.append(f"{name.replace('_', ' ')}: {check[name]}{' (' + why + ')' if why else ''}")
    return found


def _not_served(fault: Mapping[str, Any]) -> list[str]:
    again, name = fault["again_seconds"], f"fault {fault['fault']['number']} ({fault['fault']['nemesis']})"
    if again is None:
        return [f"no strong command completed after {name}"]
    if again > AGAIN_SECONDS_MAX:
        return [f"strong commands completed only {again:.1f} s after {name}"]
    return []


def _vacuous(schedule: Sequence[Fault], faults: Sequence[Mapping[str, Any]], completions: Completions) -> list[str]:
    """Say why the run proves nothing."""
    found = [
        f"fault {fault['fault']['number']} ({fault['fault']['nemesis']}) touched nothing: it proves nothing"
        for fault in faults
        if not fault["touched"]
    ]
    if not schedule:
        found.append("there was no time for a fault: the run proves nothing")
    if len(faults) < len(schedule):
        found.append(f"{len(faults)} of {len(schedule)} faults struck")
    if not completions.strong or not completions.causal:
        found.append("no strong, or no causal, command completed: the run proves nothing")
    return found
