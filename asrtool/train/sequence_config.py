"""Settings of sequence training: those of frame training with the criterion, the speech module and the held-out measures."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asrtool.criterion.lattice_free import LatticeFreeOptions
from asrtool.criterion.sequence import SequenceOptions
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.config import from_dict
from asrtool.nnet.input import InputOptions
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.registry import MODELS
from asrtool.sequence.held_out import DevOptions
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.train.config import TrainConfig
from asrtool.train.data import TrainPaths


@dataclass
class HeldOutConfig:
    """What is measured of models at the end of an epoch, the frame errors on the validation data apart.

    Attributes:
        max_utterances: of the validation data, evenly spread, for the sequence criterion; 0: all of them; -1: not measured.
        decoding: how the data for the word error rate are decoded and scored (paths: see SequencePaths).
        models: whose word errors are counted: "all" (global, MA, EMA) or the "global" one alone.
        patience: training stops when the word error rate of the global model has risen in so many epochs in a row; 0: never.
    """

    max_utterances: int = 200
    decoding: DevOptions = field(default_factory=DevOptions)
    models: Literal["all", "global"] = "all"
    patience: int = 2

    def __post_init__(self) -> None:
        if self.max_utterances < -1 or self.patience < 0:
            raise ValueError("held_out: max_utterances must be >= -1, patience >= 0")


@dataclass
class SequenceTrainConfig(TrainConfig):
    """As TrainConfig, with these differences.

    Attributes:
        model, input, features: those of the model that training starts from; where they are given all the same they must be
            equal to its own.
        sequence, speech: the criterion, and how outer gradients come about.
        lattice_free: of the criterion lfmmi, which needs no speech module; its acoustic scale is that of `sequence`.
        held_out: what decides on epochs.
        keep_epoch: "best": the final model of each kind is that of the epoch with its lowest word error rate, where that is
            measured, else with its lowest sequence loss.

    `loader.batching` "auto" means streams for models of every kind, whole utterances for lfmmi. newbob goes by the sequence loss.
    The prior of the first model is kept, so `prior_floor` has no meaning.
    """

    model: dict[str, Any] | None = None
    input: InputOptions | None = None
    features: FeatureOptions | None = None
    sequence: SequenceOptions = field(default_factory=SequenceOptions)
    speech: SpeechOptions = field(default_factory=SpeechOptions)
    lattice_free: LatticeFreeOptions = field(default_factory=LatticeFreeOptions)
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)

    def __post_init__(self) -> None:
        if self.model is not None:
            super().__post_init__()
        needed = ("utterances",) if self.sequence.criterion == "lfmmi" else ("streams", "utterances")
        if self.loader.batching not in ("auto", *needed):
            raise ValueError(f"loader.batching: {self.loader.batching}: {self.sequence.criterion} needs {' or '.join(needed)}")

    def resolved(self, start_from: ModelBundle, where: Path) -> "SequenceTrainConfig":
        """With the settings of the model that training starts from, and the way of batching.

        Raises:
            AsrtoolError: other settings than the model's are given.
        """
        taken_over = {"model": start_from.settings, "input": start_from.input, "features": start_from.features}
        for name, own in taken_over.items():
            given = getattr(self, name)
            if given is not None and given != own and (name != "model" or _all_sizes(given) != _all_sizes(own)):
                raise AsrtoolError(f"{name}: {_plain(given)} is not what {where} was trained with, {_plain(own)}; leave it out")
        batching = self.loader.batching
        if batching == "auto":
            batching = "utterances" if self.sequence.criterion == "lfmmi" else "streams"
        return dataclasses.replace(
            self,
            **taken_over,
            loader=dataclasses.replace(self.loader, batching=batching),
            lattice_free=dataclasses.replace(self.lattice_free, acoustic_scale=self.sequence.acoustic_scale),
        )


@dataclass
class SequencePaths(TrainPaths):
    """Of sequence training.

    Attributes:
        init_model: the model that training starts from.
        lang_dir: silence phones, L.fst.
        graph_dir: the denominator's graph, from which lattices are made on the fly; also those of the validation data.
        denlats_dir, valid_denlats_dir: lattices made beforehand, of the training and of the validation data.
        denominator_graph: of lattice-free MMI.
        wer_data, wer_graph_dir: data and graph for the word error rate; both or none.
    """

    init_model: Path | None = None
    lang_dir: Path | None = None
    graph_dir: Path | None = None
    denlats_dir: Path | None = None
    valid_denlats_dir: Path | None = None
    denominator_graph: Path | None = None
    wer_data: Path | None = None
    wer_graph_dir: Path | None = None

    def check(self, config: SequenceTrainConfig) -> None:
        """Raises AsrtoolError where something is missing."""
        if self.init_model is None or self.lang_dir is None:
            raise AsrtoolError("sequence training starts from a model and needs a lang directory; give both")
        if (self.wer_data is None) != (self.wer_graph_dir is None):
            raise AsrtoolError("the word error rate needs both data and a graph; give both or neither")
        if config.sequence.criterion == "lfmmi":
            if self.denominator_graph is None:
                raise AsrtoolError("criterion lfmmi needs a denominator graph; make one with make-den-graph")
        elif self.graph_dir is None and self.denlats_dir is None:
            raise AsrtoolError("denominators: give a graph to make lattices with, or a directory of lattices")
        elif self.graph_dir is None and self.valid_denlats_dir is None and config.held_out.max_utterances >= 0:
            raise AsrtoolError(
                "held_out: the sequence criterion needs a graph or lattices of the validation data too; give one of them, or set "
                "held_out.max_utterances=-1"
            )

    def speech(self) -> SpeechPaths:
        """For the training data."""
        lfmmi = self.denominator_graph
        return SpeechPaths(
            self.init_model, self.train_data, self.alignments, self.lang_dir, self.graph_dir, self.denlats_dir, lfmmi
        )

    def held_out_speech(self) -> SpeechPaths:
        """For the validation data."""
        return dataclasses.replace(
            self.speech(),
            data_dir=self.valid_data,
            ali_dir=self.valid_alignments or self.alignments,
            denlats_dir=self.valid_denlats_dir,
        )


def _all_sizes(model: dict[str, Any]) -> tuple[str, Any]:
    """A model's kind and sizes, defaults filled in."""
    sizes = {key: value for key, value in model.items() if key != "kind"}
    return model["kind"], from_dict(MODELS[model["kind"]][0], sizes, "model")


def _plain(settings: Any) -> Any:
    return dataclasses.asdict(settings) if dataclasses.is_dataclass(settings) else settings
