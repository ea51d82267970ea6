"""What the verbs that train by a sequence criterion share: their arguments."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from asrtool.arguments import existing_path
from asrtool.bin._train_options import add_train_options

if TYPE_CHECKING:
    from asrtool.train.sequence_config import SequencePaths, SequenceTrainConfig


def add_sequence_options(options: ArgumentParser) -> None:
    """The model to start from, denominators, data, experiment directory, and overrides as the last arguments."""
    options.add_argument("--init", type=existing_path, required=True, help="model to start from, final_*.pt of train-nnet")
    options.add_argument("--lang", type=existing_path, required=True, help="lang directory: silence phones, L.fst")
    options.add_argument("--graph", type=existing_path, help="denominator graph directory, to make lattices on the fly")
    options.add_argument("--denlats", type=existing_path, help="lattices of TRAIN_DATA (make-denlats) instead of fresh ones")
    options.add_argument("--valid-denlats", type=existing_path, help="lattices of VALID_DATA instead of fresh ones")
    options.add_argument("--den-graph", type=existing_path, help="denominator graph of lattice-free MMI (make-den-graph)")
    options.add_argument("--dev-data", type=existing_path, help="data to count word errors on, after every epoch")
    options.add_argument("--dev-graph", type=existing_path, help="graph directory for that")
    about = "metrics.jsonl, models/, final_*.pt appear here"
    add_train_options(options, about, "sequence_config")


def read_settings(given: Namespace) -> "tuple[SequenceTrainConfig, SequencePaths]":
    """What was given, as `train_sequence` takes it."""
    from asrtool.io.config import load_config
    from asrtool.train.sequence_config import SequencePaths, SequenceTrainConfig

    paths = SequencePaths(
        given.ali_dir,
        given.train_data,
        given.valid_data,
        given.exp_dir,
        given.valid_alignments,
        init_model=given.init,
        lang_dir=given.lang,
        graph_dir=given.graph,
        denlats_dir=given.denlats,
        valid_denlats_dir=given.valid_denlats,
        denominator_graph=given.den_graph,
        wer_data=given.dev_data,
        wer_graph_dir=given.dev_graph,
    )
    return load_config(SequenceTrainConfig, given.config, given.overrides), paths
