"""Networks side by side: size, frame error rate, error rate of words or characters, speed of training."""

from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.nnet.model_file import load_model
from asrtool.report.experiment import read_experiment, seconds_of
from asrtool.report.figures import MODEL_NAMES


@dataclass
class TrainedNetwork:
    """What an experiment directory says of its network.

    Attributes:
        name: of the directory, and so of the systems `<name>_<model>` in results.json.
        num_parameters: of the model.
        stride: 10 ms frames that an output stands for.
        epochs: trained.
        fer: model ("bmuf", "ma", "ema") -> lowest frame error rate in % on validation data, that of the final model.
        frames_per_s: 10 ms frames a second of training, all workers together, validation and saving left out.
    """

    name: str
    num_parameters: int
    stride: int
    epochs: float
    fer: dict[str, float]
    frames_per_s: float


def read_network(experiment: str | Path) -> TrainedNetwork:
    """Reads a finished training.

    Raises:
        AsrtoolError: no final model, or no record of its training.
    """
    experiment = Path(experiment)
    models = sorted(experiment.glob("final_*.pt"))
    if not models:
        raise AsrtoolError(f"{experiment}: no final_*.pt; train the network first")
    bundle = load_model(models[0])
    found = read_experiment(experiment)
    train, valid = found.of_kind("train"), found.of_kind("valid")
    if not valid:
        raise AsrtoolError(f"{experiment}/metrics.jsonl: no validation record; train for an epoch first")
    seconds = sum(seconds_of(record) for record in train)
    return TrainedNetwork(
        name=experiment.name,
        num_parameters=bundle.model.num_parameters(),
        stride=bundle.input.stride,
        epochs=max(record["epoch"] for record in valid),
        fer={model: 100 * found.best(model)["fer"] for model in found.models},
        frames_per_s=sum(record["frames"] for record in train) / seconds if seconds else 0.0,
    )


def comparison_table(networks: list[TrainedNetwork], results: list[dict]) -> list[str]:
    """One row a network: its best kind of model on the validation data (lowest FER), and that model's error rates."""
    sets = sorted({record["set"] for record in results if "@" not in record["system"] and "subset" not in record["set"]})
    metric = next((record["metric"].upper() for record in results), "WER")
    rates = {(record["system"], record["set"]): record["value"] for record in results}
    header = [
        "network", "model of lowest FER", "parameters", "FER % (validation)", *[f"{metric} %, {dataset}" for dataset in sets],
        "epochs", "frames/s of training", "frames an output",
    ]  # fmt: skip
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for network in networks:
        model = min(network.fer, key=network.fer.__getitem__)
        values = [rates.get((f"{network.name}_{model}", dataset)) for dataset in sets]
        cells = [
            network.name.upper(), MODEL_NAMES.get(model, model), f"{network.num_parameters:,}", f"{network.fer[model]:.2f}",
            *["-" if value is None else f"{value:.2f}" for value in values],
            f"{network.epochs:g}", f"{network.frames_per_s:,.0f}", str(network.stride),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines
