"""The data of a training: tables of the utterances, and each worker's part of them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.loader.corpus import ShardedFeatures, normalisation, worker_source
from asrtool.loader.loader import Loader
from asrtool.loader.table import UtteranceTable, make_table, read_pdf_alignments
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.registry import is_recurrent
from asrtool.parallel.protocol import Comm
from asrtool.train.config import TrainConfig


@dataclasses.dataclass
class TrainPaths:
    """Directories of a training."""

    alignments: Path
    train_data: Path
    valid_data: Path
    experiment: Path
    valid_alignments: Path | None = None

    def absolute(self) -> dict[str, str | None]:
        """Name -> path as a string, for records."""
        return {name: None if path is None else str(path.absolute()) for name, path in vars(self).items()}


class TrainingData:
    """What all workers train and validate on, divided among them on demand.

    Attributes:
        pipeline: of the training features.
        table, valid_table: the utterances of all workers.
        mean_D, scale_D: normalisation of the features.

    Args:
        normalised: the `mean_D` and `scale_D` that the training began with; None: they are measured.
        start_from: a trained model: its normalisation and its statistics for CMVN are used, where training begins with it.
        device: where `comm` takes tensors from.
    Raises:
        AsrtoolError: data that do not fit each other.
    """

    def __init__(
        self,
        config: TrainConfig,
        paths: TrainPaths,
        comm: Comm,
        device: torch.device,
        normalised: tuple[Tensor, Tensor] | None = None,
        start_from: ModelBundle | None = None,
    ) -> None:
        self.config = config
        pdfs, self.num_pdfs = read_targets(paths.alignments, paths.experiment / "pdfs", comm)
        if start_from is not None and start_from.model.num_pdfs != self.num_pdfs:
            counts = f"{self.num_pdfs} pdfs, the model has {start_from.model.num_pdfs}"
            raise AsrtoolError(f"{paths.alignments}: {counts}; align with the model's own tree")
        global_cmvn = None if start_from is None else start_from.global_cmvn
        self.pipeline = FeaturePipeline(paths.train_data, config.features, global_cmvn)
        self.table = make_table(self.pipeline, pdfs, str(paths.train_data))
        self._measured: dict[tuple[int, int], ShardedFeatures] = {}  # has the features in memory already
        if normalised is None and start_from is not None:
            normalised = start_from.feature_mean_D, start_from.feature_scale_D
        if normalised is None:
            source = worker_source(self.pipeline, self.table, config.loader, comm.rank, comm.size)
            normalised = normalisation(source.moments(), lambda tensor: reduce_on(device, tensor, comm))
            self._measured[comm.rank, comm.size] = source
        self.mean_D, self.scale_D = normalised
        if paths.valid_alignments is not None:
            pdfs, num_pdfs = read_targets(paths.valid_alignments, paths.experiment / "pdfs_valid", comm)
            if num_pdfs != self.num_pdfs:
                raise AsrtoolError(
                    f"{paths.valid_alignments}: {num_pdfs} pdfs, {paths.alignments} has {self.num_pdfs}; use one model"
                )
        self.valid_pipeline = FeaturePipeline(paths.valid_data, config.features, self.pipeline.global_stats)
        if self.valid_pipeline.dim != self.pipeline.dim:
            dims = self.valid_pipeline.dim, self.pipeline.dim
            raise AsrtoolError(f"{paths.valid_data}: features of {dims[0]} dimensions, {paths.train_data} has {dims[1]}")
        self.valid_table = thin_out(make_table(self.valid_pipeline, pdfs, str(paths.valid_data)), config.valid_max_frames)

    def divide(self, index: int, count: int) -> tuple[Loader, Loader]:
        """Training and validation minibatches of number `index` of `count` workers."""
        config, recurrent = self.config, is_recurrent(self.config.model)
        source = self._measured.pop((index, count), None)
        if source is None:
            source = worker_source(self.pipeline, self.table, config.loader, index, count)
        self._measured.clear()
        source.normalise(self.mean_D, self.scale_D)
        valid = worker_source(self.valid_pipeline, self.valid_table, config.loader, index, count)
        valid.normalise(self.mean_D, self.scale_D)
        wide = {"batch_windows": max(2048, config.loader.batch_windows), "num_streams": max(64, config.loader.num_streams)}
        evaluation = dataclasses.replace(config.loader, **wide)
        return (
            Loader(source, config.input, config.loader, recurrent, config.seed),
            Loader(valid, config.input, evaluation, recurrent, None),
        )


def read_targets(alignments: Path, cache: Path, comm: Comm) -> tuple[Mapping[str, np.ndarray], int]:
    """`read_pdf_alignments`, worker 0 first: it unpacks large alignments for all."""
    if comm.rank > 0:
        comm.barrier()
    try:
        return read_pdf_alignments(alignments, cache)
    finally:
        if comm.rank == 0:
            comm.barrier()


def reduce_on(device: torch.device, tensor: Tensor, comm: Comm) -> None:
    """All-reduce of a CPU tensor, by way of the device that the workers communicate on."""
    moved = tensor.to(device)
    comm.all_reduce_(moved)
    tensor.copy_(moved)


def thin_out(table: UtteranceTable, max_frames: int) -> UtteranceTable:
    """Every k-th utterance, so that about `max_frames` frames are left; 0: all."""
    step = -(-table.total_frames // max_frames) if max_frames else 1
    return table.subset(np.arange(0, len(table.names), step)) if step > 1 else table
