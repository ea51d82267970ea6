"""What both sides go through before they are compared: normalisation, filters, characters, and the files that tell of it."""

import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.lang.normalise import Normaliser
from asrtool.score.preparation import Preparation, run_filter
from asrtool.score.sweep import score_words


@pytest.fixture
def decoded(tmp_path):
    """Two utterances of two speakers, and hypotheses that differ from the text in form."""
    data, graph, decode = (tmp_path / name for name in ("data", "graph", "decode"))
    for folder in (data, graph, decode):
        folder.mkdir()
    (data / "utt2spk").write_text("s1-u1 s1\ns2-u2 s2\n")
    (data / "text").write_text("s1-u1 ＫＴＶ 120 块！\ns2-u2 今天 <UNK> 天气\n", encoding="utf-8")
    (graph / "words.txt").write_text("<eps> 0\n")
    (decode / "hyp.txt").write_text("s1-u1 ktv 一百二十块\ns2-u2 今天天器\n", encoding="utf-8")
    return data, graph, decode


def score(decoded, *options):
    return main(["score", "--best-path", "true", *options, *map(str, decoded)])


def test_both_sides_are_normalised(decoded):
    decode = decoded[2]
    chain = "full_width,case,digits,punctuation"
    assert score(decoded, "--metric", "cer", "--normalise", chain) == 0
    best = (decode / "scoring_kaldi" / "best_cer").read_text()
    assert best.startswith("%CER 10.00 [ 1 / 10, 0 ins, 0 del, 1 sub ]")
    scoring = decode / "scoring_kaldi"
    assert (scoring / "test_filt.txt").read_text(encoding="utf-8") == "s1-u1 ktv 一百二十 块\ns2-u2 今天 天气\n"
    assert (scoring / "test_filt.chars.txt").read_text(encoding="utf-8") == "s1-u1 ktv 一 百 二 十 块\ns2-u2 今 天 天 气\n"
    assert (scoring / "cer_details" / "hyp.trn").read_text(encoding="utf-8").endswith("今 天 天 器 (s2-u2)\n")
    details = {path.name: path.read_text(encoding="utf-8").splitlines() for path in (scoring / "cer_details").iterdir()}
    assert details["per_utt"][4:] == [
        "s2-u2 ref  今  天  天  气",
        "s2-u2 hyp  今  天  天  器",
        "s2-u2 op   C  C  C  S",
        "s2-u2 #csid 3 1 0 0",
    ]
    assert details["per_spk"][3].split()[:5] == ["s2", "raw", "1", "4", "3"] and len(details["sys"]) == 14
    assert ["substitution", "气", "器", "1"] in [line.split() for line in details["ops"]] and details["cer_bootci"][0].startswith(
        "Set1: %CER 10.00 95% Conf"
    )
    assert score(decoded, "--metric", "cer", "--normalise", chain, "--latin-words", "false") == 0
    assert (scoring / "best_cer").read_text().startswith("%CER 8.33 [ 1 / 12,")
    # the scored directory can be compared
    assert main(["compare-wer", "--metric", "cer", "--num-samples", "50", str(decode), str(decode)]) == 0


def test_filters_of_either_side(decoded):
    options = ["--ref-filter", "sed 's/ＫＴＶ/ktv/; s/120 块！/一百二十块/; s/今天 /今天/'", "--hyp-filter", "sed 's/器/气/'"]
    assert score(decoded, *options) == 0
    assert (decoded[2] / "scoring_kaldi" / "best_wer").read_text().startswith("%WER 0.00 [ 0 / 3")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo bad >&2; exit 3", "filter 'echo bad >&2; exit 3' failed: bad"),
        ("exit 4", "failed: exit status 4"),
        ("sed 1d", "filter 'sed 1d': u1: expected one line an utterance"),
        ("cut -d' ' -f2-", "expected one line an utterance"),
        ("head -n 1", "filter 'head -n 1': u2: expected"),
    ],
)
def test_filters_that_do_not_fit(command, message):
    with pytest.raises(AsrtoolError) as caught:
        run_filter(command, {"u1": ["a", "b"], "u2": ["c"]})
    assert message in str(caught.value) and run_filter("cat", {"u1": ["a"], "u2": []}) == {"u1": ["a"], "u2": []}


def test_memory_does_not_change_the_score():
    preparation = Preparation(normaliser=Normaliser("lower"), metric="cer")
    references = preparation.references({"u1": ["AB", "今天"], "u2": ["今天"]})
    memory = {}
    for hypotheses in ({"u1": ["ab", "今"], "u2": ["天"]}, {"u1": ["ab", "今"], "u2": []}, {"u2": ["今天"]}):
        remembered = score_words(references, hypotheses, preparation, memory)
        assert remembered == score_words(references, hypotheses, preparation)
    assert len(memory) == 5


def test_unknown_step_is_an_error(decoded, capsys):
    assert score(decoded, "--normalise", "lower,none") == 1
    assert "--normalise none: no such step" in capsys.readouterr().err
