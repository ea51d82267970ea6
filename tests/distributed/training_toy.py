"""A tiny training task on disk: six phones of one state, noisy features around a mean of each. Run it: training_toy.py DIR."""

import sys
from pathlib import Path

import numpy as np

from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import write_alignments
from asrtool.io.kaldi_binary import KaldiWriter
from asrtool.io.kaldi_table import MatrixWriter

NUM_PHONES = 6
DIM = 5

CONFIG = """
model: {{kind: {kind}{sizes}}}
features: {{cmvn: none, delta_order: 0}}
input: {input}
loader: {{num_streams: 4, chunk_windows: 5, batch_windows: 16}}
optimizer: {{max_gradient_norm: 5.0}}
schedule: {{learning_rate: {rate}}}
parallel: {{algorithm: {algorithm}, sync_frames: 90, block_momentum: 0.5}}
checkpoint: {{every_syncs: 2, every_minutes: 0}}
num_epochs: 2
"""


def make_transition_model() -> TransitionModel:
    states = (HmmState(0, 0, ((0, 0.5), (1, 0.5))), HmmState())
    phones = range(1, NUM_PHONES + 1)
    topology = HmmTopology([states], dict.fromkeys(phones, 0))
    return TransitionModel(topology, np.array([(phone, 0, phone - 1, phone - 1) for phone in phones], np.int32))


def make_utterance(generator: np.random.Generator, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features [T, DIM] and transition-ids [T] (a forward transition, then self-loops)."""
    phones = generator.integers(0, NUM_PHONES, generator.integers(3, 9))
    lengths = generator.integers(4, 12, len(phones))
    pdfs = np.repeat(phones, lengths)
    begins = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    tids = 2 * pdfs + 1  # the self-loop comes first in the topology
    tids[begins] += 1
    features = means[pdfs] + 0.7 * generator.standard_normal((len(pdfs), DIM))
    return features.astype(np.float32), tids.astype(np.int32)


def make_toy(directory: Path, kind: str = "lstm", algorithm: str = "bmuf", num_utterances: int = 24) -> Path:
    """Writes ali/, train/, valid/ and config.yaml; returns `directory`."""
    generator = np.random.default_rng(7)
    means = 2.5 * generator.standard_normal((NUM_PHONES, DIM))
    alignments = {}
    for name, count in (("train", num_utterances), ("valid", 6)):
        data = directory / name
        data.mkdir(parents=True)
        lengths = {}
        with MatrixWriter(data / "feats.ark", data / "feats.scp") as writer:
            for index in range(count):
                utterance = f"{name}-{index:03d}"
                features, alignments[utterance] = make_utterance(generator, means)
                lengths[utterance] = len(features)
                writer.write(utterance, features)
        (data / "utt2num_frames").write_text("".join(f"{key} {value}\n" for key, value in lengths.items()))
        (data / "utt2spk").write_text("".join(f"{key} {name}\n" for key in lengths))
    (directory / "ali").mkdir()
    write_alignments(directory / "ali" / "ali.1.gz", alignments)
    with KaldiWriter.open(directory / "ali" / "final.mdl") as writer:
        make_transition_model().write(writer)
    sizes, window, rate = {
        "lstm": (", num_cells: 12, fc_dim: 10", "{left: 1, right: 1, stride: 3, label_delay: 1}", 0.3),
        "dnn": (", num_layers: 3, hidden_dim: 16", "{left: 2, right: 2}", 0.05),
    }[kind]
    (directory / "config.yaml").write_text(CONFIG.format(kind=kind, sizes=sizes, input=window, algorithm=algorithm, rate=rate))
    return directory


if __name__ == "__main__":
    make_toy(Path(sys.argv[1]))
