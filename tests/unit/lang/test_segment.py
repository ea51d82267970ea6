"""Splitting into words against all splits of short texts, and what stays together."""

import gzip
import math
import random

import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.lang.segment import Segmenter, read_word_costs, read_words

LETTERS = "天气今明"


def splits(text: str):
    """All ways to cut a text into words."""
    if not text:
        yield ()
    for size in range(1, len(text) + 1):
        for rest in splits(text[size:]):
            yield (text[:size], *rest)


def longest_match(text: str, words) -> list[str]:
    """One word after the other, the slow way."""
    result = []
    while text:
        size = max((n for n in range(1, len(text) + 1) if text[:n] in words), default=1)
        result.append(text[:size])
        text = text[size:]
    return result


@pytest.fixture(scope="module")
def cases():
    """Random lists of words with costs, and texts."""
    generator = random.Random(5)
    lists = [
        {"".join(generator.choices(LETTERS, k=generator.randint(1, 4))): generator.uniform(1, 9) for _ in range(12)}
        for _ in range(12)
    ]
    return [(words, ["".join(generator.choices(LETTERS, k=generator.randrange(9))) for _ in range(12)]) for words in lists]


def test_unigram_is_the_best_of_all_splits(cases):
    for words, texts in cases:
        segmenter = Segmenter(words, "unigram")
        unknown = max(words.values()) + math.log(2)

        def cost(split, words=words, unknown=unknown):
            return sum(words.get(word, unknown if len(word) == 1 else math.inf) for word in split)

        results = segmenter("\n".join(texts) + "\n").split("\n")
        assert len(results) == len(texts) + 1
        for text, result in zip(texts, results):
            assert cost(tuple(result.split())) == pytest.approx(min(map(cost, splits(text))))
            assert result.replace(" ", "") == text


def test_longest_match(cases):
    for words, texts in cases:
        results = Segmenter(words)("\n".join(texts)).split("\n")
        assert results == [" ".join(longest_match(text, words)) for text in texts]


@pytest.mark.parametrize("method", ["longest-match", "unigram"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("播放KTV歌曲", "播放 KTV 歌曲"),
        ("T恤3号", "T恤 3 号"),
        ("MT恤", "MT 恤"),  # T is not parted from M
        ("卡拉OK厅 卡拉OKE", "卡拉OK 厅 卡 拉 OKE"),
        ("hello world 今 天", "hello world 今天"),
        ("don't 今天<UNK>天", "don't 今天 <UNK> 天"),
        ("  今天　天气 \n\n 气\n", "今天 天气\n\n气\n"),
        ("𠀀今天𠀀", "𠀀 今天 𠀀"),
        ("", ""),
    ],
)
def test_what_stays_together(method, text, expected):
    words = dict.fromkeys(["播放", "歌曲", "T恤", "今天", "天气", "卡拉OK", "ell"], 2.0)
    assert Segmenter(words, method)(text) == expected


def test_kept_spaces():
    assert Segmenter({"今天": 1.0}, keep_spaces=True)("今 天 今天\n") == "今 天 今天\n"


def test_word_costs(tmp_path):
    (tmp_path / "counts").write_text("今天 30 t\n天 0\n气 9\n", encoding="utf-8")
    costs = read_word_costs(tmp_path / "counts")
    assert costs == pytest.approx({"今天": -math.log(30 / 40), "天": -math.log(1 / 40), "气": -math.log(9 / 40)})
    unigrams = "-1\t<s>\t-0.5\n-1\t</s>\n-2\t今天\t-0.1\n-3\t<unk>\n"
    arpa = f"\n\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n{unigrams}\n\\2-grams:\n-1\t今天 </s>\n"
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(arpa.encode()))
    assert read_word_costs(tmp_path / "lm.arpa.gz") == pytest.approx({"今天": 2 * math.log(10)})
    (tmp_path / "words.txt").write_text("<eps> 0\n今天 1\n#0 2\n<s> 3\n</s> 4\n", encoding="utf-8")
    assert set(read_words(tmp_path / "words.txt")) == {"今天"}


def test_verb(tmp_path, capsys):
    (tmp_path / "counts").write_text("今天 30\n天气 10\n今 5\n", encoding="utf-8")
    (tmp_path / "text").write_text("u1 今天天气\nu2\nu3 今 天", encoding="utf-8")
    out = tmp_path / "out.gz"
    arguments = ["--lexicon", str(tmp_path / "counts"), "--method", "unigram", "--utterance-ids", "true"]
    assert main(["segment-text", *arguments, str(tmp_path / "text"), str(out)]) == 0
    assert gzip.decompress(out.read_bytes()).decode() == "u1 今天 天气\nu2\nu3 今天\n"
    assert "3 lines, 3 words" in capsys.readouterr().err
    before = out.read_bytes()
    assert main(["segment-text", *arguments, str(tmp_path / "text"), str(out)]) == 0 and out.read_bytes() == before


@pytest.mark.parametrize(
    ("lexicon", "text", "message"),
    [
        (b"\xe4\xbb\x8a x\n", b"a\n", "lexicon: line 1: expected 'word count'"),
        (b"\xe4\xbb\x8a\n", b"a\n", "without counts use --method longest-match"),
        (b"", b"a\n", "the word list is empty"),
        (b"\\data\\\n\n\\2-grams:\n", b"a\n", "no unigrams after"),
        (b"\xff 3\n", b"a\n", "lexicon: not UTF-8"),
        (b"a 1\n", b"\xff\n", "text: not UTF-8"),
    ],
)
def test_bad_input(tmp_path, capsys, lexicon, text, message):
    (tmp_path / "lexicon").write_bytes(lexicon)
    (tmp_path / "text").write_bytes(text)
    paths = [str(tmp_path / name) for name in ("text", "out")]
    assert main(["segment-text", "--lexicon", str(tmp_path / "lexicon"), "--method", "unigram", *paths]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_unknown_method():
    with pytest.raises(AsrtoolError, match="--method shortest: expected one of longest-match, unigram"):
        Segmenter({"a": 1.0}, "shortest")
