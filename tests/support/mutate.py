"""Damage as files suffer it: bits that flip, pieces that are lost, doubled or swapped, numbers and words that make no sense."""

import re
import struct
from collections.abc import Callable
from random import Random

_INTEGERS = (0, 1, -1, 2, 4, 7, 127, 128, 255, 65536, 1 << 20, 1 << 24, (1 << 30) - 1, 1 << 30, (1 << 31) - 1, -(1 << 31))
_LONG_INTEGERS = (*_INTEGERS, 1 << 32, (1 << 32) + 1, 1 << 40, (1 << 62), (1 << 63) - 1, -(1 << 63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"))
_BYTES = (0, 1, 4, 8, 10, 13, 32, 66, 127, 128, 252, 255)
_TOKENS = (
    *(b"0", b"-1", b"1", b"3", b"+5", b"2147483647", b"2147483648", b"-2147483649", b"99999999999", b"1" * 30, b"9" * 400),
    *(b"1_000", "\u00b2".encode(), "\u0663".encode(), b"0x10", b"1.5", b"-0.5", b"nan", b"inf", b"-inf", b"-Infinity"),
    *(b"1e999", b"1e-999", b"1e5", b"1,2", b",", b"_", b"[", b"]", b"(", b")", b"{", b"}", b"<", b">", b"\\", b'"', b"", b"#0"),
    *(b"<eps>", b"</s>", b"\xff\xfe", b"\0", b"\0B", b"\xc3", "\u00e9\u4e2d".encode(), "\u2028".encode(), b"a" * 5000),
    *(b"A:B", b"0:1:2", b"[0:9]"),
)
_WORD = re.compile(rb"[^ \t\r\n]+")


def mutated(data: bytes, random: Random, other: bytes = b"") -> bytes:
    """`data` with one to four kinds of damage, half of the time words and lines where it is text.

    Args:
        other: another file of the same kind, which may be spliced in.
    """
    is_text = b"\0" not in data
    for _ in range(random.choice((1, 1, 1, 2, 2, 4))):
        kinds = _TEXT if is_text and random.random() < 0.6 else _BINARY
        data = random.choice(kinds)(data, random)
        if other and random.random() < 0.02:
            data = data[: _place(data, random)] + other[_place(other, random) :]
    return data


def _place(data: bytes, random: Random) -> int:
    """A position, near the front half of the time: heads say how much follows."""
    size = len(data)
    return random.randrange(min(size, 80) + 1) if random.random() < 0.5 else random.randrange(size + 1)


def _slice(data: bytes, random: Random, longest: int = 64) -> tuple[int, int]:
    begin = _place(data, random)
    return begin, min(begin + random.randrange(1, random.choice((2, 5, 9, longest))), len(data))


def _written(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    at = min(_place(data, random), len(data) - 1)
    return _written(data, at, bytes([data[at] ^ (1 << random.randrange(8))]))


def _set_byte(data: bytes, random: Random) -> bytes:
    return _written(data, _place(data, random), bytes([random.choice((random.choice(_BYTES), random.randrange(256)))]))


def _set_number(data: bytes, random: Random) -> bytes:
    kind, values = random.choice((("<i", _INTEGERS), ("<i", _INTEGERS), ("<q", _LONG_INTEGERS), ("<f", _FLOATS)))
    return _written(data, _place(data, random), struct.pack(kind, random.choice(values)))


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _delete(data: bytes, random: Random) -> bytes:
    begin, end = _slice(data, random)
    return data[:begin] + data[end:]


def _double(data: bytes, random: Random) -> bytes:
    begin, end = _slice(data, random, 300)
    return data[:end] + data[begin:end] * random.choice((1, 1, 3, 100)) + data[end:]


def _insert(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.randbytes(random.choice((1, 1, 2, 4, 5, 40))) + data[at:]


def _swap(data: bytes, random: Random) -> bytes:
    a, b, c, d = sorted(random.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _clear(data: bytes, random: Random) -> bytes:
    begin, end = _slice(data, random)
    return _written(data, begin, bytes([random.choice(_BYTES)]) * (end - begin))


def _words(data: bytes, random: Random) -> tuple[re.Match, re.Match] | None:
    found = list(_WORD.finditer(data[:20000]))
    return (random.choice(found), random.choice(found)) if found else None


def _replace_word(data: bytes, random: Random) -> bytes:
    words = _words(data, random)
    return data[: words[0].start()] + random.choice(_TOKENS) + data[words[0].end() :] if words else data


def _copy_word(data: bytes, random: Random) -> bytes:
    words = _words(data, random)
    return data[: words[0].start()] + words[1][0] + data[words[0].end() :] if words else data


def _double_word(data: bytes, random: Random) -> bytes:
    words = _words(data, random)
    return data[: words[0].end()] + b" " + words[1][0] + data[words[0].end() :] if words else data


def _remove_word(data: bytes, random: Random) -> bytes:
    words = _words(data, random)
    return data[: words[0].start()] + data[words[0].end() :] if words else data


def _join_words(data: bytes, random: Random) -> bytes:
    words = _words(data, random)
    return data[: words[0].end()] + data[words[0].end() + 1 :] if words else data


def _lines(change: Callable[[list[bytes], int, int], None]) -> Callable[[bytes, Random], bytes]:
    def changed(data: bytes, random: Random) -> bytes:
        lines = data.split(b"\n")
        change(lines, random.randrange(len(lines)), random.randrange(len(lines)))
        return b"\n".join(lines)

    return changed


def _swap_lines(lines: list[bytes], one: int, two: int) -> None:
    lines[one], lines[two] = lines[two], lines[one]


def _windows(data: bytes, random: Random) -> bytes:
    return random.choice((data.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + data, data.replace(b" ", b"\t"), b"\n " + data))


_BINARY = (_flip, _flip, _set_byte, _set_byte, _set_number, _set_number, _truncate, _delete, _double, _insert, _swap, _clear)
_TEXT = (
    *(_replace_word, _replace_word, _replace_word, _copy_word, _double_word, _remove_word, _join_words, _windows),
    _lines(lambda lines, one, two: lines.pop(one)),
    _lines(lambda lines, one, two: lines.insert(two, lines[one])),
    _lines(lambda lines, one, two: lines.insert(one, b"")),
    _lines(_swap_lines),
)
