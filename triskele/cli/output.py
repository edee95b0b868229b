"""Standard output that a command may write to as it likes: what goes wrong with it is one line and status 1, in one place.

A disk that is full tells so when a buffer is written, which may be at the very end, when the interpreter leaves and nobody can catch it; so the
last flush is here. Whatever could not be written is dropped then, or the interpreter would try again and complain again.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OutputFailed(Exception):
    """Standard output cannot be written; the message is the line for the user, and empty where the reader has gone: nobody wants to know.

    No ``OSError``: argparse keeps quiet about one when it prints help.
    """

    exit_status = 1


class Output:
    """Stands for a text stream, or the bytes below it: the same, but for errors of the system.

    Raises:
        OutputFailed: From ``write`` and ``flush``.
    """

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    def write(self, data: str | bytes) -> int:
        """Write."""
        return cast("int", self._told(lambda: self._stream.write(data)))

    def flush(self) -> None:
        """Write what is still held back."""
        self._told(self._stream.flush)

    @property
    def buffer(self) -> Output:
        """The bytes below a text stream."""
        return Output(cast("Any", self._stream).buffer)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self._stream, name)

    def _told(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except BrokenPipeError:
            self._drop()
            raise OutputFailed from None
        except OSError as error:
            self._drop()
            raise OutputFailed(f"standard output: {error.strerror or error}") from None

    def _drop(self) -> None:
        """Let what comes, and what is held back, go nowhere."""
        with suppress(OSError):  # a stream in memory has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def checked_output() -> Iterator[None]:
    """Let ``sys.stdout`` be an ``Output`` for the length of the block, and flush it at its end.

    Raises:
        OutputFailed: What was written did not go out; not if the block raises something itself.
    """
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):  # letters that it does not have are told as on standard error
        stream.reconfigure(errors="backslashreplace")
    output = Output(stream if stream is not None else Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - None: who called us closed it
    sys.stdout = cast("Any", output)
    try:
        yield
    except BaseException:
        with suppress(OutputFailed):
            output.flush()
        raise
    else:
        output.flush()
    finally:
        sys.stdout = stream
