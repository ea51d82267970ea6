"""Language models, graphs and scores for the benchmarks of large vocabularies, made once and kept in a folder.

The acoustic model is that of egs/speechocean762/s5, run before, or of ASRTOOL_EXPERIMENT, a directory with its data/ and exp/.
What is made lies in ASRTOOL_BENCHMARKS, or in asrtool_benchmarks in the folder for temporary files.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

EXPERIMENT = Path(os.environ.get("ASRTOOL_EXPERIMENT", Path(__file__).parents[2] / "egs" / "speechocean762" / "s5"))
FOLDER = Path(os.environ.get("ASRTOOL_BENCHMARKS", Path(tempfile.gettempdir()) / "asrtool_benchmarks"))
MODEL = EXPERIMENT / "exp" / "tri"
NETWORK = EXPERIMENT / "exp" / "lstm" / "final_ema.pt"
FRAME_SHIFT_S = 0.01


def run(*command: str | Path) -> None:
    """A command in a process of its own, quiet if it goes well."""
    made = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    if made.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{made.stderr[-2000:]}")


def verb(*arguments: str | Path) -> None:
    run("-m", "asrtool.cli", *arguments)


def language(num_words: int, num_sentences: int) -> Path:
    """A folder with dict, text and lang of so many words."""
    if not NETWORK.is_file():
        sys.exit(f"{NETWORK} is absent: run egs/speechocean762/s5 first, or set ASRTOOL_EXPERIMENT to where it ran")
    folder = FOLDER / f"words{num_words}_sentences{num_sentences}"
    if not (folder / "lang" / "L_disambig.fst").is_file():
        local = EXPERIMENT / "data" / "local" / "dict", EXPERIMENT / "data" / "train" / "text"
        run(Path(__file__).with_name("_big_graph_data.py"), *local, num_words, num_sentences, folder)
        verb("prepare-lang", folder / "dict", "<UNK>", folder / "tmp", folder / "lang")
    return folder


def language_model(folder: Path, order: int, *options: str) -> Path:
    """An ARPA file of a language's text."""
    arpa = folder / f"lm{order}{'.'.join(options).replace(' ', '_')}.arpa"
    if not arpa.is_file():
        words = folder / "lang" / "words.txt"
        verb("train-lm", "--order", order, "--vocab", words, "--unknown-word", "<UNK>", *options, folder / "text", arpa)
    return arpa


def graph(folder: Path, arpa: Path) -> Path:
    """The graph of a language and an ARPA file with the triphone model."""
    name = arpa.stem
    if not (folder / f"graph_{name}" / "HCLG.fst").is_file():
        verb("format-lm", folder / "lang", arpa, folder / f"lang_{name}")
        verb("make-graph", folder / f"lang_{name}", MODEL, folder / f"graph_{name}")
    return folder / f"graph_{name}"


def compact(arpa: Path) -> Path:
    """The compact model of an ARPA file."""
    if not arpa.with_suffix(".bin").is_file():
        verb("build-lm-binary", arpa, arpa.with_suffix(".bin"))
    return arpa.with_suffix(".bin")


def make_scorer():
    """(scorer of utterances, utterance names): the LSTM on the test set, as decode-nnet has it."""
    from asrtool.decoder.network import load_network, network_scorer
    from asrtool.hmm.transition_model import TransitionModel

    model = TransitionModel.read_file(MODEL / "final.mdl")
    bundle = load_network(NETWORK, model.num_pdfs, MODEL / "final.mdl")
    pipeline = bundle.pipeline(EXPERIMENT / "data" / "fbank" / "devtest")
    return network_scorer(bundle, pipeline), pipeline.utterances()


def scores(number: int) -> dict[str, np.ndarray]:
    """Log-likelihoods of `number` utterances of the test set, taken evenly."""
    scorer, utterances = make_scorer()
    chosen = utterances[:: max(1, len(utterances) // number)][:number]
    return dict(zip(chosen, scorer(chosen)))


def transcripts() -> dict[str, list[str]]:
    """The words of the test set."""
    lines = (EXPERIMENT / "data" / "fbank" / "devtest" / "text").read_text().splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}
