"""TextGrid files: both text forms, what Praat's reader passes over, and what cannot be read."""

import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.textgrid import Interval, Point, TextGrid, Tier, filled_tier, read_textgrid, write_textgrid

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0~
xmax = 2.5~
tiers? <exists>~
size = 2~
item []:~
    item [1]:
        class = "IntervalTier"~
        name = "words"~
        xmin = 0~
        xmax = 2.5~
        intervals: size = 2~
        intervals [1]:
            xmin = 0~
            xmax = 1.25~
            text = "he said ""8"" "~
        intervals [2]:
            xmin = 1.25~
            xmax = 2.5~
            text = ""~
    item [2]:
        class = "TextTier"~
        name = "marks"~
        xmin = 0~
        xmax = 2.5~
        points: size = 1~
        points [1]:
            number = 0.3~
            mark = "tone\u4e09"~
""".replace("~", " ")  # Praat ends these lines with a blank
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"IntervalTier" ! "a comment" 99
"words"
0 2.5
2
0 1.25 "he said ""8"" "
1.25 2.5 ""
"TextTier" "marks" 0 2.5 1
0.3 "tone\u4e09"
"""
GRID = TextGrid(
    2.5,
    [Tier("words", [Interval(0, 1.25, 'he said "8" '), Interval(1.25, 2.5, "")]), Tier("marks", [Point(0.3, "tone\u4e09")])],
)


@pytest.mark.parametrize("text", [LONG, SHORT, LONG.replace("\n", "\r\n")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_both_forms_and_encodings(tmp_path, text, encoding):
    (tmp_path / "a.TextGrid").write_bytes(text.encode(encoding))
    assert read_textgrid(tmp_path / "a.TextGrid") == GRID


def test_written_as_praat_writes(tmp_path):
    write_textgrid(tmp_path / "a.TextGrid", GRID)
    assert (tmp_path / "a.TextGrid").read_text(encoding="utf-8") == LONG


def test_tiers_by_name_and_labelled_entries():
    assert GRID.tier("phones", "WORDS") is GRID.tiers[0] and GRID.tier("phones") is None
    assert [one.label for one in GRID.tiers[0].labelled] == ['he said "8" ']
    assert GRID.tiers[1].has_points and not GRID.tiers[0].has_points


def test_gaps_are_filled():
    tier = filled_tier("phones", [Interval(0.5, 1.0, "a"), Interval(0.9, 1.5, "b"), Interval(1.5000000001, 2.0, "c")], 3.0)
    assert [one.label for one in tier.entries] == ["", "a", "b", "c", ""]
    assert all(one.end_s == two.start_s for one, two in zip(tier.entries, tier.entries[1:]))
    assert (tier.entries[0].start_s, tier.entries[-1].end_s) == (0, 3.0)
    assert filled_tier("empty", [], 1.0).entries == [Interval(0.0, 1.0, "")]


BAD = {
    "truncated: a label is due": LONG[:330],
    "line 18: a quotation mark that is never closed": LONG.replace('"he said ""8"" "', '"he said', 1).split("intervals [2]")[0],
    "times run backwards at 1.25 s": LONG.replace("xmax = 1.25", "xmax = 2.25"),
    "expected the number of tiers, found -1": LONG.replace("size = 2 \nitem", "size = -1 \nitem"),
    "truncated: a time is due": LONG.replace("points: size = 1", "points: size = 1000000000"),
    "IntervalTier or TextTier, found 'Pitch'": LONG.replace('"TextTier"', '"Pitch"'),
    "expected xmin, found '0'": LONG.replace("xmin = 0", 'xmin = "0"', 1),
    "not a TextGrid in Praat's text form": LONG.replace('"TextGrid"', '"PitchTier"', 1),
    "not UTF-8 at byte": LONG.encode("utf-8") + b"\xff",
    "in Praat's binary form": b"ooBinaryFile\x08TextGrid\0\0",
    '"ooTextFile" is due': b"",
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_read(tmp_path, message):
    content = BAD[message]
    (tmp_path / "bad.TextGrid").write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(AsrtoolError) as caught:
        read_textgrid(tmp_path / "bad.TextGrid")
    assert str(caught.value).startswith(f"{tmp_path}/bad.TextGrid: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)
