"""Puts a training together: data, model, algorithm, trainer; one call in each worker's process."""

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.io.atomic_file import write_text
from asrtool.loader.corpus import ShardedFeatures, normalisation, worker_source
from asrtool.loader.loader import Loader
from asrtool.loader.statistics import length_statistics
from asrtool.loader.table import UtteranceTable, make_table, read_pdf_alignments
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model import AcousticModel
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.registry import is_recurrent, make_model
from asrtool.optim.optimizer import make_optimizer
from asrtool.optim.schedule import Schedule
from asrtool.parallel.comm import make_comm
from asrtool.parallel.protocol import Comm
from asrtool.parallel.registry import make_algorithm
from asrtool.train.checkpoint import CheckpointStore
from asrtool.train.config import TrainConfig
from asrtool.train.disk import writing
from asrtool.train.experiment import check_settings, die_with_launcher, locked, remove_left_behind
from asrtool.train.metrics import MetricsLog
from asrtool.train.model_writer import ModelWriter
from asrtool.train.parts import Parts
from asrtool.train.progress_line import ProgressLine
from asrtool.train.record import write_record
from asrtool.train.trainer import Trainer


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


def train_network(config: TrainConfig, paths: TrainPaths, comm: Comm | None = None) -> None:
    """Trains, or goes on with, the network of an experiment directory; returns at once when it is done already.

    Args:
        comm: this worker's connection to the others; default: what torchrun's environment asks for.
    Raises:
        AsrtoolError: data that do not fit, other settings than the directory was begun with, a diverging training.
        Stopped: after SIGTERM, when the state is saved.
    """
    use_cores()
    die_with_launcher()
    done = paths.experiment / "done"
    if done.is_file():
        print(f"{paths.experiment}: training is done already ({done} is there)", file=sys.stderr)
        return
    with locked(paths.experiment, int(os.environ.get("RANK", "0"))):
        comm = comm or make_comm()
        try:
            check_settings(paths.experiment, config, comm)
            if comm.rank == 0:
                remove_left_behind(paths.experiment)
            parts = assemble(config, paths, comm)
            Trainer(parts).run()
            comm.barrier()
            if comm.rank == 0:
                with writing(done):
                    write_text(done, "")
                for folder in ("checkpoints", "pdfs", "pdfs_valid"):
                    shutil.rmtree(paths.experiment / folder, ignore_errors=True)
        finally:
            comm.close()


def use_cores() -> None:
    """OMP_NUM_THREADS threads where it is set (torchrun sets it), else an equal share of the cores for each worker."""
    if "OMP_NUM_THREADS" not in os.environ:
        workers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // workers))


def assemble(config: TrainConfig, paths: TrainPaths, comm: Comm) -> Parts:
    """Reads the data and builds everything that the trainer needs."""
    start = time.monotonic()
    pdfs, num_pdfs = read_targets(paths.alignments, paths.experiment / "pdfs", comm)
    pipeline = FeaturePipeline(paths.train_data, config.features)
    table = make_table(pipeline, pdfs, str(paths.train_data))
    source = worker_source(pipeline, table, config.loader, comm.rank, comm.size)
    device = choose_device(comm)
    mean_D, scale_D = normalisation(source.moments(), lambda tensor: reduce_on(device, tensor, comm))
    source.normalise(mean_D, scale_D)
    valid_table, valid = valid_source(config, paths, pdfs, num_pdfs, pipeline, comm)
    valid.normalise(mean_D, scale_D)
    torch.manual_seed(config.seed)
    input_dim = config.input.width * pipeline.dim
    model = make_model(config.model, input_dim, num_pdfs).to(device)
    check_label_delay(config, model)
    schedule = Schedule(config.schedule, config.num_epochs)
    optimizer = make_optimizer(config.optimizer, model, schedule.learning_rate(0.0))
    algorithm = make_algorithm(config.parallel)
    algorithm.attach(model, optimizer, comm)
    recurrent = is_recurrent(config.model)
    evaluation_model = make_model(config.model, input_dim, num_pdfs).to(device)
    bundle = ModelBundle(
        model=evaluation_model,  # its weights are replaced when a model is saved
        settings=config.model,
        features=config.features,
        input=config.input,
        feature_mean_D=mean_D,
        feature_scale_D=scale_D,
        log_prior_P=log_prior(table.pdf_counts(num_pdfs), config.prior_floor),
        global_cmvn=pipeline.global_stats,
    )
    train_loader = Loader(source, config.input, config.loader, recurrent, config.seed)
    if comm.rank == 0:
        describe(table, valid.table, model.num_parameters(), num_pdfs, comm, time.monotonic() - start)
        print(f"worker 0: {train_loader.describe()}", file=sys.stderr, flush=True)
        record_run(config, paths, {"train": table, "valid": valid_table}, workers=comm.size, device=str(device))
    wide = {"batch_windows": max(2048, config.loader.batch_windows), "num_streams": max(64, config.loader.num_streams)}
    evaluation = dataclasses.replace(config.loader, **wide)
    writer = ModelWriter(paths.experiment, bundle, comm.rank == 0)
    return Parts(
        config=config,
        device=device,
        model=model,
        evaluation_model=evaluation_model,
        optimizer=optimizer,
        schedule=schedule,
        algorithm=algorithm,
        comm=comm,
        train_loader=train_loader,
        valid_loader=Loader(valid, config.input, evaluation, recurrent, None),
        train_frames=table.total_frames,
        checkpoints=CheckpointStore(paths.experiment / "checkpoints", comm, config.checkpoint.keep, device),
        metrics=open_metrics(config, paths.experiment, comm.rank == 0),
        progress=ProgressLine(comm.rank == 0),
        save_models=writer.save,
        keep_models=writer.keep,
    )


def record_run(config: TrainConfig, paths: TrainPaths, tables: dict[str, UtteranceTable], **more: Any) -> None:
    """Writes EXP/run.json: where this run and its data come from."""
    data = {name: length_statistics(table.num_frames_U, table.num_without_alignment) for name, table in tables.items()}
    path = paths.experiment / "run.json"
    with writing(path):
        write_record(path, config.seed, paths=paths.absolute(), data=data, **more)


def open_metrics(config: TrainConfig, experiment: Path, active: bool) -> MetricsLog:
    """The record file, with TensorBoard's beside it where that is wanted."""
    also = None
    if config.tensorboard:
        from asrtool.train.tensorboard import TensorBoardLog

        also = TensorBoardLog(experiment / "tensorboard", active)
    return MetricsLog(experiment / "metrics.jsonl", active, also)


def read_targets(alignments: Path, cache: Path, comm: Comm) -> tuple[Mapping[str, np.ndarray], int]:
    """`read_pdf_alignments`, worker 0 first: it unpacks large alignments for all."""
    if comm.rank > 0:
        comm.barrier()
    try:
        return read_pdf_alignments(alignments, cache)
    finally:
        if comm.rank == 0:
            comm.barrier()


def choose_device(comm: Comm) -> torch.device:
    """This worker's GPU where every worker has one (or there is only one worker), else the CPU."""
    if torch.cuda.is_available() and (comm.size == 1 or comm.native):
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def reduce_on(device: torch.device, tensor: Tensor, comm: Comm) -> None:
    """All-reduce of a CPU tensor, by way of the device that the workers communicate on."""
    moved = tensor.to(device)
    comm.all_reduce_(moved)
    tensor.copy_(moved)


def valid_source(
    config: TrainConfig, paths: TrainPaths, pdfs: Mapping[str, np.ndarray], num_pdfs: int, train: FeaturePipeline, comm: Comm
) -> tuple[UtteranceTable, ShardedFeatures]:
    """The validation data, and this worker's part of them."""
    if paths.valid_alignments is not None:
        pdfs, valid_pdfs = read_targets(paths.valid_alignments, paths.experiment / "pdfs_valid", comm)
        if valid_pdfs != num_pdfs:
            raise AsrtoolError(f"{paths.valid_alignments}: {valid_pdfs} pdfs, {paths.alignments} has {num_pdfs}; use one model")
    pipeline = FeaturePipeline(paths.valid_data, config.features, train.global_stats)
    if pipeline.dim != train.dim:
        raise AsrtoolError(f"{paths.valid_data}: features of {pipeline.dim} dimensions, {paths.train_data} has {train.dim}")
    table = thin_out(make_table(pipeline, pdfs, str(paths.valid_data)), config.valid_max_frames)
    return table, worker_source(pipeline, table, config.loader, comm.rank, comm.size)


def check_label_delay(config: TrainConfig, model: AcousticModel) -> None:
    """A TDNN's outputs lag behind by its right context, which the label delay has to take back."""
    right_context = getattr(model, "right_context", 0)
    if config.input.label_delay < right_context:
        raise AsrtoolError(
            f"input.label_delay: {config.input.label_delay} is less than the model's right context, {right_context} windows; "
            f"set it to {right_context}"
        )


def thin_out(table: UtteranceTable, max_frames: int) -> UtteranceTable:
    """Every k-th utterance, so that about `max_frames` frames are left; 0: all."""
    step = -(-table.total_frames // max_frames) if max_frames else 1
    return table.subset(np.arange(0, len(table.names), step)) if step > 1 else table


def describe(train: UtteranceTable, valid: UtteranceTable, parameters: int, num_pdfs: int, comm: Comm, seconds: float) -> None:
    """Says on standard error what will be trained on what."""
    print(
        f"{len(train.names)} utterances, {train.total_frames} frames to train on ({train.num_without_alignment} utterances "
        f"without alignment); worker 0 validates on {valid.total_frames} frames; {parameters} parameters, {num_pdfs} pdfs, "
        f"{comm.size} worker(s) of {torch.get_num_threads()} thread(s); read in {seconds:.1f} s",
        file=sys.stderr,
        flush=True,
    )
