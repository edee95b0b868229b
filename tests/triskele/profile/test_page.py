from __future__ import annotations

import json
import re

from triskele.profile.areas import AREAS
from triskele.profile.document import Bullets, Flame, Heading, Paragraph, Table
from triskele.profile.page import COLOURS, page

TREE = ["</script><b>", 10, "protocol", []]


def test_the_page_needs_nothing_else() -> None:
    text = page("Profile", [Heading("Profile", 1), Flame("replica-0", TREE)])
    assert not re.search(r"(?:src|href)=|https?://|@import|url\(", text)
    assert "function draw(" in text


def test_a_graph_s_data_is_json_inside_its_box_and_cannot_end_it() -> None:
    text = page("x", [Flame("replica-0", TREE), Flame("replica-1", TREE)])
    found = re.findall(r"<script type=application/json>(.*?)</script>", text)
    assert [json.loads(data) for data in found] == [TREE, TREE]
    assert text.count("id=find") == 1


def test_text_is_escaped_and_keeps_its_emphasis() -> None:
    text = page("a<b", [Paragraph("**big** `x<y` <i>"), Bullets(["<u>"]), Table(["<th>"], [["<td>", "1"]])])
    assert "<strong>big</strong> <code>x&lt;y</code> &lt;i&gt;" in text
    assert "<u>" not in text
    assert "<td class=word>&lt;td&gt;</td><td>1</td>" in text
    assert "<title>a&lt;b</title>" in text


def test_every_area_has_a_colour_of_its_own() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == len(AREAS)
