"""ARPA files that are odd or damaged, for both who read them: models in memory, and compact models built on the way."""

import gzip
import re

import numpy as np
import pytest
from random_ngrams import random_model
from small_arpa import ARPA

from asrtool.errors import AsrtoolError
from asrtool.lm import arpa_lines, arpa_text
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.arpa_kernels import parse_number
from asrtool.lm.compact_arpa import build_from_arpa
from asrtool.lm.compact_model import CompactNgram


def compact(path, unknown_word=None):
    """The compact model; whatever happens, no scratch file stays."""
    out = path.parent / "out" / "lm.bin"
    try:
        build_from_arpa(path, out, unknown_word=unknown_word)
        return CompactNgram.load(out)
    finally:
        assert {file.name for file in out.parent.iterdir()} <= {out.name}
        out.unlink(missing_ok=True)


both = pytest.mark.parametrize("read", [read_arpa, compact])


@both
def test_what_the_file_says(read, tmp_path):
    (tmp_path / "lm.arpa").write_text(ARPA)
    model = read(tmp_path / "lm.arpa")
    assert model.vocabulary.words == ["<s>", "</s>", "a", "b"] and model.num_ngrams() == [4, 3, 1]
    if read is read_arpa:
        assert [values.tolist() for values in model.log10_prob] == [[-99, -1.5, -1.25, -2], [-0.5, -0.75, -0.25], [-0.125]]
        assert [values.tolist() for values in model.log10_backoff] == [[-0.5, 0, -0.25, 0], [0, 0, 0.5]]
        assert [keys.tolist() for keys in model.keys] == [[2, 9, 11], [3]]


BAD = [
    ("\\data\\", "data\r", "not an ARPA file: no line '\\data\\'"),
    ("ngram 2=3", "ngram 3=3", "line 5: expected 'ngram 2=COUNT', found 'ngram 3=3'"),
    ("ngram 1=4\n", "", "line 4: expected 'ngram 1=COUNT'"),
    ("ngram 2=3", "ngram 2=" + "9" * 5000, "line 5: expected 'ngram 2=COUNT', found 'ngram 2=9999"),
    ("1=4\nngram 2=3", "1=999999999999999\nngram 2=999999999999999", "999999999999999 n-grams over 999999999999999 words are"),
    ("ngram 1=4\nngram 2=3\nngram 3=1\n", "", "no unigrams are declared"),
    ("ngram 1=4", "ngram 1=0", "no unigrams are declared"),
    ("ngram 2=3", "ngram 2=4", "line 14: 3 2-grams, the head declares 4; the file is damaged"),
    ("ngram 2=3", "ngram 2=900000000000000", "line 14: 3 2-grams, the head declares 900000000000000; the file is damaged"),
    ("-2\tb\n", "", "line 8: 3 unigrams, the head declares 4; the file is damaged"),
    ("\\2-grams:", "\\two-grams:", "line 14: expected '\\2-grams:', found '\\two-grams:'"),
    (ARPA[ARPA.index("\\1-grams") : ARPA.index("\\2-grams")], "", "line 8: expected '\\1-grams:', found '\\2-grams:'"),
    (ARPA[ARPA.index("\\3-grams") :], "", "no section '\\3-grams:'; the file is truncated"),
    ("\\end\\\n", "", "no line '\\end\\'; the file is truncated"),
    ("-1.25e0", "1.25x", "line 11: '1.25x' is not a number"),
    ("-1.25e0", "nan", "line 11: 'nan' is not a number"),
    ("-1.25e0", "1_0", "line 11: '1_0' is not a number"),
    ("-1.25e0", "1e999", "line 11: '1e999' is not a number"),
    ("\t-.25", "\t--2", "line 11: '--2' is not a number"),
    ("\t0.5", "\t0.5e", "line 16: '0.5e' is not a number"),
    ("-0.125", "-inf", "line 20: '-inf' is not a number"),
    ("-1.25e0", "0.5", "line 11: log10 probability 0.5 above 0"),
    ("-0.125", "0.125", "line 20: log10 probability 0.125 above 0"),
    ("-2\tb", "-2\tb\t0\t0", "line 12: 4 fields, expected 2 or 3 for a 1-gram"),
    ("a b\t0.5", "a b c d", "line 16: 5 fields, expected 3 or 4 for a 2-gram"),
    ("-0.75\ta </s>", "-0.75\ta", "line 17: 2 fields, expected 3 or 4 for a 2-gram"),
    ("<s> a b", "<s> a b\t-1", "line 20: 5 fields, expected 4 for a 3-gram"),
    ("a </s>", "a c", "line 17: the 2-gram 'a c': the word 'c' is not a unigram"),
    ("a </s>", "a\u3000b c", "line 17: the 2-gram 'a\u3000b c': the word 'a\u3000b' is not a unigram"),
    ("<s> a b", "b a b", "line 20: the 3-gram 'b a b': its first 2 words are no n-gram of the model"),
    ("a </s>", "a b", "line 17: the 2-gram 'a b' occurs twice"),
    ("3=1\n", "3=2\n", "line 19: 1 3-grams, the head declares 2; the file is damaged"),
    ("-2\tb", "-2\ta", "line 12: the unigram 'a' occurs twice"),
    ("</s>\n-1.25", "<e>\n-1.25", "no unigram </s>"),
    ("-99\t<s>", "-99\t<t>", "no unigram <s>"),
    ("-2\tb", "-2\tb\r", "line 12: a carriage return; convert the file to Unix line ends"),
    ("\n", "\r\n", "line 3: a carriage return; convert the file to Unix line ends"),
    ("b", "\udcff", "line 12: not UTF-8"),
]


@both
@pytest.mark.parametrize("rows", [arpa_text.ROWS, 1])
@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=range(len(BAD)))
def test_bad_files_are_refused_with_their_line(read, rows, old, new, message, tmp_path, monkeypatch):
    monkeypatch.setattr(arpa_text, "ROWS", rows)
    text = ARPA.replace(old, new, -1 if new in ("\r\n", "\udcff") else 1)
    assert text != ARPA
    path = tmp_path / "bad.arpa"
    path.write_text(text, errors="surrogateescape", newline="")
    with pytest.raises(AsrtoolError, match=re.escape(message)) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@both
def test_repeated_in_another_block_and_unknown_word_missing(read, tmp_path, monkeypatch):
    path = tmp_path / "bad.arpa"
    path.write_text(ARPA.replace("3=1\n", "3=3\n").replace("a b\n\n\\end", "a b\n-1 <s> a </s>\n-2 <s> a b\n\n\\end"))
    monkeypatch.setattr(arpa_text, "ROWS", 2)
    with pytest.raises(AsrtoolError, match="line 22: the 3-gram '<s> a b' occurs twice"):
        read(path)
    with pytest.raises(AsrtoolError, match="no unigram 'elsewhere' for unknown words"):
        read(path, "elsewhere")


@both
def test_truncated_anywhere(read, tmp_path):
    path = tmp_path / "bad.arpa"
    for size in range(len(ARPA) - len("\\end\\\n")):
        path.write_text(ARPA[:size])
        with pytest.raises(AsrtoolError, match=r"bad\.arpa: .*(truncated|damaged|not an ARPA|declared|no unigram)"):
            read(path)
    packed = gzip.compress(ARPA.encode())
    for size in (20, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:size])
        with pytest.raises(AsrtoolError, match=r"bad\.arpa: damaged \.gz file"):
            read(path)
    with pytest.raises(AsrtoolError, match="none: no such file"):
        read(tmp_path / "none")
    with pytest.raises(AsrtoolError, match="is a folder"):
        read(tmp_path)


@both
def test_damaged_anywhere(read, tmp_path):
    """Whatever is changed, the answer is a model or one clear line."""
    path = tmp_path / "lm.arpa"
    write_arpa(path, random_model(1, 3, 8))
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    num_refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            data[place] = random.choice([0, 9, 10, 13, 32, 45, 46, 48, 57, 92, 95, 101, 110, 195, 255])
        path.write_bytes(data)
        try:
            model = read(path)
        except AsrtoolError as error:
            assert "\n" not in str(error) and str(error).startswith(str(path))
            num_refused += 1
        else:
            if read is read_arpa:
                assert all(np.isfinite(values).all() for values in (*model.log10_prob, *model.log10_backoff))
    assert 60 < num_refused < 200


def test_lines_without_end_do_not_take_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(arpa_lines, "LONGEST_LINE", 100)
    (tmp_path / "zeros").write_bytes(bytes(1000))
    with pytest.raises(AsrtoolError, match="zeros: a line of more than 100 bytes; not an ARPA file"):
        arpa_text.ArpaText(tmp_path / "zeros", block_bytes=100)


def test_unsorted_files_exponents_and_odd_spaces(tmp_path, monkeypatch):
    model = random_model(3, 3, 10)
    write_arpa(tmp_path / "lm.arpa", model)
    lines = (tmp_path / "lm.arpa").read_text().split("\n")
    for order in (2, 3):
        start = lines.index(f"\\{order}-grams:") + 1
        end = start + model.num_ngrams()[order - 1]
        lines[start:end] = lines[start:end][::-1]
        fields = lines[start].split("\t")
        lines[start] = f"  {float(fields[0]):.9e} \t" + "  ".join(fields[1:]) + " \t \x0b\n  "
    (tmp_path / "other.arpa").write_text("\n".join(lines).rstrip("\n"))  # no end of the last line either
    monkeypatch.setattr(arpa_text, "ROWS", 7)
    for block_bytes in (200, 1 << 20):
        monkeypatch.setattr(arpa_text, "BLOCK_BYTES", block_bytes)
        again = read_arpa(tmp_path / "other.arpa")
        for n in range(2):
            np.testing.assert_array_equal(again.keys[n], model.keys[n])
            np.testing.assert_allclose(again.log10_prob[n + 1], model.log10_prob[n + 1], rtol=1e-6)
            np.testing.assert_allclose(again.log10_backoff[n], model.log10_backoff[n], rtol=1e-6, atol=1e-14)


PLAIN = [
    "0",
    "-0",
    "+1.5",
    ".5",
    "5.",
    "-1e-5",
    "1E+3",
    "0e999",
    "0.000",
    "1e22",
    "123456789012345e-22",
    "-99.0000000000000000000",
]
NOT = ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "inf", "nan", "0x1", "1_0", "1e999", "--1", "1 "]


def test_numbers_are_those_of_python():
    random = np.random.default_rng(0)
    exact = [*PLAIN, *(f"{value:.{digits}g}" for value, digits in zip(random.normal(size=500), random.integers(1, 16, 500)))]
    close = [
        *map(repr, (random.normal(size=200) * 10.0 ** random.integers(-200, 200, 200)).tolist()),
        "12345678901234567890123e-30",
    ]

    def parsed(text):
        return parse_number(np.frombuffer(b"x" + text.encode() + b"x", np.uint8), 1, 1 + len(text))

    assert [parsed(text) for text in exact] == [float(text) for text in exact]
    np.testing.assert_allclose([parsed(text) for text in close], [float(text) for text in close], rtol=1e-15)
    assert np.isnan([parsed(text) for text in NOT]).all()
