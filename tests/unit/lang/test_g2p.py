"""Grapheme-to-phoneme models: alignment and search against enumeration, a language of rules, the commands, bad input."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.lang import g2p
from asrtool.lang.g2p import G2p, piece_name
from asrtool.lang.g2p_align import SHAPES, UNEVEN, cut_words
from asrtool.lang.g2p_lexicon import hold_out, read_entries
from asrtool.lang.g2p_train import G2pOptions, train_g2p
from asrtool.lm.arpa import read_arpa
from asrtool.score.g2p import score_g2p

WORDS = [
    ("thx", "TKS"),
    ("the", "TE"),
    ("x", "KS"),
    ("tax", "TEKS"),
    ("hat", "HET"),
    ("that", "TET"),
    ("ate", "ET"),
    ("at", "ET"),
]


def cuts(letters, phones):
    """All ways to cut a word, as lists of (letters, phones)."""
    if not letters:
        return [[]] if not phones else []
    return [
        [(tuple(letters[:a]), tuple(phones[:b])), *rest]
        for a, b in SHAPES
        if a <= len(letters) and b <= len(phones)
        for rest in cuts(letters[a:], phones[b:])
    ]


def test_alignment_is_that_of_enumeration():
    all_cuts = [cuts(letters, phones) for letters, phones in WORDS]
    # every arc of the grid counts at first, used or not
    counts = defaultdict(float)
    for letters, phones in WORDS:
        for i, j, (a, b) in itertools.product(range(len(letters)), range(len(phones) + 1), SHAPES):
            if i + a <= len(letters) and j + b <= len(phones):
                counts[tuple(letters[i : i + a]), tuple(phones[j : j + b])] += 1.0
    likelihoods, total = [], sum(counts.values())
    counts = {piece: count * (1.0 if len(piece[0]) == len(piece[1]) else UNEVEN) for piece, count in counts.items()}
    for _ in range(5):
        probability = {piece: count / total for piece, count in counts.items()}
        counts = defaultdict(float)
        likelihoods.append(0.0)
        for ways in all_cuts:
            weights = [math.prod(probability.get(piece, 0.0) for piece in way) for way in ways]
            likelihoods[-1] += math.log(sum(weights)) / len(WORDS)
            for way, weight in zip(ways, weights):
                for piece in way:
                    counts[piece] += weight / sum(weights)
        total = sum(counts.values())
    cut = cut_words([letters for letters, _ in WORDS], [phones for _, phones in WORDS], num_iterations=5)
    assert cut.log_likelihood == pytest.approx(likelihoods, rel=1e-9)
    assert all(later > earlier for earlier, later in itertools.pairwise(likelihoods[1:]))

    def cost(way):
        return sum(-math.log(max(counts[piece], 1e-300) / total) * max(map(len, piece)) for piece in way)

    for ways, sequence in zip(all_cuts, cut.sequences):
        assert cost([cut.pieces[piece] for piece in sequence]) == pytest.approx(min(map(cost, ways)), rel=1e-9)


def test_words_that_cannot_be_cut():
    cut = cut_words([("m", "r"), ("a",)], [("M", "IH", "S", "T", "ER"), ("A",)])
    assert cut.sequences[0] == [] and [cut.pieces[piece] for piece in cut.sequences[1]] == [(("a",), ("A",))]


def test_every_letter_has_a_piece_of_its_own():
    words = [("th", "T"), ("the", "TE"), ("eth", "ET"), ("e", "E")]
    cut = cut_words([letters for letters, _ in words], [phones for _, phones in words])
    used = {cut.pieces[piece][0] for sequence in cut.sequences for piece in sequence}
    assert ("t", "h") in used and ("t",) not in used
    assert {letters for letters, _ in cut.pieces} == used | {("t",), ("h",)}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("g2p") / "g2p.arpa"
    train_g2p([(letters, tuple(phones)) for letters, phones in WORDS], path, G2pOptions(order=3))
    return path


@pytest.mark.parametrize("word", ["that", "thax", "hax", "hatehat"])
def test_search_sums_over_all_cuts(small, word, monkeypatch):
    monkeypatch.setattr(g2p, "MARGIN", math.inf)
    model, reference = G2p.load(small), read_arpa(small)
    pieces = defaultdict(list)
    for name in reference.vocabulary.words[2:]:
        letters, _, phones = name.rpartition("}")
        pieces[letters.replace("|", "")].append((name, () if phones == "_" else tuple(phones.split("|"))))

    def ways(rest):
        if not rest:
            yield [], ()
        for length in range(1, len(rest) + 1):
            for (name, phones), (names, others) in itertools.product(pieces.get(rest[:length], []), list(ways(rest[length:]))):
                yield [name, *names], phones + others

    total = defaultdict(float)
    ids = reference.vocabulary.ids
    for names, phones in ways(word):
        tokens = np.array([ids[name] for name in ("<s>", *names, "</s>")])
        total[phones] += 10.0 ** reference.log10_probs(tokens)[0].sum()
    expected = sorted(((share / sum(total.values()), phones) for phones, share in total.items() if phones), reverse=True)
    found = model.pronounce(word, n_best=10, beam=100000)
    spoken = sum(share for share, _ in expected)
    assert [share for _, share in found] == pytest.approx([share / spoken for share, _ in expected[:10]], rel=1e-4)
    assert {tuple(phones) for phones, _ in found[:1]} == {expected[0][1]}
    # a narrow beam finds the same best one here
    assert G2p.load(small).pronounce(word, beam=20)[0][0] == list(expected[0][1])


def sound(word):
    """A language with rules: c is S before e and i, ch is CH, x is K S, a final e is silent."""
    phones, place = [], 0
    while place < len(word):
        letter, following = word[place], word[place + 1 : place + 2]
        if letter == "c" and following == "h":
            phones.append("CH")
            place += 1
        elif letter == "x":
            phones += ["K", "S"]
        elif letter == "c":
            phones.append("S" if following and following in "ei" else "K")
        elif letter != "e" or following:
            phones.append(letter.upper())
        place += 1
    return tuple(phones)


@pytest.fixture(scope="module")
def ruled():
    rng = np.random.default_rng(0)
    words = sorted({"".join(rng.choice(list("acehiotx"), rng.integers(3, 8))) for _ in range(1500)})
    return [(word, sound(word)) for word in words if sound(word)]


def test_a_language_of_rules_is_learned(ruled, tmp_path):
    rest, held_out = hold_out(ruled, 0.1)
    assert len(held_out) == round(0.1 * len(ruled)) and not set(held_out) & {word for word, _ in rest}
    train_g2p(rest, tmp_path / "g2p.arpa.gz")
    errors = score_g2p(G2p.load(tmp_path / "g2p.arpa.gz"), held_out, n_best=3)
    assert errors.num_words == len(held_out) and errors.num_phones == sum(len(phones[0]) for phones in held_out.values())
    assert errors.word_errors <= 0.02 * errors.num_words and errors.phone_errors <= 0.005 * errors.num_phones
    assert errors.n_best_errors <= errors.word_errors


def test_letters_the_model_lacks(small):
    model = G2p.load(small)
    assert model.spell("ThAt") == list("that") and model.spell("t-h'at.") == list("that")
    assert model.pronounce("THAT") == model.pronounce("that") == model.pronounce("that!")
    for word in ("zat", "北京", "t2", "", "-"):
        assert model.pronounce(word, 3) == []
    assert model.unknown_letters("zat") == "the letters z"
    phones, probability = model.pronounce("that")[0]
    assert phones == ["T", "E", "T"] and 0.5 < probability < 1.0
    everything = model.pronounce("that", 1000)
    assert sum(share for _, share in everything) == pytest.approx(1.0) and len({tuple(pron) for pron, _ in everything}) == len(
        everything
    )


def test_binary_model_is_the_same(small, tmp_path):
    assert main(["build-lm-binary", str(small), str(tmp_path / "g2p.bin")]) == 0
    assert G2p.load(tmp_path / "g2p.bin").pronounce("that", 5) == G2p.load(small).pronounce("that", 5)


def test_same_lexicon_same_model(small, tmp_path):
    train_g2p([(letters, tuple(phones)) for letters, phones in WORDS], tmp_path / "again.arpa", G2pOptions(order=3))
    assert (tmp_path / "again.arpa").read_bytes() == small.read_bytes()


def write_dictionary(directory, ruled):
    directory.mkdir()
    entries = [("<UNK>", ("SPN",)), ("hm", ("SPN",)), *ruled]
    (directory / "lexicon.txt").write_text("".join(f"{word} {' '.join(phones)}\n" for word, phones in entries))
    phones = sorted({phone for _, pron in ruled for phone in pron})
    (directory / "nonsilence_phones.txt").write_text("\n".join(phones) + "\n")
    (directory / "silence_phones.txt").write_text("SIL\nSPN\n")
    (directory / "optional_silence.txt").write_text("SIL\n")


def test_commands(ruled, tmp_path, capsys):
    write_dictionary(tmp_path / "dict", ruled[:400])
    model, words = tmp_path / "exp" / "g2p.arpa.gz", tmp_path / "words"
    assert main(["train-g2p", "--held-out", "0.1", "--order", "4", str(tmp_path / "dict"), str(model)]) == 0
    log = capsys.readouterr().err
    assert "held out: phone error rate" in log and "of 40 words" in log and "entries=400 left_out=0" in log
    words.write_text("cache 7\nex\nzoo\n\nex\n")
    assert main(["apply-g2p", str(model), str(words), "-"]) == 0
    out, log = capsys.readouterr()
    assert out == "cache K A CH\nex E K S\n" and "zoo: no pronunciation" in log and "2 words done, 1 failed" in log
    options = ["--probabilities", "true", "--nbest", "4", "--max-normalize", "true"]
    assert main(["apply-g2p", *options, str(model), str(words), str(tmp_path / "lexiconp.txt")]) == 0
    lines = [line.split() for line in (tmp_path / "lexiconp.txt").read_text().splitlines()]
    assert lines[0] == ["cache", "1", "K", "A", "CH"] and 2 <= len([line for line in lines if line[0] == "ex"]) <= 4
    shares = [float(line[1]) for line in lines if line[0] == "ex"]
    assert shares[0] == 1.0 and shares == sorted(shares, reverse=True)
    assert main(["apply-g2p", "--nbest", "9", "--var-mass", "0.5", str(model), str(words), "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) < 2 * 9
    (tmp_path / "silprob").mkdir()
    for name, numbers in (("lexiconp.txt", "0.5"), ("my_lexiconp_silprob.txt", "0.5 0.1 1.2 0.9"), ("my.lex", "")):
        lines = [f"{word} {numbers} {' '.join(phones)}\n" for word, phones in ruled[:10]]
        (tmp_path / "silprob" / name).write_text("".join(lines))
        assert read_entries(tmp_path / "silprob" / name) == ruled[:10]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a|b", ("A",))], "word 'a|b': | and } cannot be letters"),
        ([("a", ("A}",))], "word 'a': phone 'A}': rename it"),
        ([("a", ("_",))], "phone '_': rename it"),
        ([("m", ("M", "IH", "S"))], "no entry whose letters and phones can be aligned"),
    ],
)
def test_entries_that_do_not_fit(entries, message, tmp_path):
    with pytest.raises(AsrtoolError) as caught:
        train_g2p(entries, tmp_path / "g2p.arpa")
    assert message in str(caught.value) and not (tmp_path / "g2p.arpa").exists()


def test_models_and_options_that_do_not_fit(small, tmp_path, capsys):
    with pytest.raises(AsrtoolError, match="no such file or directory; train a model"):
        G2p.load(tmp_path / "none")
    (tmp_path / "lm.arpa").write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 word\n\n\\end\\\n")
    with pytest.raises(AsrtoolError, match="the word 'word' is not letters}phones"):
        G2p.load(tmp_path / "lm.arpa")
    (tmp_path / "empty.txt").write_text("<UNK> SPN\n")
    model = str(tmp_path / "g2p.arpa")
    for arguments, message in (
        (["train-g2p", "--held-out", "1", str(tmp_path / "empty.txt"), model], "expected 0 <= held-out < 1"),
        (["train-g2p", "--order", "0", str(tmp_path / "empty.txt"), model], "--order 0"),
        (["train-g2p", str(tmp_path / "empty.txt"), model], "no words to learn from"),
        (["apply-g2p", "--nbest", "0", str(small), str(tmp_path / "empty.txt"), "-"], "--nbest 0"),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err


def test_piece_names():
    assert piece_name(("t", "h"), ("TH",)) == "t|h}TH" and piece_name(("e",), ()) == "e}_"
    assert piece_name(("x",), ("K", "S")) == "x}K|S"
