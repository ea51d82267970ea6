"""Compact n-gram models against models as sorted arrays and against the definition."""

import gzip
import json

import numpy as np
import pytest
from random_ngrams import SlowModel, random_model
from small_arpa import ARPA

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable
from asrtool.lm import compact_build
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.compact_arpa import build_from_arpa
from asrtool.lm.compact_kernels import advance, final_cost, read_bits
from asrtool.lm.compact_model import CompactNgram
from asrtool.lm.compact_quantise import bounds_between, centres_of
from asrtool.lm.compact_sort import KeyFile
from asrtool.lm.text import encode

LN_10 = np.log(10.0)
ORDERS = [(1, 1.0), (2, 0.5), (3, 0.3), (4, 0.25), (6, 0.3), (9, 0.25)]


def random_sentences(model, seed, count=200):
    random = np.random.default_rng(seed)
    words = [word for word in model.vocabulary.words if not word.startswith("<")] + ["elsewhere"]
    return [[words[number] for number in random.integers(0, len(words), random.integers(0, 12))] for _ in range(count)]


@pytest.mark.parametrize("order, share", ORDERS)
@pytest.mark.parametrize("unknown_word", [None, "<unk>"])
def test_costs_are_those_of_the_model_as_sorted_arrays(order, share, unknown_word):
    model = random_model(order, order, 5, share, unknown_word)
    tokens = encode(random_sentences(model, 7), model.vocabulary).tokens
    expected = np.where(tokens < 0, np.inf, -LN_10 * model.log10_probs(tokens)[0])
    costs = CompactNgram.from_model(model).token_costs(tokens)
    assert np.isfinite(costs).all() == (unknown_word is not None)
    np.testing.assert_allclose(costs, expected, rtol=3e-7, atol=2e-6)


@pytest.mark.parametrize("order, share", ORDERS)
def test_states_are_the_histories_that_the_model_tells_apart(order, share):
    model = random_model(order + 20, order, 4, share)
    slow, compact = SlowModel(model), CompactNgram.from_model(model)
    assert compact.num_states == len(slow.contexts | {()})
    assert compact.num_ngrams() == model.num_ngrams()
    random = np.random.default_rng(3)
    state_of_context = {slow.context((0,)): compact.start_state}
    for _ in range(100):
        history, state = [0], compact.start_state
        for word in random.integers(2, 6, 15).tolist():
            assert final_cost(compact.arrays, state) == pytest.approx(slow.cost(history, 1), abs=1e-5)
            state, cost = advance(compact.arrays, state, word)
            assert cost == pytest.approx(slow.cost(history, word), abs=1e-5)
            history.append(word)
            assert state_of_context.setdefault(slow.context(history), state) == state
    assert len(set(state_of_context.values())) == len(state_of_context)
    assert advance(compact.arrays, compact.start_state, -1) == (0, np.inf)


def test_words_of_a_symbol_table():
    model = CompactNgram.from_model(random_model(1, 2, 3, unknown_word="<unk>"))
    words = SymbolTable({"<eps>": 0, "w1": 1, "new": 2, "<s>": 3, "#0": 4, "<unk>": 5, "w0": 7}, "words.txt")
    ids = model.vocabulary.ids
    assert model.word_ids(words).tolist() == [-1, ids["w1"], ids["<unk>"], -1, -1, ids["<unk>"], -1, ids["w0"]]
    assert model.word_ids(words).dtype == np.int32
    closed = CompactNgram.from_model(random_model(1, 2, 3))
    assert closed.word_ids(words).tolist() == [-1, 3, -1, -1, -1, -1, -1, 2]
    assert closed.sentence_cost(["new"]) == np.inf


@pytest.mark.parametrize("bits", [2, 8, 12])
def test_quantised_values_are_centres_and_few_distinct_values_stay_exact(bits):
    model = random_model(5, 4, 6, 0.5)
    tokens = encode(random_sentences(model, 8), model.vocabulary).tokens
    tokens = tokens[tokens >= 0]
    exact, rounded = CompactNgram.from_model(model), CompactNgram.from_model(model, bits)
    assert rounded.bits == bits and exact.bits == 0 and rounded.num_states == exact.num_states
    error = np.abs(rounded.token_costs(tokens) - exact.token_costs(tokens))
    assert {2: 0.2, 8: 0.001, 12: 0}[bits] <= error.max() <= {2: 9, 8: 0.1, 12: 0.005}[bits]
    assert rounded.data.nbytes < exact.data.nbytes
    for values in (*model.log10_prob[1:], *model.log10_backoff):
        values[:] = np.round(values)
    few = CompactNgram.from_model(model, 8)
    assert np.array_equal(few.token_costs(tokens), CompactNgram.from_model(model).token_costs(tokens))


def test_centres():
    values = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    centres = centres_of(values, 16, exact=(0.0,))
    assert len(centres) == 16 and 0.0 in centres and np.all(np.diff(centres) > 0)
    nearest = np.abs(values[:, None] - centres).argmin(1)
    assert np.array_equal(np.searchsorted(bounds_between(centres), values), nearest)
    # the best quantiser of 16 levels for a normal distribution has a distortion of 0.0095 (Max 1960)
    assert np.mean((values - centres[nearest]) ** 2) < 0.0115
    assert centres_of(np.full(99, 2.5, np.float32), 4).tolist() == [2.5]


def test_fields_at_all_places():
    random = np.random.default_rng(1)
    for width in (1, 7, 31, 32, 33, 63):
        values = [int(value) for value in random.integers(0, 1 << width, 20, dtype=np.uint64)]
        whole = sum(value << (index * width) for index, value in enumerate(values))
        data = np.frombuffer(whole.to_bytes(8 * 22, "little"), "<u8")
        assert [read_bits(data, index * width, width) for index in range(20)] == values


def test_saved_and_loaded(tmp_path):
    model = CompactNgram.from_model(random_model(2, 3, unknown_word="<unk>"), 8)
    model.save(tmp_path / "lm.bin")
    loaded = CompactNgram.load(tmp_path / "lm.bin")
    assert all(np.array_equal(*pair) for pair in zip(model.arrays, loaded.arrays))
    assert loaded.vocabulary.words == model.vocabulary.words and loaded.vocabulary.unknown_id == model.vocabulary.unknown_id
    assert not any(array.flags.writeable for array in (*model.arrays, *loaded.arrays))
    assert [path.name for path in tmp_path.iterdir()] == ["lm.bin"]
    assert loaded.bytes_per_ngram * sum(loaded.num_ngrams()) <= (tmp_path / "lm.bin").stat().st_size


def test_a_model_without_words(tmp_path):
    text = "\\data\\\nngram 1=2\n\n\\1-grams:\n-99 <s>\n0 </s>\n\n\\end\\\n"
    (tmp_path / "a.arpa").write_text(text)
    build_from_arpa(tmp_path / "a.arpa", tmp_path / "a.bin")
    assert CompactNgram.load(tmp_path / "a.bin").sentence_cost([]) == 0


def test_damaged_files_say_so(tmp_path):
    path = tmp_path / "lm.bin"
    CompactNgram.from_model(random_model(2, 3)).save(path)
    whole = path.read_bytes()
    with pytest.raises(AsrtoolError, match="no such model"):
        CompactNgram.load(tmp_path / "other")
    with pytest.raises(AsrtoolError, match="a directory"):
        CompactNgram.load(tmp_path)
    for size in (0, 10, 100, 5000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(AsrtoolError, match=r"truncated|not a compact n-gram model"):
            CompactNgram.load(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(AsrtoolError, match="bytes"):
        CompactNgram.load(path)
    random = np.random.default_rng(0)
    used = [*range(16, 250), *random.integers(4096, len(whole), 100).tolist()]
    for place in used:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.integers(0, 8)
        path.write_bytes(damaged)
        if place < 4096 or not is_padding(place, whole):
            with pytest.raises(AsrtoolError, match=r"damaged|version|truncated"):
                CompactNgram.load(path)


def is_padding(place, whole):
    head = json.loads(whole[28:4096].rstrip(b"\0"))
    sizes = {"<u8": 8, "<i8": 8, "<f4": 4, "|u1": 1}
    return not any(
        section["at"] <= place < section["at"] + int(np.prod(section["shape"])) * sizes[section["dtype"]]
        for section in head["arrays"].values()
    )


@pytest.mark.parametrize("name, bits", [("a.arpa", 0), ("a.arpa.gz", 8)])
def test_streamed_build_is_the_same_as_from_the_model(tmp_path, name, bits, monkeypatch):
    """Blocks so small that each section takes several, n-grams in no order, so that they are sorted in several parts."""
    model = random_model(3, 4, 30, 0.05, "<unk>")
    write_arpa(tmp_path / name, model)
    model = read_arpa(tmp_path / name)
    if bits:
        shuffle_sections(tmp_path / name, model)
    monkeypatch.setattr(KeyFile.__init__, "__defaults__", (100,))
    assert build_from_arpa(tmp_path / name, tmp_path / "out.bin", bits, block_bytes=3000) == model.num_ngrams()
    loaded, expected = CompactNgram.load(tmp_path / "out.bin"), CompactNgram.from_model(model, bits)
    assert loaded.vocabulary.words == expected.vocabulary.words
    assert loaded.vocabulary.unknown_id == expected.vocabulary.unknown_id >= 0
    assert all(np.array_equal(*pair) for pair in zip(loaded.arrays, expected.arrays))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out.bin"])


def shuffle_sections(path, model):
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    random = np.random.default_rng(0)
    for order in range(2, model.order + 1):
        first = lines.index(f"\\{order}-grams:") + 1
        section = lines[first : first + model.num_ngrams()[order - 1]]
        lines[first : first + len(section)] = [section[row] for row in random.permutation(len(section))]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def test_hand_computation(tmp_path):
    (tmp_path / "a.arpa").write_text(ARPA)
    build_from_arpa(tmp_path / "a.arpa", tmp_path / "a.bin")
    model = CompactNgram.load(tmp_path / "a.bin")
    assert model.sentence_cost(["a", "b"]) == pytest.approx(LN_10 * (0.5 + 0.125 - 0.5 + 1.5), rel=1e-6)
    assert model.sentence_cost(["b", "a"]) == pytest.approx(LN_10 * (0.5 + 2 + 1.25 + 0.75), rel=1e-6)
    assert model.sentence_cost(["a", "a"]) == pytest.approx(LN_10 * (0.5 + 0.25 + 1.25 + 0.75), rel=1e-6)
    assert model.num_states == 5  # (), <s>, a, <s> a, a b


def test_verb(tmp_path, capsys):
    (tmp_path / "a.arpa").write_text(ARPA)
    assert main(["build-lm-binary", "--bits", "8", str(tmp_path / "a.arpa"), str(tmp_path / "a.bin")]) == 0
    assert "ngram1=4 ngram2=3 ngram3=1 states=5" in capsys.readouterr().err
    assert CompactNgram.load(tmp_path / "a.bin").bits == 8
    assert main(["build-lm-binary", "--bits", "1", str(tmp_path / "a.arpa"), str(tmp_path / "a.bin")]) == 1
    assert "expected 2 to 16" in capsys.readouterr().err


def test_too_high_orders_are_refused():
    with pytest.raises(AsrtoolError, match="order 21"):
        compact_build.build([compact_build.Level(*[np.empty(0)] * 3)] * 21, 0, np.zeros)
