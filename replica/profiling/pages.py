"""The admin pages that profile a running replica: what each takes, its limits, one at a time.

``GET /debug/pprof/profile?seconds=&hz=&format=`` samples the main thread; ``GET /debug/pprof/heap?seconds=&format=`` traces allocations for so long;
``GET /debug/tasks?format=`` is the nursery tree.  They are GETs although the first two cost something while they run, because that is how
``go tool pprof URL`` and its relatives ask.  Whoever hangs up ends what it asked for.
"""

from __future__ import annotations

import json
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from replica.admin import Later, Page, Stream, json_page, text_page
from replica.profiling import pprof
from replica.profiling.heap import TracingBusy, trace_heap
from replica.profiling.naming import name_samples
from replica.profiling.sampler import Sampler, SamplerBusy
from replica.profiling.tasks import task_text, task_tree
from replica.profiling.text_formats import collapsed_pieces, speedscope_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from replica.profiling.recording import Recording

    Query = Mapping[str, str]

CONFLICT = 409
SECONDS_DEFAULT, SECONDS_MIN, SECONDS_MAX = 30.0, 0.05, 300.0
HZ_DEFAULT, HZ_MIN, HZ_MAX = 100.0, 1.0, 1000.0
HEAP_SECONDS_MAX = 60.0
FORMATS = ("pprof", "speedscope", "collapsed", "json")
HEAP_FORMATS = ("pprof", "collapsed")
PPROF, JSON, TEXT = "application/octet-stream", "application/json", "text/plain; charset=utf-8"
HEAP_IS_OFF = """\
allocations are not traced: that costs half of the speed. Say for how long: /debug/pprof/heap?seconds=5 traces for 5 s (less if it becomes much), \
then tells what was allocated in that time and is still there
"""


class WrongQuery(Exception):
    """A value of the query is not allowed; the message names it."""


@attrs.define(eq=False)
class Profiling:
    """The pages of one replica.

    Attributes:
        name: of the process, for the files.
        counters: its running totals; those at both ends go into ``format=json``.
    """

    name: str
    counters: Callable[[], Mapping[str, object]]
    _busy: str = ""  # what is being done
    _until: float = 0.0  # Trio's time at which it will be over

    @property
    def routes(self) -> dict[str, Callable[[Query], Page | Stream | Later]]:
        """What a GET asks for."""
        return {"/debug/pprof/profile": self.profile, "/debug/pprof/heap": self.heap, "/debug/tasks": self.tasks}

    @property
    def parameters(self) -> dict[str, frozenset[str]]:
        """What each takes."""
        return {
            "/debug/pprof/profile": frozenset({"seconds", "hz", "format"}), "/debug/pprof/heap": frozenset({"seconds", "format"}),
            "/debug/tasks": frozenset({"format"}),
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------------------------ processor time

    def profile(self, query: Query) -> Page | Later:
        """Sample the main thread; 400 for a value that is not allowed, 409 while another profile is taken."""
        try:
            seconds = number_of(query, "seconds", SECONDS_DEFAULT, SECONDS_MIN, SECONDS_MAX)
            hz = number_of(query, "hz", HZ_DEFAULT, HZ_MIN, HZ_MAX)
            format_ = choice_of(query, FORMATS)
        except WrongQuery as error:
            return text_page(f"{error}\n", 400)
        return self._obstacle() or Later(lambda: self._profile(seconds, hz, format_))

    async def _profile(self, seconds: float, hz: float, format_: str) -> Page | Stream:
        sampler = Sampler(hz)
        before = self.counters()
        try:
            sampler.start()
        except SamplerBusy as error:
            return text_page(f"{error}\n", CONFLICT)
        with self._at_work(f"a profile of {seconds:g} s", seconds):
            try:
                await trio.sleep(seconds)
            finally:
                samples = sampler.stop()
            after = self.counters()
            naming = name_samples(samples)
            while True:
                try:
                    next(naming)
                except StopIteration as ended:
                    return self._written(ended.value, format_, before, after)
                await trio.lowlevel.checkpoint()

    def _written(self, recording: Recording, format_: str, before: Mapping[str, object], after: Mapping[str, object]) -> Stream:
        if format_ == "speedscope":
            return Stream(JSON, _generator(speedscope_pieces(recording, self.name)))
        if format_ == "collapsed":
            return Stream(TEXT, _generator(collapsed_pieces(recording)))
        if format_ == "json":
            return Stream(JSON, _with_counters(recording, before, after))
        return Stream(PPROF, gzipped(pprof.pieces(pprof.profile_of(recording, self.name))))

    # ---------------------------------------------------------------------------------------------------------------------- memory

    def heap(self, query: Query) -> Page | Later:
        """Trace allocations for ``seconds``; 400 without it, since tracing is never on by itself."""
        try:
            if "seconds" not in query:
                return text_page(HEAP_IS_OFF, 400)
            seconds = number_of(query, "seconds", SECONDS_DEFAULT, SECONDS_MIN, HEAP_SECONDS_MAX)
            format_ = choice_of(query, HEAP_FORMATS)
        except WrongQuery as error:
            return text_page(f"{error}\n", 400)
        return self._obstacle() or Later(lambda: self._heap(seconds, format_))

    async def _heap(self, seconds: float, format_: str) -> Page | Stream:
        with self._at_work(f"a trace of allocations of {seconds:g} s", seconds):
            try:
                recording = await trace_heap(seconds)
            except TracingBusy as error:
                return text_page(f"{error}\n", CONFLICT)
        told = {"X-Traced-Seconds": f"{recording.seconds:.3f}"}
        if format_ == "collapsed":
            return Page(200, TEXT, recording.collapsed(), told)
        return Page(200, PPROF, b"".join(gzipped(pprof.pieces(recording.profile()))), told)

    # ----------------------------------------------------------------------------------------------------------------------- tasks

    def tasks(self, query: Query) -> Page:
        """Show every task and where it waits."""
        try:
            format_ = choice_of(query, ("text", "json"))
        except WrongQuery as error:
            return text_page(f"{error}\n", 400)
        tree = task_tree()
        return json_page(tree) if format_ == "json" else text_page(task_text(tree))

    # ---------------------------------------------------------------------------------------------------------------- one at a time

    def _obstacle(self) -> Page | None:
        if not self._busy:
            return None
        left = max(0.0, self._until - trio.current_time())
        return text_page(f"{self._busy} is being taken and needs {left:.1f} s more: one at a time\n", CONFLICT)

    @contextmanager
    def _at_work(self, what: str, seconds: float) -> Generator[None, None, None]:
        self._busy, self._until = what, trio.current_time() + seconds
        try:
            yield
        finally:
            self._busy = ""


def number_of(query: Query, name: str, default: float, least: float, most: float) -> float:
    """Return a number of the query.

    Raises:
        WrongQuery: It is none, or out of its range.
    """
    text = query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise WrongQuery(f"{name} {text}: must be a number from {least:g} to {most:g}")
    return value


def choice_of(query: Query, choices: tuple[str, ...]) -> str:
    """Return the query's ``format``, the first choice without it.

    Raises:
        WrongQuery: It is none of the choices.
    """
    text = query.get("format", choices[0])
    if text not in choices:
        raise WrongQuery(f"format {text}: must be one of {', '.join(choices)}")
    return text


def gzipped(parts: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Compress piece by piece; quickly, because turns wait."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _with_counters(recording: Recording, before: Mapping[str, object], after: Mapping[str, object]) -> Generator[bytes, None, None]:
    yield (json.dumps({"before": before, "after": after})[:-1] + ', "recording": ').encode()
    yield from recording.json_pieces()
    yield b"}\n"


def _generator(parts: Iterable[bytes]) -> Generator[bytes, None, None]:
    yield from parts
