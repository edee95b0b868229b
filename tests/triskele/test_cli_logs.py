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
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_time_level_and_who(capfd: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("info", "replica 3")
    logging.getLogger("triskele.x").info("port %d", 7)
    logging.getLogger("triskele.x").debug("not shown")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO replica 3: port 7\n", capfd.readouterr().err)


def test_a_traceback_is_part_of_the_record(capfd: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("error", "replica 3")
    try:
        int("planted")
    except ValueError:
        logging.getLogger("triskele.x").exception("it failed")
    assert capfd.readouterr().err.endswith("invalid literal for int() with base 10: 'planted'\n")


def test_a_record_that_cannot_be_formatted_does_not_end_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("info", "replica 3")
    logging.getLogger("triskele.x").info("port %d", "seven")
    assert "Logging error" in capfd.readouterr().err
