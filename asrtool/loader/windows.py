"""Fills minibatches from utterances in memory."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrtool.feat.spec_augment import Masks
from asrtool.loader.batch import IGNORED, Batch
from asrtool.loader.corpus import Corpus
from asrtool.loader.window_kernels import copy_half_windows, copy_windows, fill_targets, mask_windows
from asrtool.nnet.input import InputOptions


@dataclass
class WindowMaker:
    """Windows of the utterances in memory, by utterance and position.

    Attributes:
        corpus: what is in memory.
        shift_U: int64, see nnet.input: how far an utterance's windows are moved back against its frames.
        masks: of SpecAugment, or None; `num_channels` as in SpecAugmentOptions.
    """

    corpus: Corpus
    shift_U: np.ndarray
    options: InputOptions
    masks: Masks | None = None
    num_channels: int = 1

    def batch(
        self, utterance_TB: np.ndarray, position_TB: np.ndarray, reset_B: np.ndarray, delay: int, names: list[str]
    ) -> Batch:
        """The minibatch of these positions; x_BTF is time-major underneath, as recurrent layers want it.

        Position p of an utterance hears window p and answers for window p - delay; where that is none of the utterance's, the
        target is IGNORED. Windows beyond an utterance repeat its first or last frame.
        """
        corpus, options = self.corpus, self.options
        utterance_K = np.ascontiguousarray(utterance_TB, np.int64).reshape(-1)
        position_K = np.ascontiguousarray(position_TB, np.int64).reshape(-1)
        centre_K, target_K = np.empty_like(utterance_K), np.empty_like(utterance_K)
        begin_U1 = corpus.begin_U1.numpy()
        num_frames, num_targets = fill_targets(
            begin_U1,
            self.shift_U,
            corpus.pdf_N.numpy(),
            utterance_K,
            position_K,
            options.stride,
            delay,
            IGNORED,
            centre_K,
            target_K,
        )
        x_KF = self._copy(begin_U1, utterance_K, centre_K)
        if self.masks is not None:
            x_KWD = x_KF.numpy().reshape(len(centre_K), options.width, -1)
            time_UM2, bins_UM2 = self.masks.time_UM2, self.masks.bins_UM2
            mask_windows(time_UM2, bins_UM2, begin_U1, utterance_K, centre_K, options.left, self.num_channels, x_KWD)
        num_rows, num_streams = utterance_TB.shape
        return Batch(
            x_BTF=x_KF.view(num_rows, num_streams, -1).transpose(0, 1),
            target_BT=torch.from_numpy(target_K).view(num_rows, num_streams).t(),
            reset_B=torch.from_numpy(reset_B),
            num_frames=num_frames,
            num_targets=num_targets,
            utterances=names,
            begin_B=position_TB[0],
            shift_B=self.shift_U[utterance_TB[0]],
        )

    def _copy(self, begin_U1: np.ndarray, utterance_K: np.ndarray, centre_K: np.ndarray) -> Tensor:
        """float32 [K, width * D]."""
        features_ND, options = self.corpus.features_ND.numpy(), self.options
        dim = features_ND.shape[1]
        x_KF = torch.empty(len(centre_K), options.width * dim)
        x_KWD = x_KF.numpy().reshape(len(centre_K), options.width, dim)
        if features_ND.dtype == np.float32:
            copy_windows(features_ND, begin_U1, utterance_K, centre_K, options.left, x_KWD)
        else:
            bits_ND, bits_KWD = features_ND.view(np.uint16), x_KWD.view(np.uint32)
            copy_half_windows(bits_ND, begin_U1, utterance_K, centre_K, options.left, bits_KWD, x_KWD)
        return x_KF
