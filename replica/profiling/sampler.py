"""Samples the main thread's call stack by SIGPROF: after so much processor time of the process, the kernel interrupts it and Python looks.

Python runs a signal's handler between two steps of its interpreter, in the main thread, wherever that is: inside a turn, inside Trio, in a callback.
So the stack is the true one.  Time in native code (a system call, the codec, a ``join``) shows at the call that returned last (``naming`` tells
its name).  Native code that takes longer than a period is interrupted several times and sampled once, so each sample counts for the processor
time since the one before.  Collections count for themselves: their samples arrive in the first callback at the collection's end.

Processor time only: a process that sleeps gets no signal, so idle is what is missing, the length of the recording less the processor time.
The kernel looks at the timer on its clock tick (usually 250 a second): more samples than that it does not give.

Rejected: a sampling thread (see the package), ``sys.setprofile`` (a call for each call), reading another process's memory (needs privileges).
"""

from __future__ import annotations

import signal
import threading
import time
from time import thread_time_ns
from typing import TYPE_CHECKING, ClassVar

import attrs

from replica.profiling.collector import COLLECTOR
from replica.profiling.usage import Usage, usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, FrameType

IN_COLLECTION = -2
"""Stands for the place in the code where a sample fell into a collection."""
STACK_FRAMES_MAX = 250
"""Frames of a sample, from the inside; the rest of a deeper one is left out."""
_COLLECTION_CODE = type(COLLECTOR).on_collection.__code__


class SamplerBusy(Exception):
    """The process is being sampled already, or cannot be: the message says which."""


@attrs.frozen
class Samples:
    """What was seen.

    Attributes:
        main_seconds: processor time of the main thread, what came behind the last sample included.
        codes: ``{id: code}``.
        stacks: ``{(code id, place in its code, …), the innermost first: [samples, processor time in ns]}``.
    """

    started_ns: int
    hz: float
    sampling_seconds: float
    main_seconds: float
    usage: Usage
    codes: Mapping[int, CodeType]
    stacks: Mapping[tuple[int, ...], list[int]]


class Sampler:
    """Samples the main thread of this process from ``start`` to ``stop``; there is one at a time.

    Args:
        hz: samples in a second of processor time.
    """

    _running: ClassVar[Sampler | None] = None

    def __init__(self, hz: float) -> None:
        """Sample nothing yet."""
        self.hz = hz
        self._codes: dict[int, CodeType] = {}
        self._stacks: dict[tuple[int, ...], list[int]] = {}
        self._began_ns = self._last_ns = self._own_ns = self._started_ns = 0
        self._before: Usage | None = None

    @classmethod
    def is_running(cls) -> bool:
        """Whether the process is being sampled."""
        return cls._running is not None

    def start(self) -> None:
        """Begin.

        Raises:
            SamplerBusy: Another one is at work, or this is not the main thread: only that one gets signals.
        """
        if Sampler._running is not None:
            raise SamplerBusy("this process is being profiled already: one profile at a time")
        if threading.current_thread() is not threading.main_thread():
            raise SamplerBusy("only the main thread of a process can be profiled")
        Sampler._running = self
        COLLECTOR.start()
        COLLECTOR.forget_longest()
        signal.signal(signal.SIGPROF, self._on_signal)
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - by position only
        self._started_ns = time.time_ns()
        self._before = usage()
        self._began_ns = self._last_ns = thread_time_ns()
        signal.setitimer(signal.ITIMER_PROF, 1 / self.hz, 1 / self.hz)

    def stop(self) -> Samples:
        """End, and return what was seen. A signal that is still on its way is ignored, as all later ones are: its default would end the process."""
        assert self._before is not None
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        Sampler._running = None
        main_seconds = (thread_time_ns() - self._began_ns) * 1e-9
        used = usage() - self._before
        return Samples(self._started_ns, self.hz, self._own_ns * 1e-9, main_seconds, used, self._codes, self._stacks)

    def _on_signal(self, _number: int, frame: FrameType | None) -> None:
        """Take one sample. The main thread's time only: what other threads used is no business of this stack's."""
        now = thread_time_ns()
        codes = self._codes
        key: list[int] = []
        while frame is not None and len(key) < 2 * STACK_FRAMES_MAX:
            code = frame.f_code
            codes[id(code)] = code
            key += (id(code), frame.f_lasti)
            frame = frame.f_back
        if key and codes[key[0]] is _COLLECTION_CODE:
            del key[:2]  # the watch itself: where a signal that came during the collection is answered, or one that was on its way before
        if COLLECTOR.running:
            codes[id(_COLLECTION_CODE)] = _COLLECTION_CODE
            key[:0] = (id(_COLLECTION_CODE), IN_COLLECTION)
        cell = self._stacks.setdefault(tuple(key), [0, 0])
        cell[0] += 1
        cell[1] += now - self._last_ns
        self._last_ns = thread_time_ns()
        self._own_ns += self._last_ns - now
