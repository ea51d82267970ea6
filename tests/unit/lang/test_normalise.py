"""Steps of normalisation by hand, and read numbers against a table."""

import pytest

from asrtool.errors import AsrtoolError
from asrtool.lang.normalise import Normaliser, read_cardinal


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        ("full_width,lower", "ＫＴＶ　３号", "ktv 3号"),
        ("punctuation", "你好，世界！ don’t 'stop' re-do", "你好 世界 don't stop re do"),
        ("case,punctuation", "Hello, World.", "hello world"),
        ("upper", "straße", "STRASSE"),
        ("latin_spaces", "播放KTV歌曲3首 T恤", "播放 KTV 歌曲 3 首 T 恤"),
        ("compose", "cafe\u0301", "café"),
        ("digits", "120 块", "一百二十 块"),
        ("digits", "涨了3.05%", "涨了百分之三点零五"),
        ("digits", "2024年 10月 2024 年 15年", "二零二四年 十月 二零二四 年 十五年"),
        ("digits", "拨打13800138000 编号007 1,234,567", "拨打一三八零零一三八零零零 编号零零七 一百二十三万四千五百六十七"),
        ("digits", "mp3 5g T3 a1b", "mp3 5g T3 a1b"),
        ("full_width,digits,punctuation", "（３．５）", "三点五"),
        ("digits_one_by_one", "120 mp3", "一二零 mp3"),
        ("subwords", "▁he llo ▁wor ld", "hello world"),
        ("subwords", "hello world", "hello world"),
        ("lower,punctuation", "A <UNK> B! [Noise] !SIL C-D", "a <UNK> b [Noise] !SIL c d"),
        ("", "As It, Is", "As It, Is"),
    ],
)
def test_steps(names, text, expected):
    normaliser = Normaliser(names)
    assert normaliser(text.split()) == expected.split()
    assert normaliser(text.split()) == expected.split()  # from memory
    assert normaliser(expected.split()) == expected.split()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "零"), (7, "七"), (10, "十"), (11, "十一"), (20, "二十"), (101, "一百零一"), (110, "一百一十"), (1001, "一千零一"),
        (1010, "一千零一十"), (10000, "一万"), (10010, "一万零一十"), (100000, "十万"), (110000, "十一万"),
        (10001000, "一千万一千"),
        (20030040, "二千零三万零四十"), (100000001, "一亿零一"), (1000010000, "十亿零一万"), (10**12, "一万亿"),
        (10**12 + 10**8, "一万零一亿"), (10**16, "一零零零零零零零零零零零零零零零零"),
    ],
)  # fmt: skip
def test_numbers_by_hand(number, text):
    assert read_cardinal(number) == text


def value(text: str) -> int:
    """What a number in hanzi says."""
    digits, units = "零一二三四五六七八九", {"十": 10, "百": 100, "千": 1000}
    for big, size in (("亿", 10**8), ("万", 10**4)):
        if big in text:
            left, right = text.rsplit(big, 1) if big == "亿" else text.split(big, 1)
            return value(left) * size + (value(right) if right else 0)
    total, digit = 0, 0
    for character in text:
        if character in units:
            total += (digit or 1) * units[character]
            digit = 0
        else:
            digit = digits.index(character)
    return total + digit


def test_numbers_read_back():
    numbers = [*range(0, 12000, 7), *(3**power for power in range(32)), *(10**power + 10 ** (power // 2) for power in range(16))]
    assert all(value(read_cardinal(number)) == number for number in numbers)


def test_unknown_step():
    with pytest.raises(AsrtoolError, match="--normalise upside_down: no such step; known: full_width"):
        Normaliser("lower,upside_down")
