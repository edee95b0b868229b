from __future__ import annotations

from loadgen.markup import document, table, wide
from tests.loadgen.balance import parsed


def test_titles_and_cells_are_text() -> None:
    page = document("<t>", [wide(table(["<h>"], [["<c>"]]))])
    words = parsed(page)
    assert {"<t>", "<h>", "<c>"} <= set(words)
    assert page.startswith("<!doctype html>")
    assert "prefers-color-scheme:dark" in page
