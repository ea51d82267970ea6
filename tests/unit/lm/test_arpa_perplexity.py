"""ARPA files, perplexity, and the verbs train-lm and perplexity with what can be wrong with their input."""

import math

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.perplexity import perplexity

TOY = """a header that is passed over

\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-99 <s> -0.5
-1.0\t</s>
-0.5\tA\t-0.25
-0.7\tB

\\2-grams:
-0.1\t<s> A
-0.2\tA </s>
-0.3\tA A

\\end\\
"""


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.arpa"
    path.write_text(TOY)
    return path


def test_perplexity_by_hand(toy, tmp_path, capsys):
    result = perplexity(read_arpa(toy), [["A", "B"], ["C", "A"]])
    # <s> A: -0.1; A B: -0.25 - 0.7; B </s>: -1.0 (B has no back-off weight); C left out; A after it: -0.5; A </s>: -0.2
    assert result.log10_prob == pytest.approx(-0.1 - 0.95 - 1.0 - 0.5 - 0.2)
    assert (result.num_words, result.num_oovs, result.num_sentences, result.order_counts) == (4, 1, 2, [3, 2])
    assert result.ppl == pytest.approx(10 ** (2.75 / 5)) and result.ppl1 == pytest.approx(10 ** (2.75 / 3))
    text = tmp_path / "text"
    text.write_text("utt1 A B\nutt2\nutt3 C A\n")
    assert main(["perplexity", "--utterance-ids", "true", str(toy), str(text)]) == 0
    assert "sentences=2 words=4 oovs=1 logprob=-2.7500" in capsys.readouterr().out


def test_only_unknown_words(toy):
    result = perplexity(read_arpa(toy), [["C"]])
    assert result.ppl == pytest.approx(10.0) and math.isinf(result.ppl1)  # </s> after nothing known: -1.0


def test_unknown_word_is_predicted(toy):
    toy.write_text(TOY.replace("\tB", "\t<unk>"))
    result = perplexity(read_arpa(toy), [["C"]])
    assert result.log10_prob == pytest.approx(-0.5 - 0.7 - 1.0)
    assert (result.num_oovs, result.num_predicted_words) == (1, 1)


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_round_trip(tmp_path, name):
    text = tmp_path / "text"
    text.write_text("我 要 去 北京\n我 要 听 歌\n我 要 去 上海 听 歌\n去 北京\n")
    path = tmp_path / name
    assert main(["train-lm", "--order", "4", "--unknown-word", "<unk>", str(text), str(path)]) == 0
    model = read_arpa(path)
    assert model.num_ngrams()[0] == 10 and model.order == 4
    write_arpa(tmp_path / f"again_{name}", model)
    again = read_arpa(tmp_path / f"again_{name}")
    for ours, theirs in (
        (model.keys, again.keys),
        (model.log10_prob, again.log10_prob),
        (model.log10_backoff, again.log10_backoff),
    ):
        for one, other in zip(ours, theirs):
            np.testing.assert_array_equal(one, other)
    words = model.vocabulary.words
    assert [words[number] for number in model.ngram_words(4)[0]] == ["<s>", "去", "北京", "</s>"]
    assert main(["train-lm", "--order", "4", "--unknown-word", "<unk>", str(text), str(path) + ".2.gz"]) == 0
    if name.endswith(".gz"):
        assert path.read_bytes() == (tmp_path / f"{name}.2.gz").read_bytes()


def test_vocabulary_from_words_txt_and_several_texts(tmp_path, capsys):
    (tmp_path / "words.txt").write_text("<eps> 0\nA 1\nB 2\nC 3\n#0 4\n<s> 5\n</s> 6\n")
    (tmp_path / "one").write_text("A B\n\nB X A\n")
    (tmp_path / "two").write_text("B B A\n")
    arguments = ["train-lm", "--order", "2", "--vocab", str(tmp_path / "words.txt"), str(tmp_path / "one"), str(tmp_path / "two")]
    assert main([*arguments, str(tmp_path / "lm.arpa")]) == 0
    assert "sentences=3 words=8 oovs=1 ngram1=5" in capsys.readouterr().err
    assert read_arpa(tmp_path / "lm.arpa").vocabulary.words == ["<s>", "</s>", "A", "B", "C"]


def test_a_bad_model_is_one_line_of_the_verb(toy, capsys):
    toy.write_text(TOY.replace("-0.5\tA", "-0.x\tA"))
    (toy.parent / "text").write_text("A B\n")
    assert main(["perplexity", str(toy), str(toy.parent / "text")]) == 1
    error = capsys.readouterr().err
    assert f"{toy}: line 10: '-0.x' is not a number" in error and error.count("\n") == 1


BAD_TRAINING = [
    ([], "", "text: no sentences"),
    ([], "\n \n", "text: no sentences"),
    (["--utterance-ids", "true"], "utt1\nutt2\n", "no sentences after the utterance ids"),
    (["--order", "0"], "A B\n", "--order 0: expected 1 or more"),
    (["--order", "5"], "A B\n", "no 5-grams, the sentences are too short; use --order 4 or less"),
    ([], "A\nA <s> B\n", "text: line 2: <s> or </s> inside a sentence"),
    (["--vocab", "{dir}/words"], "C D\n", "none of its words is in"),
    (["--vocab", "{dir}/empty"], "A\n", "empty: no words"),
    (["--vocab", "{dir}/none"], "A\n", "none: no such file"),
    (["--unknown-word", "<s>"], "A\n", "--unknown-word <s>: this word has another use"),
]


@pytest.mark.parametrize(("options", "text", "message"), BAD_TRAINING)
def test_bad_training_input(tmp_path, options, text, message, capsys):
    (tmp_path / "text").write_text(text)
    (tmp_path / "words").write_text("A\nB\n")
    (tmp_path / "empty").write_text("<eps> 0\n#0 1\n")
    options = [option.replace("{dir}", str(tmp_path)) for option in options]
    assert main(["train-lm", *options, str(tmp_path / "text"), str(tmp_path / "lm.arpa")]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "lm.arpa").exists()
