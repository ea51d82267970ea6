"""Sequence training: the training of run.py with another start, another loader, another loss and other measures."""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from asrtool.criterion.lattice_free_loss import LatticeFreeLoss
from asrtool.graph.denominator import DenominatorGraph
from asrtool.nnet.model_file import ModelBundle, load_model
from asrtool.parallel.protocol import Comm
from asrtool.sequence.make_source import make_source
from asrtool.train.outer_feed import NOTES, OuterFeed
from asrtool.train.parts import Parts
from asrtool.train.run import assemble, train_network
from asrtool.train.sequence_config import SequencePaths, SequenceTrainConfig
from asrtool.train.sequence_loader import SequenceLoader
from asrtool.train.sequence_loss import LatticeFreeTrainingLoss, SequenceLoss, loss_per_frame
from asrtool.train.sequence_measures import make_validation
from asrtool.train.simulate import Simulation, simulate_training
from asrtool.train.worker_notes import WorkerNotes


def train_sequence(
    config: SequenceTrainConfig,
    paths: SequencePaths,
    comm: Comm | None = None,
    prepare: Callable[[Parts], None] | None = None,
) -> None:
    """Trains a model further by a sequence criterion, or goes on with it; as `train_network`, whose arguments these are.

    Raises:
        AsrtoolError, Stopped: as `train_network`; settings that are not those of the first model; too many utterances without
            an outer gradient.
    """
    paths.check(config)
    start_from = load_model(paths.init_model)
    config = config.resolved(start_from, paths.init_model)
    train_network(config, paths, comm, prepare, partial(assemble_sequence, start_from=start_from))


def simulate_sequence(config: SequenceTrainConfig, paths: SequencePaths, simulation: Simulation) -> dict[str, Any]:
    """The same by virtual workers, see `simulate_training`; their speech modules work inline, one after the other."""
    config = dataclasses.replace(config, speech=dataclasses.replace(config.speech, num_processes=0))
    return simulate_training(config, paths, simulation, train_sequence)


def assemble_sequence(config: SequenceTrainConfig, paths: SequencePaths, comm: Comm, start_from: ModelBundle) -> Parts:
    """Reads the data and builds everything that the trainer needs."""
    parts = assemble(config, paths, comm, start_from)
    with ExitStack() as closing:
        parts.validation = make_validation(config, paths, parts, closing)
        parts.stateful["validation"] = parts.validation
        if config.sequence.criterion == "lfmmi":
            add_lattice_free(parts, config, paths, start_from)
        else:
            add_outer_gradients(parts, config, paths, closing)
        parts.stateful["notes"] = parts.worker_notes
        parts.progress.message(describe(config, paths))
        parts.closing = closing.pop_all()
    return parts


def add_outer_gradients(parts: Parts, config: SequenceTrainConfig, paths: SequencePaths, closing: ExitStack) -> None:
    """The speech module's results as this worker's loss."""
    source = make_source(config.speech, paths.speech(), config.sequence, str(parts.device))
    closing.callback(source.close)
    loss_of = partial(loss_per_frame, config.sequence)
    feed = OuterFeed(source, parts.model, config.input, loss_of, pin=parts.device.type == "cuda")
    parts.criterion = SequenceLoss(config.sequence.ce_weight)
    parts.worker_notes = WorkerNotes(NOTES, feed.notes)
    parts.stateful["outer gradients"] = feed
    parts.wrap_loader = lambda loader: SequenceLoader(loader, feed)
    parts.train_loader = parts.wrap_loader(parts.train_loader)


def add_lattice_free(parts: Parts, config: SequenceTrainConfig, paths: SequencePaths, start_from: ModelBundle) -> None:
    """Lattice-free MMI as the loss, straight from the network's outputs."""
    graph, prior_P = DenominatorGraph.load(paths.denominator_graph), torch.from_numpy(start_from.log_prior_P)
    loss = LatticeFreeLoss(graph, config.lattice_free, config.input.stride, parts.device, prior_P)
    parts.criterion = LatticeFreeTrainingLoss(loss, config.sequence.ce_weight)
    names = [f"lattice_free_{name}_mean" for name in ("numerator", "denominator", "objective")]
    parts.worker_notes = WorkerNotes(names, parts.criterion.notes)


def describe(config: SequenceTrainConfig, paths: SequencePaths) -> str:
    """One line for people."""
    options, speech = config.sequence, config.speech
    mixed = f" with {options.ce_weight:g} of cross-entropy" if options.ce_weight else ""
    text = f"{options.criterion}{mixed}, acoustic scale {options.acoustic_scale:g}, from {paths.init_model}"
    if options.criterion == "lfmmi":
        return f"{text}; denominator graph {paths.denominator_graph}"
    lattices = f"of {paths.denlats_dir}" if paths.denlats_dir is not None else f"made with {paths.graph_dir}"
    beside = f"{speech.num_processes} process(es) beside each worker" if speech.num_processes else "the workers themselves"
    return f"{text}; lattices {lattices}, rescored and outer gradients by {beside}"
