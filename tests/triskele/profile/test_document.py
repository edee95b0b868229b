from __future__ import annotations

from typing import TYPE_CHECKING

from triskele.profile.document import Bullets, Flame, Heading, Paragraph, Table, markdown, plain

if TYPE_CHECKING:
    from triskele.profile.document import Block

BLOCKS: list[Block] = [
    Heading("Title", 1),
    Paragraph("Some **words**."),
    Bullets(["one", "two"]),
    Table(["what", "a|b", "n"], [["x", "y|z", "1"], ["long name", "w", "1,000"]], words=2),
    Flame("graph", ["graph", 1, "", []]),
]


def test_markdown_has_everything_but_the_graphs() -> None:
    assert markdown(BLOCKS) == (
        "# Title\n\nSome **words**.\n\n- one\n- two\n\n| what | a/b | n |\n| --- | --- | ---: |\n| x | y/z | 1 |\n| long name | w | 1,000 |\n"
    )


def test_plain_text_lines_its_columns_up() -> None:
    assert plain(BLOCKS).splitlines()[-3:] == ["what       a|b      n", "x          y|z      1", "long name  w    1,000"]
    assert plain(BLOCKS).startswith("TITLE\n\nSome")
