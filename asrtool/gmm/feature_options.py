"""cmvn_opts, delta_opts, splice_opts: how a Kaldi experiment directory says which features its model takes."""

from dataclasses import replace
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.atomic_file import write_text

_TRUE = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_NUMBERS = {
    "delta_opts": {"delta-order": "delta_order", "delta-window": "delta_window"},
    "splice_opts": {"left-context": "splice_left", "right-context": "splice_right"},
}
SPLICE_CONTEXT = 4  # of Kaldi's splice-feats
MATRIX_FILES = ("final.mat", "full.mat")
FILES = ("cmvn_opts", "delta_opts", "splice_opts", *MATRIX_FILES)


def feature_files(directory: Path) -> list[Path]:
    """Those that an experiment directory has."""
    return [directory / name for name in FILES if (directory / name).is_file()]


def parse_feature_options(cmvn_opts: str = "", delta_opts: str = "", splice_opts: str | None = None) -> FeatureOptions:
    """Kaldi's command-line options -> FeatureOptions.

    Args:
        cmvn_opts: of apply-cmvn; by default the speaker's mean is subtracted.
        delta_opts: of add-deltas; two differences by default.
        splice_opts: of splice-feats; given, even as an empty text, it stands for spliced features (4 frames to each side by
            default), which have no differences: delta_opts are then not looked at.

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
    if splice_opts is None:
        return _numbers(options, delta_opts, "delta_opts")
    spliced = replace(options, delta_order=0, splice_left=SPLICE_CONTEXT, splice_right=SPLICE_CONTEXT)
    return _numbers(spliced, splice_opts, "splice_opts")


def _numbers(options: FeatureOptions, text: str, where: str) -> FeatureOptions:
    """With the options of `text`, all of which are numbers."""
    known = _NUMBERS[where]
    for name, value in _split(text, where):
        if name not in known or not value.isdecimal():
            names = " and ".join(f"--{one}" for one in known)
            raise AsrtoolError(f"{where}: '--{name}={value}': only {names}, with a number, are known")
        try:
            options = replace(options, **{known[name]: int(value)})
        except ValueError as error:
            raise AsrtoolError(f"{where}: {error}") from None
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
    """What the model in a GMM experiment directory takes, up to final.mat: with that file spliced features, else differences.

    Raises:
        AsrtoolError: an unknown option.
    """
    directory = Path(directory)
    cmvn_opts, delta_opts, splice_opts = (_read(directory / name) for name in ("cmvn_opts", "delta_opts", "splice_opts"))
    try:
        return parse_feature_options(cmvn_opts, delta_opts, splice_opts if (directory / "final.mat").exists() else None)
    except AsrtoolError as error:
        raise AsrtoolError(f"{directory}/{error}") from None


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def write_feature_options(directory: str | Path, cmvn_opts: str, delta_opts: str = "", splice_opts: str | None = None) -> None:
    """Writes the files, as Kaldi's training steps do: cmvn_opts always, delta_opts where it says something, splice_opts where
    it is not None; files of an earlier model of another kind are removed."""
    directory = Path(directory)
    write_text(directory / "cmvn_opts", cmvn_opts.strip() + "\n")
    for name, text in (("delta_opts", delta_opts.strip() or None), ("splice_opts", splice_opts)):
        if text is None:
            (directory / name).unlink(missing_ok=True)
        else:
            write_text(directory / name, text.strip() + "\n")
    if splice_opts is None:
        for name in MATRIX_FILES:
            (directory / name).unlink(missing_ok=True)
