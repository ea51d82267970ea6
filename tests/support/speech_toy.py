"""A tiny speech task on disk: lexicon, tree, decoding graph, features with known alignments, a network that half knows them.

Six words of two or three phones of three states, a monophone tree, a unigram graph. Features are the mean of their pdf and noise.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asrtool.decoder.aligner import align_equally
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.fst.csr import CsrGraph
from asrtool.graph.hclg import make_hclg
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.topology import HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import write_alignments
from asrtool.io.kaldi_binary import KaldiWriter
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.io.symbols import SymbolTable
from asrtool.lang.prepare import LangOptions, prepare_lang
from asrtool.nnet.input import InputOptions, utterance_windows
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.registry import make_model
from asrtool.sequence.options import SpeechPaths
from asrtool.tree.context_dependency import monophone_context_dependency

LEXICON = {"ab": "a b", "ba": "b a", "cab": "c a b", "dad": "d a d", "bcd": "b c d", "acd": "a c d"}
DIM = 6


@dataclass
class SpeechToy:
    """The files under `root`: dict, lang, ali (tree, final.mdl, ali.1.gz), graph, data (features, text), model.pt."""

    root: Path
    model: TransitionModel
    alignments: dict[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        return sorted(self.alignments)

    def paths(self, **others) -> SpeechPaths:
        root = self.root
        usual = {"model": root / "model.pt", "data_dir": root / "data", "ali_dir": root / "ali", "lang_dir": root / "lang"}
        return SpeechPaths(**{**usual, "graph_dir": root / "graph", **others})


def make_speech_toy(root: Path, num_utterances: int = 20, noise: float = 2.0, steps: int = 12) -> SpeechToy:
    """Writes all of it.

    Args:
        noise: standard deviation of the features around means that are about 4 apart.
        steps: of the network's training, few so that it errs.
    """
    lang = _write_lang(root)
    topology = HmmTopology.read_file(lang / "topo")
    sets = [[int(phone) for phone in line.split()] for line in (lang / "phones/sets.int").read_text().splitlines()]
    tree = monophone_context_dependency(sets, topology)
    model = TransitionModel.from_tree(tree, topology)
    (root / "ali").mkdir()
    tree.write_file(root / "ali" / "tree")
    with KaldiWriter.open(root / "ali" / "final.mdl") as writer:
        model.write(writer)
    make_hclg(lang, root / "ali" / "tree", root / "ali" / "final.mdl", root / "graph")
    alignments = _write_data(root / "data", TrainingGraphCompiler(lang, tree, model), model, num_utterances, noise)
    write_alignments(root / "ali" / "ali.1.gz", alignments)
    save_model(root / "model.pt", _train(root / "data", alignments, model, steps))
    return SpeechToy(root, model, alignments)


def _write_lang(root: Path) -> Path:
    dictionary = root / "dict"
    dictionary.mkdir(parents=True)
    (dictionary / "lexicon.txt").write_text("<UNK> SPN\n" + "".join(f"{word} {phones}\n" for word, phones in LEXICON.items()))
    (dictionary / "silence_phones.txt").write_text("SIL\nSPN\n")
    (dictionary / "optional_silence.txt").write_text("SIL\n")
    (dictionary / "nonsilence_phones.txt").write_text("a\nb\nc\nd\n")
    (dictionary / "extra_questions.txt").write_text("")
    lang = root / "lang"
    prepare_lang(dictionary, "<UNK>", root / "tmp", lang, LangOptions(position_dependent_phones=False, sil_prob=0.5))
    words = SymbolTable.read(lang / "words.txt")
    ids, zeros = [words.id(word) for word in LEXICON], [0] * len(LEXICON)
    costs = np.log(len(LEXICON) + 1) + np.linspace(-0.3, 0.3, len(LEXICON))
    CsrGraph.from_arcs(0, zeros, ids, ids, zeros, costs, [1.0]).write_fst_file(lang / "G.fst", "vector")
    return lang


def _write_data(
    data: Path, compiler: TrainingGraphCompiler, model: TransitionModel, num_utterances: int, noise: float
) -> dict[str, np.ndarray]:
    data.mkdir()
    random = np.random.default_rng(3)
    means = random.normal(scale=2.0, size=(model.num_pdfs, DIM))
    alignments, text = {}, {}
    with MatrixWriter(data / "feats.ark", data / "feats.scp", None) as writer:
        for number in range(num_utterances):
            name = f"s{number % 3}-u{number:03d}"
            text[name] = random.choice(list(LEXICON), size=int(random.integers(1, 4))).tolist()
            num_frames = int(random.integers(14, 20)) * len(text[name]) + 20
            alignments[name] = align_equally(compiler.compile(text[name]), num_frames, name)
            pdfs = model.tid_to_pdf[alignments[name]]
            writer.write(name, (means[pdfs] + noise * random.normal(size=(num_frames, DIM))).astype(np.float32))
    lines = {
        "utt2num_frames": [f"{name} {len(row)}" for name, row in alignments.items()],
        "text": [f"{name} {' '.join(words)}" for name, words in text.items()],
        "utt2spk": [f"{name} {name[:2]}" for name in alignments],
    }
    for table, rows in lines.items():
        (data / table).write_text("".join(f"{row}\n" for row in sorted(rows)))
    return alignments


def _train(data: Path, alignments: dict[str, np.ndarray], model: TransitionModel, steps: int) -> ModelBundle:
    """A small LSTM that sees three frames at a time and answers one window late."""
    torch.manual_seed(1)
    features, window = FeatureOptions(cmvn="none", delta_order=0), InputOptions(1, 1, stride=3, label_delay=1)
    settings, pipeline = {"kind": "lstm", "num_layers": 1, "num_cells": 32, "fc_dim": 32}, FeaturePipeline(data, features)
    pdfs = {name: model.tid_to_pdf[row] for name, row in alignments.items()}
    counts = np.bincount(np.concatenate(list(pdfs.values())), minlength=model.num_pdfs)
    network = make_model(settings, window.width * DIM, model.num_pdfs)
    bundle = ModelBundle(network, settings, features, window, torch.zeros(DIM), torch.full((DIM,), 0.3), log_prior(counts))
    inputs, targets = [], []
    for name, pdf in pdfs.items():
        inputs.append(utterance_windows(bundle.normalise(pipeline(name)), window))
        centres = np.minimum(np.arange(0, len(pdf), window.stride) + 1, len(pdf) - 1)
        targets.append(torch.from_numpy(np.concatenate([[-1] * window.label_delay, pdf[centres]])))
    x = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True)
    y = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-1)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(steps):
        logits, _ = network(x, network.initial_state(len(x)))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    return bundle
