"""Counting on disk against counting by dictionaries and in memory, and the verb's result whatever the memory and jobs."""

import gzip
from collections import Counter

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.lm import columns, token_files
from asrtool.lm.columns import Scratch, history_blocks
from asrtool.lm.counts import count_ngrams, count_token_files
from asrtool.lm.model_words import ngram_words_of
from asrtool.lm.text import BOS, EOS, Vocabulary, encode, read_sentences
from asrtool.lm.token_files import make_token_files


def write_random_text(path, num_sentences: int, seed: int, num_words: int = 40) -> None:
    random = np.random.default_rng(seed)
    lines = [
        " ".join(f"w{min(word, num_words)}" for word in random.zipf(1.3, random.integers(0, 12))) for _ in range(num_sentences)
    ]
    data = ("\n".join(lines) + "\n" * (seed % 2)).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def texts(tmp_path):
    for seed, name in enumerate(("a", "b.gz", "c")):
        write_random_text(tmp_path / name, 300, seed)
    return [str(tmp_path / name) for name in ("a", "b.gz", "c")]


def by_dictionary(sentences, order, vocabulary):
    """For each order the n-grams within a sentence and the vocabulary, as word ids."""
    found = [Counter() for _ in range(order)]
    for sentence in sentences:
        ids = [vocabulary.ids.get(word, vocabulary.unknown_id) for word in (BOS, *sentence, EOS)]
        for n in range(1, order + 1):
            for i in range(len(ids) - n + 1):
                if -1 not in ids[i : i + n] and (n > 1 or i > 0):
                    found[n - 1][tuple(ids[i : i + n])] += 1
    return found


def check(counts, expected, vocabulary):
    for n in range(1, counts.order + 1):
        words = ngram_words_of(counts.keys[1:], len(vocabulary), n, 0, len(counts.keys[n - 1]))
        ours = dict(zip(map(tuple, words.tolist()), counts.counts[n - 1][:].tolist()))
        assert {ngram: count for ngram, count in ours.items() if count} == expected[n - 1]
        assert int((words[:, 0] == 0).sum()) == counts.num_starting[n - 1] and (words[: counts.num_starting[n - 1], 0] == 0).all()
        if n > 1:
            shorter = ngram_words_of(counts.keys[1:], len(vocabulary), n - 1, 0, len(counts.keys[n - 2]))
            np.testing.assert_array_equal(shorter[counts.suffix[n - 1][:]], words[:, 1:])
            before = Counter(ngram[1:] for ngram in expected[n - 1])
            assert counts.predecessors[n - 2][:].tolist() == [before[tuple(row)] for row in shorter.tolist()]


@pytest.mark.parametrize(("order", "vocabulary"), [(1, None), (2, "open"), (3, "closed"), (5, None), (9, "closed"), (13, None)])
def test_against_dictionaries(texts, tmp_path, order, vocabulary, monkeypatch):
    """In parts of a few kB with several runs and blocks; orders whose windows take up to three 64-bit integers."""
    monkeypatch.setattr(columns, "BLOCK", 50)
    monkeypatch.setattr(token_files, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(token_files, "PART_BYTES", 3000)
    given = {"open": Vocabulary(["w1", "w2", "w9"], "<unk>"), "closed": Vocabulary([f"w{n}" for n in range(1, 9)])}.get(
        vocabulary
    )
    text = make_token_files(texts, tmp_path, given)
    sentences = [sentence for path in texts for sentence in read_sentences(path)]
    counts = count_token_files(text, order, Scratch(tmp_path), memory_gib=4e-5, num_jobs=2)
    assert (text.num_sentences, text.num_words) == (len(sentences), sum(map(len, sentences)))
    check(counts, by_dictionary(sentences, order, text.vocabulary), text.vocabulary)
    in_memory = count_ngrams(encode(sentences, text.vocabulary), len(text.vocabulary), order)
    for n in range(order):
        np.testing.assert_array_equal(in_memory.keys[n], counts.keys[n][:])
        np.testing.assert_array_equal(in_memory.counts[n], counts.counts[n][:])
    if given and given.unknown_id < 0:
        assert text.num_oovs == sum(word not in given.ids for sentence in sentences for word in sentence) > 0


def test_keys_of_many_words(tmp_path):
    """A vocabulary of 18 bits and n-grams of 90: two integers a window, as with real texts."""
    random = np.random.default_rng(3)
    sentences = [[f"{word:06d}" for word in random.integers(0, 150_000, 20)] for _ in range(300)]
    sentences += sentences[:50]
    vocabulary = Vocabulary([f"{word:06d}" for word in range(150_000)])
    counts = count_ngrams(encode(sentences, vocabulary), len(vocabulary), 5)
    check(counts, by_dictionary(sentences, 5, vocabulary), vocabulary)


def test_processes_and_memory_change_nothing(texts, tmp_path, monkeypatch):
    results = []
    for number, (jobs, memory) in enumerate((("1", "2"), ("2", "0.04"))):
        if jobs == "2":
            monkeypatch.setattr(token_files, "PART_BYTES", 4000)
        arpa = tmp_path / f"{number}.arpa"
        arguments = ["train-lm", "--order", "4", "--nj", jobs, "--memory-gib", memory, "--min-counts", "1 1 2", *texts, str(arpa)]
        assert main(arguments) == 0
        results.append(arpa.read_bytes())
    assert results[0] == results[1] and results[0].count(b"\n") > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.arpa", "1.arpa", "a", "b.gz", "c"]  # no scratch files are left


def test_too_little_memory(texts, tmp_path):
    with pytest.raises(AsrtoolError, match=r"--memory-gib 0.001: too little for 1 jobs"):
        count_token_files(make_token_files(texts, tmp_path), 3, Scratch(tmp_path), memory_gib=0.001)


def test_lines_of_errors_in_later_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(token_files, "BLOCK_BYTES", 100)
    for name in ("text", "text.gz"):
        data = b"a b c\n" * 500 + b"a </s> b\n" + b"c\n"
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        assert main(["train-lm", str(tmp_path / name), str(tmp_path / "lm.arpa")]) == 1
        assert f"{name}: line 501: <s> or </s> inside a sentence" in capsys.readouterr().err
    (tmp_path / "text").write_bytes(b"a b c\n" * 500 + b"a \xff b\n")
    assert main(["train-lm", str(tmp_path / "text"), str(tmp_path / "lm.arpa")]) == 1
    assert "text: not UTF-8 at byte 3002" in capsys.readouterr().err
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a b c\n" * 5000)[:-20])
    assert main(["train-lm", str(tmp_path / "cut.gz"), str(tmp_path / "lm.arpa")]) == 1
    assert "cut.gz: damaged .gz file" in capsys.readouterr().err


@pytest.mark.parametrize("disk", [False, True])
def test_blocks_hold_whole_histories(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(columns, "BLOCK", 8)
    column = Scratch(tmp_path if disk else None).column(np.int64)
    keys = np.sort(np.random.default_rng(0).choice(300, 120, replace=False))
    keys = np.unique(np.concatenate([keys, np.arange(40, 80)]))  # one history longer than a block
    for low in range(0, len(keys), 7):
        column.append(keys[low : low + 7])
    parts = list(history_blocks(column.finish(), 40))
    np.testing.assert_array_equal(np.concatenate([part for _, _, part, _ in parts]), keys)
    firsts = [part[starts] // 40 for _, _, part, starts in parts]
    np.testing.assert_array_equal(np.concatenate(firsts), np.unique(keys // 40))
    assert len(parts) > 3
