"""What of a worker's own optimiser survives a synchronisation that moves its parameters."""

import torch
from torch import Tensor


def reset_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Zeroes SGD's momentum and Adam's first moment: directions of a model that is no longer there.

    They grow again over the first 1 / (1 - momentum), or 1 / (1 - beta_1), steps of the block, in which the steps are shorter.
    Adam's second moment and its step count stay, each worker's own: they are the scale of the gradients, which a sync hardly
    changes, and how far it is known. A count of zero beside an old second moment would make Adam's correction of bias blow it up
    by 1 / (1 - beta_2); a second moment of zero would make the first steps of every block as noisy as those of the training.
    `block_adam.py` carries both moments and the count over the blocks instead.
    """
    for entry in optimizer.state.values():
        for name in ("momentum_buffer", "exp_avg"):
            if isinstance(entry.get(name), Tensor):
                entry[name].zero_()
