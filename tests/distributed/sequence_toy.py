"""The toy task of training_toy.py with what sequence training needs: lang, graphs, texts, and a model to start from.

Words are phones. The graph is a loop over them with equal costs, the transitions of the topology left out.
"""

import math
import runpy
import sys
from pathlib import Path

import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.io.alignment import read_alignments
from asrtool.io.config import load_config
from asrtool.io.symbols import SymbolTable
from asrtool.parallel.exchange.single_comm import SingleComm
from asrtool.train.config import TrainConfig
from asrtool.train.run import TrainPaths, train_network
from asrtool.train.sequence_config import SequencePaths, SequenceTrainConfig

TOY = runpy.run_path(str(Path(__file__).with_name("training_toy.py")))
NUM_PHONES = TOY["NUM_PHONES"]
WORDS = ["aa", "bb", "cc", "dd", "ee", "ff"]

CONFIG = """
sequence: {criterion: smbr, acoustic_scale: 0.5}
speech: {num_processes: 0, batch_utterances: 4, queue_utterances: 8, refresh: 1, beam: 20, lattice_beam: 10}
held_out: {decoding: {lm_weight: 2.0}}
loader: {num_streams: 4, chunk_windows: 5}
optimizer: {max_gradient_norm: 5.0}
schedule: {learning_rate: 0.1}
parallel: {algorithm: single, sync_frames: 90, block_momentum: 0.5}
checkpoint: {every_syncs: 2, every_minutes: 0}
num_epochs: 2
"""


def make_graph(folder: Path) -> None:
    """HCLG.fst over transition-ids 2p + 2 (phone p begins) and 2p + 1 (it goes on); state p + 1 is within phone p."""
    phones = range(NUM_PHONES)
    arcs = [(source, 2 * p + 2, p + 1, p + 1, math.log(NUM_PHONES)) for source in range(NUM_PHONES + 1) for p in phones]
    arcs += [(p + 1, 2 * p + 1, 0, p + 1, 0.0) for p in phones]
    source, ilabel, olabel, nextstate, cost = map(np.array, zip(*arcs))
    final_cost = np.where(np.arange(NUM_PHONES + 1) > 0, 0.0, np.inf)
    folder.mkdir()
    CsrGraph.from_arcs(0, source, ilabel, olabel, nextstate, cost, final_cost).write_fst_file(folder / "HCLG.fst")
    SymbolTable.from_symbols(["<eps>", *WORDS]).write(folder / "words.txt")
    (folder / "num_pdfs").write_text(f"{NUM_PHONES}\n")


def make_sequence_toy(directory: Path, num_utterances: int = 24, kind: str = "lstm", epochs: int = 3) -> Path:
    """Writes ali/, train/, valid/, lang/, graph/, config.yaml, seq.yaml and ce/, a model of `epochs`; returns `directory`."""
    TOY["make_toy"](directory, kind, "single", num_utterances)
    alignments = read_alignments(directory / "ali")
    for name in ("train", "valid"):
        lines = []
        for utterance in (line.split()[0] for line in (directory / name / "utt2spk").read_text().splitlines()):
            tids = alignments[utterance]
            words = [WORDS[(tid - 1) // 2] for tid in tids if tid % 2 == 0]
            lines.append(f"{utterance} {' '.join(words)}\n")
        (directory / name / "text").write_text("".join(lines))
    (directory / "lang" / "phones").mkdir(parents=True)
    (directory / "lang" / "phones" / "silence.csl").write_text("1\n")
    make_graph(directory / "graph")
    (directory / "seq.yaml").write_text(CONFIG)
    config = load_config(TrainConfig, directory / "config.yaml", [f"num_epochs={epochs}"])
    train_network(config, TrainPaths(directory / "ali", directory / "train", directory / "valid", directory / "ce"), SingleComm())
    return directory


def words(toy: Path, experiment: Path, *overrides: str) -> list[str]:
    """The command line."""
    options = ["--config", toy / "seq.yaml", "--init", toy / "ce" / "final_single.pt", "--lang", toy / "lang"]
    options += ["--graph", toy / "graph", "--dev-data", toy / "valid", "--dev-graph", toy / "graph"]
    return ["train-seq", *map(str, [*options, toy / "ali", toy / "train", toy / "valid", experiment]), *overrides]


def settings(toy: Path, experiment: Path, *overrides: str, wer: bool = True) -> tuple[SequenceTrainConfig, SequencePaths]:
    """The same for `train_sequence`."""
    files = {"init_model": toy / "ce" / "final_single.pt", "lang_dir": toy / "lang", "graph_dir": toy / "graph"}
    if wer:
        files |= {"wer_data": toy / "valid", "wer_graph_dir": toy / "graph"}
    paths = SequencePaths(toy / "ali", toy / "train", toy / "valid", experiment, **files)
    return load_config(SequenceTrainConfig, toy / "seq.yaml", list(overrides)), paths


if __name__ == "__main__":
    make_sequence_toy(Path(sys.argv[1]))
