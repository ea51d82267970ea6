"""The direct reader gives the pipeline's own numbers; what it cannot read goes through the pipeline, errors too."""

import numpy as np
import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import cmvn_stats
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.io.kaldi_table import MatrixWriter, write_matrix_file
from asrtool.loader.corpus import ShardedFeatures
from asrtool.loader.loader import Loader, LoaderConfig
from asrtool.loader.shard_reader import ShardReader
from asrtool.loader.table import UtteranceTable
from asrtool.nnet.input import InputOptions

LENGTHS = [40, 1, 3, 77, 9, 120]
DIM = 5


def make_data(path, method=2, text=False):
    """A data directory of six utterances and two speakers, with CMVN statistics."""
    path.mkdir(exist_ok=True)
    random = np.random.default_rng(3)
    matrices = {f"s{i % 2}-u{i}": (random.standard_normal((n, DIM)) * 3 + 10).astype(np.float32) for i, n in enumerate(LENGTHS)}
    with MatrixWriter(path / "f.ark", path / "feats.scp", None if text else method, text) as writer:
        for name, matrix in matrices.items():
            writer.write(name, matrix)
    stats = {s: sum(cmvn_stats(m) for name, m in matrices.items() if name.startswith(s)) for s in ("s0", "s1")}
    with MatrixWriter(path / "c.ark", path / "cmvn.scp") as writer:
        for speaker, matrix in stats.items():
            writer.write(speaker, matrix)
    write_matrix_file(path / "global_cmvn", sum(stats.values()))
    (path / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in matrices))
    (path / "utt2num_frames").write_text("".join(f"{name} {len(matrix)}\n" for name, matrix in matrices.items()))
    return path


def read_all(features, dtype=np.float32):
    names, lengths = features.utterances(), np.array([features.num_frames(name) for name in features.utterances()])
    random = np.random.default_rng(4)
    mean, inverse = random.standard_normal((2, features.dim)).astype(np.float32)
    output = np.full((lengths.sum(), features.dim), np.nan, dtype)
    ShardReader(features).read(names, lengths, mean, inverse, output)
    return output, np.concatenate([(features(name) - mean) * inverse for name in names])


@pytest.mark.parametrize("method", [None, 1, 2, 3, 5])
@pytest.mark.parametrize(
    "options",
    [
        FeatureOptions(),
        FeatureOptions(norm_vars=True),
        FeatureOptions(cmvn="none", delta_order=0),
        FeatureOptions(cmvn="global", delta_order=1, delta_window=3),
        FeatureOptions(cmvn="none", delta_order=3, delta_window=1),
    ],
)
def test_direct_reading_equals_the_pipeline_bit_for_bit(tmp_path, monkeypatch, method, options):
    features = FeaturePipeline(make_data(tmp_path / "data", method), options)
    expected = read_all(features)[1]

    def unwanted(self, utterance):
        raise AssertionError(f"{utterance} went through the pipeline")

    monkeypatch.setattr(FeaturePipeline, "process", unwanted)
    names, lengths = features.utterances(), np.array(LENGTHS)
    mean, inverse = np.random.default_rng(4).standard_normal((2, features.dim)).astype(np.float32)
    output = np.empty((lengths.sum(), features.dim), np.float32)
    ShardReader(features).read(names, lengths, mean, inverse, output)
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("options", [FeatureOptions(cmvn="utterance"), FeatureOptions(splice_left=1, splice_right=2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_other_options_go_through_the_pipeline(tmp_path, options, dtype):
    output, expected = read_all(FeaturePipeline(make_data(tmp_path / "data"), options), dtype)
    np.testing.assert_array_equal(output, expected.astype(dtype))


def test_text_archives_and_row_ranges_go_through_the_pipeline(tmp_path):
    path = make_data(tmp_path / "data", text=True)
    output, expected = read_all(FeaturePipeline(path))
    np.testing.assert_array_equal(output, expected)
    path = make_data(tmp_path / "data")
    lines = (path / "feats.scp").read_text().splitlines()
    lines[3] += "[10:19]"
    (path / "feats.scp").write_text("\n".join(lines) + "\n")
    lengths = (path / "utt2num_frames").read_text().replace(" 77", " 10")
    (path / "utt2num_frames").write_text(lengths)
    output, expected = read_all(FeaturePipeline(path))
    assert len(output) == sum(LENGTHS) - 67
    np.testing.assert_array_equal(output, expected)


def damaged(path, what):
    """Damages utterance s1-u3 (s1 where the speaker is meant); returns the message that is due."""
    if what == "truncated":
        data = (path / "f.ark").read_bytes()
        (path / "f.ark").write_bytes(data[: data.index(b"s1-u3") + 60])
        return r"f\.ark: s1-u3: truncated"
    if what == "no archive":
        (path / "f.ark").unlink()
        return r"feats\.scp: .*f\.ark: no such file"
    if what == "length":
        table = (path / "utt2num_frames").read_text().replace("u3 77", "u3 78")
        (path / "utt2num_frames").write_text(table)
        return r"^s1-u3: features of shape \(77, 15\), expected \(78, 15\); make utt2num_frames and the features again$"
    if what == "speaker":
        (path / "cmvn.scp").write_text((path / "cmvn.scp").read_text().split("\n")[0] + "\n")
        return r"cmvn\.scp: s1-u1: speaker 's1' is not in it"
    if what == "missing":
        lines = (path / "feats.scp").read_text().splitlines()
        (path / "feats.scp").write_text("\n".join(line for line in lines if not line.startswith("s1-u3")) + "\n")
        return r"feats\.scp: s1-u3: not in this table"
    position = (path / "f.ark").read_bytes().index(b"s1-u3") + len("s1-u3 \0BFM ") + 10 + 4 * 12
    with open(path / "f.ark", "r+b") as file:
        file.seek(position)
        file.write(np.float32(np.nan).tobytes())
    return r"f\.ark: s1-u3: NaN or infinity in frame 2"


@pytest.mark.parametrize("what", ["truncated", "no archive", "length", "speaker", "missing", "nan"])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_are_those_of_the_pipeline(tmp_path, what, prefetch):
    path = make_data(tmp_path / "data", None if what == "nan" else 2)
    names = FeaturePipeline(path).utterances()
    message = damaged(path, what)
    features = FeaturePipeline(path)
    lengths = np.array([features.num_frames(name) for name in names])
    if what == "truncated":  # the readers look at the first utterance for the dimension
        assert features.dim == 15
    if what == "no archive":
        with pytest.raises(AsrtoolError, match=message):
            ShardReader(features)
        return
    table = UtteranceTable(names, lengths, [np.zeros(n, np.int32) for n in lengths])
    for gib in (1.0, 100 * 15 * 4 / 2**30):
        source = ShardedFeatures(features, table, gib, shard_frames=50)
        loader = Loader(source, InputOptions(), LoaderConfig(num_streams=2, prefetch=prefetch), True, None)
        with pytest.raises(AsrtoolError, match=message) as caught:
            list(loader.epoch(0))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("half", [False, True])
def test_half_is_rounded_once(tmp_path, half):
    features = FeaturePipeline(make_data(tmp_path / "data"))
    names, lengths = features.utterances(), np.array(LENGTHS)
    source = ShardedFeatures(features, UtteranceTable(names, lengths, [np.zeros(n, np.int32) for n in lengths]), 1.0, half)
    source.moments()
    mean, scale = torch.full((15,), 0.3), torch.full((15,), 1.7)
    source.normalise(mean, scale)
    expected = (torch.from_numpy(np.concatenate([features(name) for name in names])) - mean) * scale
    assert torch.equal(source.load([0]).features_ND, expected.half() if half else expected)
