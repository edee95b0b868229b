"""Judging many inputs, each by itself and with the processor time that it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

Judge = Callable[[bytes], str]
Tell = Callable[[bytes, str | Exception, float], None]
"""Is told an input, its verdict or what came out instead, and the seconds of processor time it took."""
Judging = Callable[[Iterable[bytes], Tell], None]


def one_by_one(judge: Judge) -> Judging:
    """Return a judging that gives a judge one input after the other."""

    def judge_all(inputs: Iterable[bytes], tell: Tell) -> None:
        for data in inputs:
            begun = time.process_time()
            verdict: str | Exception
            try:
                verdict = judge(data)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                verdict = error
            tell(data, verdict, time.process_time() - begun)

    return judge_all
