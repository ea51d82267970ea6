"""The work of a study of sequence training as command lines, phase by phase; what is finished is left out."""

import shlex
from pathlib import Path

from asrtool.io.atomic_file import write_text
from asrtool.report.parallel_comparison_jobs import divergence
from asrtool.report.sequence_study import BOOST, Study, Training

PHASES = ("ce", "align", "ce_again", "graphs", "sequence", "parallel", "decode")


def jobs(study: Study, phase: str) -> list[str]:
    """Shell lines; those of one phase do not depend on one another."""
    if phase == "decode":
        return [line for training in study.trainings() for seed in study.config.seeds for line in _decode(study, training, seed)]
    if phase == "graphs":
        orders = sorted({training.order for training in study.trainings() if not training.is_ce})
        return [_graph(study, order) for order in orders if not (_graph_dir(study, order) / "HCLG.fst").is_file()]
    return [line for seed in study.config.seeds for line in _training_phase(study, phase, seed)]


def _training_phase(study: Study, phase: str, seed: int) -> list[str]:
    own_alignments = any(training.alignments == "lstm" for training in study.trainings())
    if phase == "ce":
        return _ce(study, "gmm", seed)  # the network's own alignments come of it, so it is always there
    if phase == "align":
        return _align(study, seed) if own_alignments else []
    if phase == "ce_again":
        return _ce(study, "lstm", seed) if own_alignments else []
    found = [one for one in study.trainings() if not one.is_ce and (one.algorithm != "single") == (phase == "parallel")]
    return [line for training in found for line in _sequence(study, training, seed)]


def alignments(study: Study, kind: str, seed: int) -> tuple[Path, Path]:
    """Directories of the training and the validation data's alignments."""
    if kind == "gmm":
        return Path(study.config.alignments), Path(study.config.valid_alignments)
    return study.directory / "alignments" / f"train-s{seed}", study.directory / "alignments" / f"valid-s{seed}"


def finished(directory: Path) -> bool:
    """Whether a training has ended, well or by diverging."""
    return (directory / "done").is_file() or (directory / "diverged").is_file()


def _ce(study: Study, kind: str, seed: int) -> list[str]:
    config, directory = study.config, Training("ce", kind).directory(study.directory, seed)
    if finished(directory):
        return []
    ali, valid_ali = alignments(study, kind, seed)
    words = ["--nnet-config", config.network_config, "--num-workers", "1", "--valid-alignments", valid_ali, ali]
    words += [config.train_data, config.valid_data, directory, f"num_epochs={config.ce_epochs}", "models_per_epoch=1"]
    words += ["parallel.algorithm=single", f"seed={seed}", *config.ce_opts]
    return [_line("steps/nnet/train.sh", *words)]


def _align(study: Study, seed: int) -> list[str]:
    config, lines = study.config, []
    first = Training("ce", "gmm")
    model = first.models(study.directory, seed, config.average)[config.average]
    for data, directory in zip((config.train_data, config.valid_data), alignments(study, "lstm", seed)):
        if not (directory / "final.mdl").is_file():
            options = ["--nj", "1", "--ali-dir", config.alignments]
            lines.append(_line("steps/nnet/align.sh", *options, data, config.lang, model, directory))
    return lines


def _graph_dir(study: Study, order: int) -> Path:
    return study.directory / f"graph_{order}gram"


def _graph(study: Study, order: int) -> str:
    config, options = study.config, ["--order", order]
    where = [config.train_data, config.lang, config.alignments, _graph_dir(study, order)]
    return _line("steps/nnet/make_denominator_graph.sh", *options, *where)


def _sequence(study: Study, training: Training, seed: int) -> list[str]:
    config, directory = study.config, training.directory(study.directory, seed)
    if finished(directory):
        return []
    ali, valid_ali = alignments(study, training.alignments, seed)
    is_mmi, alone = training.criterion in ("mmi", "bmmi"), training.algorithm == "single"
    model = training.before.models(study.directory, seed, config.average)[config.average]
    words = [
        "--nnet-config",
        config.mmi_config if is_mmi else config.smbr_config,
        "--num-workers",
        1 if alone else config.workers,
    ]
    words += ["--simulate", "true"] * (config.simulate and not alone)
    words += ["--valid-alignments", valid_ali, "--dev-data", config.dev_data, "--dev-graph", config.graph]
    words += [ali, config.train_data, config.valid_data, config.lang, _graph_dir(study, training.order), model, directory]
    words += [f"sequence.criterion={'mmi' if is_mmi else training.criterion}", f"parallel.algorithm={training.algorithm}"]
    words += [f"sequence.boost={BOOST}"] * (training.criterion == "bmmi")
    words += [
        f"held_out.decoding.metric={config.metric}",
        f"seed={seed}",
        "speech.num_processes=0",
        *config.seq_opts,
    ]  # a job, or a worker of one, has one core
    train = _line("steps/nnet/train_seq.sh", *words)
    return [f"{train} || asrtool compare-sequence diverged {shlex.quote(str(directory))}"]


def _decode(study: Study, training: Training, seed: int) -> list[str]:
    config, directory = study.config, training.directory(study.directory, seed)
    if not (directory / "done").is_file():
        return []
    models = training.models(study.directory, seed, config.average)
    dev = training.decodings(study.directory, seed, config.average, "dev")
    test = training.decodings(study.directory, seed, config.average, "test")
    options = ["--nj", 1, "--metric", config.metric, "--set", "test", "--transition-model", f"{config.alignments}/final.mdl"]
    lines = []
    for kind, model in models.items():
        if not (test[kind] / "scoring_kaldi" / f"best_{config.metric}").is_file():
            words = [config.graph, config.dev_data, model, dev[kind], config.test_data, kind, model, test[kind]]
            lines.append(_line("steps/nnet/evaluate.sh", *options, *words))
    return lines


def _line(*words: object) -> str:
    return shlex.join(map(str, words))


def mark_diverged(directory: Path) -> bool:
    """Leaves DIR/diverged where the log of a failed training says that it diverged; else False."""
    found = [why for log in sorted((directory / "log").glob("train*.log")) if (why := divergence(log))]
    if found:
        write_text(directory / "diverged", found[0] + "\n")
    return bool(found)
