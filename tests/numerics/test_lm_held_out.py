"""On real text our Kneser-Ney model is no worse than the interpolated Kneser-Ney trigram another tool made of the same text."""

import pytest

from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.counts import count_ngrams
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.perplexity import perplexity
from asrtool.lm.text import encode, vocabulary_of


@pytest.fixture(scope="module")
def sentences(kaldi_reference, speech_data):
    """Split -> sentences, by the speakers of the reference's splits."""
    corpus = speech_data / "speechocean762" / "train"
    speaker = dict(line.split() for line in (corpus / "utt2spk").read_text().splitlines())
    text = [line.split() for line in (corpus / "text").read_text().splitlines()]
    split = {}
    for name in ("train", "dev", "devtest"):
        speakers = set((kaldi_reference / f"spk_{name}.txt").read_text().split())
        split[name] = [words for utterance, *words in text if speaker[utterance] in speakers]
    return split


def test_trigram_against_another_tools(sentences, kaldi_reference, tmp_path):
    train = sentences["train"]
    vocabulary = vocabulary_of(train)
    model, discounts = estimate(count_ngrams(encode(train, vocabulary), len(vocabulary), 3), vocabulary)
    assert not any(is_fallback for _, is_fallback in discounts)
    write_arpa(tmp_path / "ours.arpa.gz", model)
    ours, other = read_arpa(tmp_path / "ours.arpa.gz"), read_arpa(kaldi_reference / "lang" / "lm3.arpa.gz")
    assert ours.num_ngrams() == other.num_ngrams() == [1741, 8034, 11309]
    for name in ("dev", "devtest"):
        reference, result = perplexity(other, sentences[name]), perplexity(ours, sentences[name])
        assert (result.num_words, result.num_oovs) == (reference.num_words, reference.num_oovs)
        assert 0.8 * reference.ppl < result.ppl < reference.ppl
