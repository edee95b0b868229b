from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from triskele.cli.logs import log_to_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def keep_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)


def test_a_line_has_time_level_and_who(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("info", "replica 3")
    logging.getLogger("triskele.x").info("port %d", 7)
    logging.getLogger("triskele.x").debug("not shown")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO replica 3: port 7\n", capsys.readouterr().err)
