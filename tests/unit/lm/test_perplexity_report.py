"""Perplexity, unknown words and sentence scores of text files of any size."""

import gzip
from collections import Counter

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.lm import arpa_text, token_files
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.counts import count_ngrams
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.perplexity import file_perplexity, perplexity
from asrtool.lm.text import encode, vocabulary_of


def random_text(num_sentences: int, num_words: int, seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    words = np.minimum(random.zipf(1.4, (num_sentences, 12)), num_words)
    return [[f"w{word}" for word in row[: random.integers(1, 12)]] for row in words]


def train(sentences, order, unknown_word=None):
    vocabulary = vocabulary_of(sentences, unknown_word)
    return estimate(count_ngrams(encode(sentences, vocabulary), len(vocabulary), order), vocabulary)[0]


def by_hand(path, order, sentences, unknown_word):
    """log10 probability of sentences from the lines of an ARPA file."""
    probs, weights = {}, {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        fields = line.rstrip("\n").split("\t")
        if len(fields) > 1:
            ngram = tuple(fields[1].split(" "))
            probs[ngram], weights[ngram] = float(fields[0]), float(fields[2]) if len(fields) > 2 else 0.0

    def log10_prob(word, history):
        if (*history, word) in probs:
            return probs[(*history, word)]
        return weights.get(history, 0.0) + log10_prob(word, history[1:])

    total, num_tokens = 0.0, 0
    for sentence in sentences:
        words = ["<s>", *(word if (word,) in probs else unknown_word for word in sentence), "</s>"]
        for i in range(1, len(words)):
            history = words[max(0, i - order + 1) : i]
            history = history[len(history) - history[::-1].index(None) :] if None in history else history
            if words[i] is not None:
                total += log10_prob(words[i], tuple(history))
                num_tokens += 1
    return total, 10.0 ** (-total / num_tokens)


@pytest.mark.parametrize(("unknown_word", "order"), [(None, 3), ("<unk>", 3), (None, 5)])
def test_perplexity_by_hand_from_the_file(tmp_path, unknown_word, order, monkeypatch):
    monkeypatch.setattr(token_files, "BLOCK_BYTES", 300)
    monkeypatch.setattr(arpa_text, "BLOCK_BYTES", 500)
    monkeypatch.setattr(arpa_text, "ROWS", 37)
    path = tmp_path / "lm.arpa.gz"
    write_arpa(path, train(random_text(200, 20, 1), order, unknown_word))
    text = random_text(100, 40, 2)
    (tmp_path / "text").write_text("\n\n".join(map(" ".join, text)))
    scores = []
    result = file_perplexity(read_arpa(path), tmp_path / "text", sentences=scores)
    log10_prob, ppl = by_hand(path, order, text, unknown_word)
    assert result.log10_prob == pytest.approx(log10_prob, rel=1e-9) and result.ppl == pytest.approx(ppl, rel=1e-9)
    known = {f"w{n}" for sentence in random_text(200, 20, 1) for n in [word[1:] for word in sentence]}
    oovs = Counter(word for sentence in text for word in sentence if word not in known)
    assert result.oov_counts == oovs and result.num_oovs == sum(oovs.values()) > 0
    assert result.oov_rate == result.num_oovs / sum(map(len, text))
    assert sum(result.order_counts) == result.num_predicted_words + result.num_sentences
    assert [score.words for score in scores] == text
    assert sum(score.num_oovs for score in scores) == result.num_oovs
    for score, sentence in list(zip(scores, text))[::9]:
        assert score.log10_prob == pytest.approx(by_hand(path, order, [sentence], unknown_word)[0])


def test_report_of_the_verb(tmp_path, capsys):
    write_arpa(tmp_path / "lm.arpa", train([["a", "b"], ["b", "c", "a"]], 2))
    (tmp_path / "text").write_text("u1 a x b x\nu2 y c\nu3\n")
    arguments = ["perplexity", "--utterance-ids", "true", "--top-oovs", "1", "--per-sentence", str(tmp_path / "sentences")]
    assert main([*arguments, str(tmp_path / "lm.arpa"), str(tmp_path / "text")]) == 0
    output = capsys.readouterr().out
    assert "sentences=2 words=6 oovs=3" in output and "oov_rate=50.0000%" in output
    assert output.endswith("\n  oov 2 x\n")
    model = read_arpa(tmp_path / "lm.arpa")
    lines = [line.split("\t") for line in (tmp_path / "sentences").read_text().splitlines()]
    assert [(line[0], line[1], line[4]) for line in lines] == [("4", "2", "a x b x"), ("2", "1", "y c")]
    for line in lines:
        alone = perplexity(model, [line[4].split()])
        assert float(line[2]) == pytest.approx(alone.log10_prob, abs=1e-4) and float(line[3]) == pytest.approx(
            alone.ppl, abs=1e-4
        )


NUMBERS = [0.0, -99.0, -1.0, -0.5, -1234567.0, -0.1234567, -1e-5, -9.999999e-9, -3.0000004, -0.99999996, 12.5, -100.25, 1e-7]


def test_numbers_are_those_that_were_written(tmp_path):
    model = train(random_text(50, 20, 1), 2)
    random = np.random.default_rng(0)
    model.log10_backoff[0][: len(NUMBERS)] = NUMBERS
    model.log10_backoff[0][len(NUMBERS) :] = -(10.0 ** random.uniform(-6, 2, len(model.log10_backoff[0]) - len(NUMBERS)))
    write_arpa(tmp_path / "lm.arpa", model)
    again = read_arpa(tmp_path / "lm.arpa")
    np.testing.assert_allclose(again.log10_backoff[0], model.log10_backoff[0], rtol=5.1e-7, atol=6e-16)
    lines = (tmp_path / "lm.arpa").read_text().splitlines()
    texts = [line.split("\t")[2] if line.count("\t") == 2 else "0" for line in lines[6 : 6 + len(model.log10_backoff[0])]]
    for value, text in zip(model.log10_backoff[0], texts):
        assert float(text) == float(f"{value:.7g}") or abs(value) < 1e-8 or float(text) == pytest.approx(value, rel=5.1e-7)
        assert "e" not in text and len(text) < 20
    write_arpa(tmp_path / "again.arpa", again)
    assert (tmp_path / "again.arpa").read_bytes() == (tmp_path / "lm.arpa").read_bytes()
