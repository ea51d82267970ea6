"""Our networks as Kaldi's nnet1 has them: DNN, LSTM and LSTMP."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import write_matrix_file
from asrtool.nnet.dnn import Dnn, DnnConfig
from asrtool.nnet.log_prior import write_counts
from asrtool.nnet.lstm import Lstm, LstmConfig
from asrtool.nnet.lstm_layer import LstmLayer
from asrtool.nnet.lstmp import Lstmp, LstmpConfig
from asrtool.nnet.model_file import ModelBundle
from asrtool.nnet.nnet1 import Component, component, write_nnet
from asrtool.nnet.nnet1_import import LSTM_WEIGHTS
from asrtool.nnet.nnet1_transform import transform_components

COUNTS = "ali_train_pdf.counts"


def export_nnet1(bundle: ModelBundle, out_dir: str | Path, binary: bool = True) -> str:
    """Writes final.nnet, final.feature_transform, the prior as counts, and the options of the features.

    Returns:
        the Kaldi commands that compute log-likelihoods with these files; also in OUT_DIR/nnet1.txt.

    Raises:
        AsrtoolError: a model or features that nnet1 does not have.
    """
    out_dir = Path(out_dir)
    if bundle.features.splice_left or bundle.features.splice_right:
        raise AsrtoolError("features spliced before differences are taken have no nnet1 counterpart; use input.left, input.right")
    components = network_components(bundle)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_nnet(out_dir / "final.feature_transform", transform_components(bundle), binary)
    write_counts(out_dir / COUNTS, bundle.log_prior_P)
    files = {"cmvn_opts": _cmvn_opts(bundle), "delta_opts": _delta_opts(bundle), "online_cmvn_opts": _online_cmvn_opts(bundle)}
    for name, text in files.items():
        if text:
            write_text(out_dir / name, text + "\n")
        else:
            (out_dir / name).unlink(missing_ok=True)
    if bundle.global_cmvn is not None:
        # the second name is that of Kaldi's steps/nnet/decode.sh, which applies CMVN itself where there are online_cmvn_opts
        for name in ("global_cmvn", *(["global_cmvn_stats.mat"] if files["online_cmvn_opts"] else [])):
            write_matrix_file(out_dir / name, bundle.global_cmvn.astype(np.float64))
    commands = kaldi_commands(bundle, out_dir)
    write_text(out_dir / "nnet1.txt", commands)
    write_nnet(out_dir / "final.nnet", components, binary)
    return commands


def network_components(bundle: ModelBundle) -> list[Component]:
    """The network with its softmax."""
    kind, num_pdfs = bundle.settings["kind"], bundle.model.num_pdfs
    if kind not in _EXPORTERS:
        raise AsrtoolError(
            f"a model of kind {kind} cannot be written for nnet1, which has no such layers; {', '.join(_EXPORTERS)} can"
        )
    return [*_EXPORTERS[kind](bundle.model, bundle.config), component("Softmax", num_pdfs, num_pdfs)]


def has_counterpart(bundle: ModelBundle) -> bool:
    """Whether nnet1 has layers like the model's."""
    return bundle.settings["kind"] in _EXPORTERS


def _dnn(model: Dnn, config: DnnConfig) -> list[Component]:
    hidden = [one for layer in model.hidden for one in (_affine(layer), *_activation(config.activation, layer.out_features))]
    return [*hidden, _affine(model.output)]


def _lstm(model: Lstm, config: LstmConfig) -> list[Component]:
    activation = _activation(config.fc_activation, config.fc_dim)
    return [*map(_lstm_layer, model.layers), _affine(model.fc), *activation, _affine(model.output)]


def _lstmp(model: Lstmp, config: LstmpConfig) -> list[Component]:
    return [*map(_lstm_layer, model.layers), _affine(model.output)]


_EXPORTERS: dict[str, Callable] = {"dnn": _dnn, "lstm": _lstm, "lstmp": _lstmp}


def _affine(layer: nn.Linear) -> Component:
    return component(
        "AffineTransform", layer.out_features, layer.in_features, weight=_array(layer.weight), bias=_array(layer.bias)
    )


def _activation(name: str, dim: int) -> list[Component]:
    """The component of an activation; none for "linear"."""
    if name == "relu":
        one = np.ones(dim, np.float32)
        rates = {"BiasLearnRateCoef": 0.0, "LearnRateCoef": 0.0}  # slopes that training leaves alone
        return [component("ParametricRelu", dim, dim, rates, alpha=one, beta=0 * one)]
    return [] if name == "linear" else [component(name.capitalize(), dim, dim)]


def _lstm_layer(layer: LstmLayer) -> Component:
    """<LstmProjected>; without a projection the identity stands for it, without peepholes zeros."""
    config, cells = layer.config, layer.config.num_cells
    scalars = {
        "CellDim": cells,
        "CellClip": float(config.cell_clip),
        "DiffClip": float(config.diff_clip),
        "CellDiffClip": float(config.cell_diff_clip),
    }
    gates = {"w_gifo_x": layer.w_x, "w_gifo_r": layer.w_h, "bias": layer.bias}
    arrays = {name: np.roll(_array(weight), cells, axis=-1).T for name, weight in gates.items()}  # i f o g -> g i f o
    for name, theirs in LSTM_WEIGHTS.items():
        weight = getattr(layer, name)
        arrays[theirs] = np.zeros(cells, np.float32) if weight is None else _array(weight)
    arrays["w_r_m"] = np.eye(cells, dtype=np.float32) if layer.w_r is None else _array(layer.w_r).T
    return component("LstmProjected", layer.output_dim, layer.w_x.shape[0], scalars, **arrays)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)


def _cmvn_opts(bundle: ModelBundle) -> str:
    if bundle.features.cmvn not in ("speaker", "utterance"):
        return ""
    return f"--norm-means=true --norm-vars={_boolean(bundle.features.norm_vars)}"


def _online_cmvn_opts(bundle: ModelBundle) -> str:
    options = bundle.features
    if options.cmvn != "online":
        return ""
    frames = f"--speaker-frames={options.speaker_frames} --global-frames={options.global_frames}"
    return f"--norm-vars={_boolean(options.norm_vars)} --cmn-window={options.cmn_window} {frames}"


def _delta_opts(bundle: ModelBundle) -> str:
    options = bundle.features
    return f"--delta-order={options.delta_order} --delta-window={options.delta_window}" if options.delta_order else ""


def kaldi_commands(bundle: ModelBundle, directory: Path) -> str:
    """The pipe of Kaldi programs from features to log-likelihoods; comments say where nnet1 does otherwise than we."""
    comments, pipe, window = [], _cmvn_program(bundle, directory), bundle.input
    if bundle.features.cmvn == "utterance":
        comments.append("# data/cmvn_utt.scp: from compute-cmvn-stats without --spk2utt")
    if bundle.features.delta_order:
        pipe.append(f"add-deltas {_delta_opts(bundle)}")
    shift = f"--time-shift={window.label_delay} " if window.label_delay else ""
    forward = f"nnet-forward {shift}--no-softmax=true --class-frame-counts={directory}/{COUNTS}"
    transform = f"{directory}/final.feature_transform"
    if window.stride == 1:
        forward += f" --feature-transform={transform}"
    else:
        comments += [
            f"# nnet1 skips no frames: subsample-feats takes one window in {window.stride}. An utterance's last window, where",
            f"# it is incomplete, is left out, and each output stands for {window.stride} frames.",
        ]
        pipe += [f"nnet-forward {transform}", f"subsample-feats --n={window.stride} --offset={window.stride // 2}"]
    pipe.append(f"{forward} {directory}/final.nnet")
    sources, sinks = ["scp:data/feats.scp"] + ["ark:-"] * (len(pipe) - 1), ["ark:-"] * (len(pipe) - 1) + ["ark:loglikes.ark"]
    stages = [f"{program} {source} {sink}" for program, source, sink in zip(pipe, sources, sinks)]
    return "\n".join([*comments, " | \\\n  ".join(stages)]) + "\n"


def _cmvn_program(bundle: ModelBundle, directory: Path) -> list[str]:
    """The program that normalises features as the model takes them, with its statistics; none where there is none."""
    options, stats = bundle.features, f"{directory}/global_cmvn"
    norm_vars = f"--norm-vars={_boolean(options.norm_vars)}"
    window = f"--cmn-window={options.cmn_window}"
    history = " --spk2utt=ark:data/spk2utt" if options.speaker_history else ""
    centre = f"--min-cmn-window={options.min_cmn_window} --center={_boolean(options.cmn_center)}"
    programs = {
        "none": None,
        "speaker": f"apply-cmvn {norm_vars} --utt2spk=ark:data/utt2spk scp:data/cmvn.scp",
        "utterance": f"apply-cmvn {norm_vars} scp:data/cmvn_utt.scp",
        "global": f"apply-cmvn {norm_vars} {stats}",
        "online": f"apply-cmvn-online {_online_cmvn_opts(bundle)}{history} {stats}",
        "sliding": f"apply-cmvn-sliding {norm_vars} {window} {centre}",
    }
    program = programs[options.cmvn]
    return [] if program is None else [program]


def _boolean(value: bool) -> str:
    return str(value).lower()
