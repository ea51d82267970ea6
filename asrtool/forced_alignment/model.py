"""The model that aligns: a GMM experiment directory or a network, with all that lies beside it."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.extraction_options import FbankOptions, MfccOptions
from asrtool.forced_alignment.phone_table import PhoneTable
from asrtool.gmm.features import open_features
from asrtool.gmm.model import read_model
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.gmm_corpus import FeatureSource
from asrtool.tree.context_dependency import ContextDependency

if TYPE_CHECKING:
    from asrtool.gmm.diag_gmm import AmDiagGmm
    from asrtool.nnet.model_file import ModelBundle

CONFS = {"mfcc.conf": MfccOptions, "fbank.conf": FbankOptions}
FILES = ("final.mdl", "final.alimdl", "final.mat", "tree", "phones.txt", "cmvn_opts", "delta_opts", "splice_opts", *CONFS)


@dataclass
class AlignerModel:
    """
    Attributes:
        directory: with final.mdl, tree and phones.txt.
        transition_model, tree, phones: from there.
        gmm: None where a network gives the log-likelihoods.
        network: None where a GMM does.
        adapted_gmm: of a model that was trained on adapted features, for these; `gmm` is then for others (Kaldi's final.alimdl).
        extraction: of the features.
    """

    directory: Path
    transition_model: TransitionModel
    tree: ContextDependency
    phones: PhoneTable
    extraction: FbankOptions
    gmm: "AmDiagGmm | None" = None
    network: "ModelBundle | None" = None
    adapted_gmm: "AmDiagGmm | None" = None

    @classmethod
    def load(cls, path: str | Path, config: str | Path | None = None, directory: str | Path | None = None) -> "AlignerModel":
        """
        Args:
            path: a GMM experiment directory; a network's model file, or a directory with one and no GMM.
            config: of the features (Kaldi's mfcc.conf or fbank.conf); by default the one in the directory.
            directory: with final.mdl, tree and phones.txt of a network's alignments; by default the network's own.

        Raises:
            AsrtoolError: a file is missing or damaged, or what is there does not fit together.
        """
        path = Path(path)
        if not path.exists():
            raise AsrtoolError(f"{path}: no such model; name a directory with final.mdl, tree and phones.txt")
        is_network = path.is_file() or bool(sorted(path.glob("final*.pt")))
        where = Path(directory) if directory else (path.parent if path.is_file() else path)
        for name in ("final.mdl", "tree", "phones.txt"):
            if not (where / name).is_file():
                advice = "; name the directory of its alignments with --ali-dir" if is_network else ""
                raise AsrtoolError(f"{where / name}: no such file: is {where} an experiment directory?{advice}")
        tree = ContextDependency.read_file(where / "tree")
        if is_network:
            return cls._of_network(path, where, tree, config)
        adapted = None
        if (where / "final.alimdl").is_file():
            _, adapted = read_model(where / "final.mdl")
            transition_model, gmm = read_model(where / "final.alimdl")
        else:
            transition_model, gmm = read_model(where / "final.mdl")
        phones = PhoneTable.of_model(where / "phones.txt", transition_model.topology)
        extraction = _extraction(where, config, MfccOptions)
        return cls(where, transition_model, tree, phones, extraction, gmm, None, adapted)

    @classmethod
    def _of_network(cls, path: Path, where: Path, tree: ContextDependency, config: str | Path | None) -> "AlignerModel":
        from asrtool.decoder.network import load_network
        from asrtool.train.align_nnet import find_model

        transition_model = TransitionModel.read_file(where / "final.mdl")
        network = load_network(find_model(path), transition_model.num_pdfs, where / "final.mdl")
        phones = PhoneTable.of_model(where / "phones.txt", transition_model.topology)
        return cls(where, transition_model, tree, phones, _extraction(where, config, None), network=network)

    @property
    def num_pdfs(self) -> int:
        return self.transition_model.num_pdfs

    def source(self, data: DataDir) -> FeatureSource:
        """What the model takes of a data directory's features, without adaptation to speakers."""
        return self.network.pipeline(data) if self.network else open_features(data, self.directory)

    def check_dim(self, dim: int) -> None:
        """AsrtoolError where features are of another dimension than the model."""
        wanted = self.network.feature_dim if self.network else self.gmm.dim
        if dim != wanted:
            raise AsrtoolError(
                f"{self.directory}: the model takes features of dimension {wanted}, these have {dim}; "
                "name the conf file of its training with --config"
            )

    def loglikes(self, features: np.ndarray, adapted: bool = False, pdf_ids: np.ndarray | None = None) -> np.ndarray:
        """float32 [P, T], natural logs, from features float32 [T, D]; only the rows of `pdf_ids`, int32, are surely filled in.

        Args:
            adapted: the features are transformed for their speaker.
        """
        if self.network:
            from asrtool.nnet.forward import loglikes

            return np.ascontiguousarray(loglikes(self.network, features).T)
        gmm = self.adapted_gmm if adapted and self.adapted_gmm else self.gmm
        if pdf_ids is None:
            return gmm.pdf_loglikes(features)
        out = np.empty((gmm.num_pdfs, len(features)), dtype=np.float32)
        out[pdf_ids] = gmm.pdf_loglikes(features, pdf_ids)
        return out

    @cached_property
    def phone_pdfs(self) -> dict[str, np.ndarray]:
        """A phone's name without place -> the pdfs that it can have, ascending."""
        rows = self.transition_model.tuples
        names = np.array([self.phones.plain(phone) for phone in rows[:, 0].tolist()])
        return {name: np.unique(rows[names == name, 2:]) for name in sorted(set(names.tolist()))}


def _extraction(directory: Path, config: str | Path | None, default: type[FbankOptions] | None) -> FbankOptions:
    """The features' settings: of a conf file that was named, of that in the directory, or Kaldi's."""
    if config:
        kind = MfccOptions if default or "mfcc" in Path(config).name else FbankOptions
        return kind.from_conf(config)
    for name, kind in CONFS.items():
        if (directory / name).is_file() and (default is None or kind is default):
            return kind.from_conf(directory / name)
    if default is None:
        raise AsrtoolError(f"{directory}: no fbank.conf: name the conf file of the network's features with --config")
    print(f"{directory}: no mfcc.conf: features as Kaldi makes them by default", file=sys.stderr)
    return default()
