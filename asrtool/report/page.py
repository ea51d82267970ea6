"""The report of a training: one HTML page with everything in it."""

import json
import shlex
from pathlib import Path
from typing import Any

from asrtool import __version__
from asrtool.errors import AsrtoolError
from asrtool.nnet.model_file import ModelBundle, load_model
from asrtool.report.confusions import held_out_section
from asrtool.report.curves import curves_section
from asrtool.report.data_statistics import data_paths, data_section, recorded_frames
from asrtool.report.experiment import FRAME_SHIFT_S, Experiment, hours, read_experiment, seconds_of
from asrtool.report.figures import MODEL_NAMES
from asrtool.report.html import bold, cards, page, paragraph, preformatted, table
from asrtool.report.sequence_curves import is_sequence, sequence_section
from asrtool.report.speed import clock, efficiency_section, events_section, frames_section, throughput_section


def report_page(path: Path) -> str:
    """The page of an experiment directory.

    Raises:
        AsrtoolError: no such directory, not one of a network's training, or a broken line in metrics.jsonl.
    """
    experiment = read_experiment(path)
    models = final_models(experiment)
    bundle = next(iter(models.values()), None)
    sections = [
        ("summary", "Summary", summary_section(experiment, models)),
        ("curves", "Curves", curves_section(experiment)),
        *([("sequence", "Sequence training", sequence_section(experiment))] if is_sequence(experiment) else []),
        ("held-out", "Held-out frames and phones", held_out_section(experiment)),
        ("data", "Data", data_section(experiment, bundle)),
        ("throughput", "Throughput", throughput_section(experiment)),
        ("efficiency", "Parallel efficiency", efficiency_section(experiment)),
        ("frames", "Frames by worker", frames_section(experiment)),
        ("events", "Events", events_section(experiment)),
        ("settings", "Settings", settings_section(experiment)),
    ]
    kind = describe_model(experiment, bundle)
    footer = f"asrtool {__version__}, from config.yaml, run.json, metrics.jsonl and the models of {experiment.name}."
    return page(f"Training of {experiment.name}", kind, sections, footer)


def final_models(experiment: Experiment) -> dict[str, ModelBundle]:
    """The final models that can be read, by name, in the order of validation."""
    files = {file.stem.removeprefix("final_"): file for file in sorted(experiment.path.glob("final_*.pt"))}
    found = {}
    for name in [
        *(name for name in experiment.models if name in files),
        *(name for name in files if name not in experiment.models),
    ]:
        try:
            found[name] = load_model(files[name])
        except AsrtoolError as error:
            experiment.notes.append(f"A final model could not be read: {error}")
    return found


def describe_model(experiment: Experiment, bundle: ModelBundle | None) -> str:
    """One sentence: kind, sizes, algorithm, workers, data."""
    settings = bundle.settings if bundle is not None else experiment.config.get("model")
    settings = settings if isinstance(settings, dict) else {}
    sizes = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "kind")
    parallel = experiment.config.get("parallel")
    algorithm = parallel.get("algorithm") if isinstance(parallel, dict) else None
    where = data_paths(experiment.run).get("train_data")
    text = str(settings["kind"]).upper() if "kind" in settings else "A network"
    text += f" ({sizes})" if sizes else ""
    text += f", trained with {algorithm.upper()}" if isinstance(algorithm, str) else ""
    text += f" on {experiment.num_workers} worker(s)" if experiment.num_workers else ""
    return text + (f", data {where}." if where else ".")


def summary_section(experiment: Experiment, models: dict[str, ModelBundle]) -> str:
    """Headline figures, the final models, what else is known of them."""
    parts = [cards(headline(experiment, models))]
    if not (experiment.path / "done").is_file():
        train = experiment.of_kind("train")
        epoch = f", at epoch {train[-1]['epoch']:g}" if train else ""
        parts.append(paragraph(f"This training is not finished{epoch}; the page shows it as far as it has come."))
    parts += [paragraph(note) for note in experiment.notes]
    parts.append(_table_of_models(experiment, models))
    if experiment.decodings:
        parts.append("<h3>Decoding</h3>" + table(["directory", "best"], experiment.decodings.items(), wrap_last=True))
    return "\n".join(parts)


def headline(experiment: Experiment, models: dict[str, ModelBundle]) -> list[tuple[str, Any, Any]]:
    """(what, value, remark) of the cards at the top."""
    best = min((experiment.best(model) for model in experiment.models), key=lambda record: record["fer"], default=None)
    bundle = next(iter(models.values()), None)
    train, entries = experiment.of_kind("train"), []
    if best is not None:
        model = MODEL_NAMES.get(best["model"], best["model"])
        entries.append(("lowest validation FER", f"{100 * best['fer']:.2f} %", f"{model}, epoch {best['epoch']:g}"))
    if bundle is not None:
        count = bundle.model.num_parameters()
        entries.append(("parameters", f"{count / 1e6:.2f} M", f"{bundle.model.num_pdfs:,} pdfs"))
    frames = recorded_frames(experiment, "train")
    if frames:
        entries.append(("training speech", f"{hours(frames):,.1f} h", f"{frames:,} frames"))
    if train:
        seconds, seen = sum(map(seconds_of, train)), sum(record["frames"] for record in train)
        planned = experiment.config.get("num_epochs")
        entries.append(("epochs", f"{train[-1]['epoch']:g}", f"of {planned}" if planned else "trained"))
        entries.append(("training took", clock(seconds), "validation left out"))
        if seconds:
            rate = seen / seconds
            entries.append(("frames a second", f"{rate:,.0f}", f"{rate * FRAME_SHIFT_S:,.0f} hours of speech an hour"))
    return entries


def _table_of_models(experiment: Experiment, models: dict[str, ModelBundle]) -> str:
    """The final models, each with the validation of its own epoch."""
    valid = {(record["model"], record["epoch"]): record for record in experiment.of_kind("valid")}
    finals = [valid.get((name, bundle.info.get("epoch"))) for name, bundle in models.items()]
    rows = []
    for name in dict.fromkeys([*experiment.models, *models]):
        epoch = models[name].info.get("epoch") if name in models else None
        record = valid.get((name, epoch))
        lowest = experiment.best(name)
        loss, fer = (f"{record['loss']:.4f}", f"{100 * record['fer']:.2f}") if record else (None, None)
        if record and record["fer"] == min(found["fer"] for found in finals if found):
            fer = bold(fer)
        best = f"{100 * lowest['fer']:.2f} (epoch {lowest['epoch']:g})" if lowest else None
        shown = f"final_{name}.pt" if name in models else "not written yet"
        rows.append([MODEL_NAMES.get(name, name), shown, f"{epoch:g}" if epoch is not None else None, loss, fer, best])
    if not rows:
        return paragraph("No final model and no validation yet.")
    return "<h3>Models</h3>" + table(["model", "file", "of epoch", "validation loss", "validation FER %", "lowest FER %"], rows)


def settings_section(experiment: Experiment) -> str:
    """config.yaml, and where the run comes from."""
    parts = []
    run = dict(experiment.run)
    if run:
        command = run.pop("command", None)
        if isinstance(command, list):
            parts.append("<h3>Command</h3>" + preformatted(shlex.join(map(str, command))))
        versions = run.pop("versions", None)
        if isinstance(versions, dict):
            run["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
        run.pop("data", None)  # shown above
        rows = [[key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)] for key, value in run.items()]
        parts.append(table(["recorded", "of this run"], rows, wrap_last=True))
    else:
        parts.append(paragraph("No run.json: command, commit, versions and machine are not known."))
    if experiment.config_text:
        parts.append("<h3>config.yaml</h3>" + preformatted(experiment.config_text, columns=True))
    else:
        parts.append(paragraph("No config.yaml: the settings are not known."))
    return "\n".join(parts)
