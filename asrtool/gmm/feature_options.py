"""cmvn_opts, delta_opts, splice_opts: how a Kaldi experiment directory says which features its model takes."""

from dataclasses import replace
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.atomic_file import write_text

_TRUE = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
FILES = ("cmvn_opts", "delta_opts")


def parse_feature_options(cmvn_opts: str = "", delta_opts: str = "") -> FeatureOptions:
    """Kaldi's command-line options of apply-cmvn and add-deltas -> FeatureOptions (speaker CMVN, two differences by default).

    Raises:
        AsrtoolError: an option that is not known here.
    """
    options = FeatureOptions()
    for name, value in _split(cmvn_opts, "cmvn_opts"):
        if name == "norm-means" and value in _TRUE:
            options = options if _TRUE[value] else replace(options, cmvn="none")
        elif name == "norm-vars" and value in _TRUE:
            options = replace(options, norm_vars=_TRUE[value])
        else:
            raise AsrtoolError(f"cmvn_opts: '--{name}={value}': only --norm-means and --norm-vars, true or false, are known")
    for name, value in _split(delta_opts, "delta_opts"):
        if name not in ("delta-order", "delta-window") or not value.isdigit():
            raise AsrtoolError(f"delta_opts: '--{name}={value}': only --delta-order and --delta-window, with a number, are known")
        try:
            options = replace(options, **{name.replace("-", "_"): int(value)})
        except ValueError as error:
            raise AsrtoolError(f"delta_opts: {error}") from None
    return options


def _split(text: str, where: str) -> list[tuple[str, str]]:
    pairs = []
    for word in text.split():
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals:
            raise AsrtoolError(f"{where}: '{word}': options are written --name=value")
        pairs.append((name, value))
    return pairs


def read_feature_options(directory: str | Path) -> FeatureOptions:
    """What the model in a GMM experiment directory takes.

    Raises:
        AsrtoolError: an unknown option, or a model on transformed features (final.mat), which the GMM steps cannot use.
    """
    directory = Path(directory)
    if (directory / "final.mat").exists():
        raise AsrtoolError(f"{directory}/final.mat: models on LDA or fMLLR features are not supported; use one on deltas")
    texts = [(directory / name).read_text() if (directory / name).is_file() else "" for name in FILES]
    try:
        return parse_feature_options(*texts)
    except AsrtoolError as error:
        raise AsrtoolError(f"{directory}/{error}") from None


def write_feature_options(directory: str | Path, cmvn_opts: str, delta_opts: str) -> None:
    """Writes cmvn_opts, and delta_opts where it says something, as Kaldi's training steps do."""
    directory = Path(directory)
    write_text(directory / "cmvn_opts", cmvn_opts.strip() + "\n")
    if delta_opts.strip():
        write_text(directory / "delta_opts", delta_opts.strip() + "\n")
