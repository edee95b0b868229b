"""JSON lines over a pipe: how client processes and their parent speak. A module of its own because it is light to import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import trio

_RECEIVE_BYTES: Final = 1 << 16


class JsonLines:
    """The JSON lines of a stream, until it ends; an async iterator that may be left at any time."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._rest = b""

    def __aiter__(self) -> JsonLines:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            data = await self._stream.receive_some(_RECEIVE_BYTES)
            if not data:
                raise StopAsyncIteration
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        decoded: dict[str, Any] = json.loads(line)
        return decoded
