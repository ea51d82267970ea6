"""Puts a training together: data, model, algorithm, trainer; one call in each worker's process."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.loader.statistics import length_statistics
from asrtool.loader.table import UtteranceTable
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model import AcousticModel
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.registry import make_model
from asrtool.optim.optimizer import make_optimizer
from asrtool.optim.schedule import Schedule
from asrtool.parallel.make_comm import make_comm
from asrtool.parallel.planning import too_few_data
from asrtool.parallel.protocol import Comm
from asrtool.parallel.registry import make_algorithm, needs_servers
from asrtool.train.checkpoint import CheckpointStore
from asrtool.train.config import TrainConfig
from asrtool.train.data import TrainingData, TrainPaths
from asrtool.train.disk import writing
from asrtool.train.experiment import check_settings, die_with_launcher, locked, remove_left_behind
from asrtool.train.metrics import MetricsLog
from asrtool.train.model_writer import ModelWriter
from asrtool.train.parts import Parts
from asrtool.train.progress_line import ProgressLine
from asrtool.train.record import write_record
from asrtool.train.trainer import Trainer


def train_network(
    config: TrainConfig,
    paths: TrainPaths,
    comm: Comm | None = None,
    prepare: Callable[[Parts], None] | None = None,
    put_together: Callable[[TrainConfig, TrainPaths, Comm], Parts] | None = None,
) -> None:
    """Trains, or goes on with, the network of an experiment directory; returns at once when it is done already.

    Args:
        comm: this worker's connection to the others; default: what torchrun's environment asks for.
        prepare: called with everything that was put together, before the training begins, e.g. to add hooks.
        put_together: default: `assemble`.
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
        parallel = config.parallel
        comm = comm or make_comm(asynchronous=needs_servers(parallel), lost_after_s=parallel.lost_after_s)
        try:
            check_settings(paths.experiment, config, comm)
            if comm.rank == 0:
                remove_left_behind(paths.experiment)
            parts = (put_together or assemble)(config, paths, comm)
            with parts.closing:
                if prepare is not None:
                    prepare(parts)
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


def assemble(config: TrainConfig, paths: TrainPaths, comm: Comm, start_from: ModelBundle | None = None) -> Parts:
    """Reads the data and builds everything that the trainer needs.

    Args:
        start_from: a trained model whose settings are those of `config`: its weights, normalisation and prior are taken over.
    Raises:
        AsrtoolError: data that do not fit each other, the settings or that model.
    """
    start = time.monotonic()
    device = choose_device(comm)
    checkpoints = CheckpointStore(paths.experiment / "checkpoints", comm, config.checkpoint.keep, device)
    data = TrainingData(config, paths, comm, device, saved_normalisation(checkpoints), start_from)
    torch.manual_seed(config.seed)
    input_dim = config.input.width * data.pipeline.dim
    model, evaluation_model = (make_model(config.model, input_dim, data.num_pdfs).to(device) for _ in range(2))
    check_label_delay(config, model)
    if start_from is not None:
        model.load_state_dict(start_from.model.state_dict())
    schedule = Schedule(config.schedule, config.num_epochs)
    optimizer = make_optimizer(config.optimizer, model, schedule.learning_rate(0.0))
    algorithm = make_algorithm(config.parallel)
    algorithm.attach(model, optimizer, comm)
    bundle = make_bundle(config, data, evaluation_model, start_from)
    writer = ModelWriter(paths.experiment, bundle, comm.rank == 0)
    parts = Parts(
        config=config,
        device=device,
        model=model,
        evaluation_model=evaluation_model,
        optimizer=optimizer,
        schedule=schedule,
        algorithm=algorithm,
        comm=comm,
        data=data,
        train_frames=data.table.total_frames,
        checkpoints=checkpoints,
        metrics=open_metrics(config, paths.experiment, comm.rank == 0),
        progress=ProgressLine(comm.rank == 0),
        save_models=writer.save,
        keep_models=writer.keep,
    )
    parts.share_data()
    if comm.rank == 0:
        describe(parts, time.monotonic() - start)
        warning = too_few_data(data.table.total_frames * config.num_epochs, comm.size, config.parallel)
        if warning:
            print(f"WARNING: {warning}", file=sys.stderr, flush=True)
        record_run(config, paths, {"train": data.table, "valid": data.valid_table}, workers=comm.size, device=str(device))
    return parts


def make_bundle(config: TrainConfig, data: TrainingData, model: AcousticModel, start_from: ModelBundle | None) -> ModelBundle:
    """What goes into model files; the weights are replaced when a model is saved."""
    if start_from is None:
        prior_P = log_prior(data.table.pdf_counts(data.num_pdfs), config.prior_floor)
    else:
        prior_P = start_from.log_prior_P
    return ModelBundle(
        model=model,
        settings=config.model,
        features=config.features,
        input=config.input,
        feature_mean_D=data.mean_D,
        feature_scale_D=data.scale_D,
        log_prior_P=prior_P,
        global_cmvn=data.pipeline.global_stats,
    )


def saved_normalisation(checkpoints: CheckpointStore) -> tuple[Tensor, Tensor] | None:
    """Of the features, as the training that goes on has it: another number of workers would measure it a little differently."""
    if not checkpoints.serial:
        return None
    return tuple(tensor.clone() for tensor in checkpoints.load_all()[0]["normalisation"])


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


def choose_device(comm: Comm) -> torch.device:
    """This worker's GPU where every worker has one (or there is only one worker), else the CPU."""
    if torch.cuda.is_available() and (comm.size == 1 or comm.native):
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def check_label_delay(config: TrainConfig, model: AcousticModel) -> None:
    """A TDNN's outputs lag behind by its right context, which the label delay has to take back."""
    right_context = getattr(model, "right_context", 0)
    if config.input.label_delay < right_context:
        raise AsrtoolError(
            f"input.label_delay: {config.input.label_delay} is less than the model's right context, {right_context} windows; "
            f"set it to {right_context}"
        )


def describe(parts: Parts, seconds: float) -> None:
    """Says on standard error what will be trained on what."""
    table, comm = parts.data.table, parts.comm
    print(
        f"{len(table.names)} utterances, {table.total_frames} frames to train on ({table.num_without_alignment} utterances "
        f"without alignment); worker 0 validates on {parts.valid_loader.num_frames} frames; {parts.model.num_parameters()} "
        f"parameters, {parts.data.num_pdfs} pdfs, {comm.size} worker(s) of {torch.get_num_threads()} thread(s); read in "
        f"{seconds:.1f} s\nworker 0: {parts.train_loader.describe()}",
        file=sys.stderr,
        flush=True,
    )
