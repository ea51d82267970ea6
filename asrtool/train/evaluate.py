"""Loss and frame error rate of a model on validation data, shared out over the workers."""

import torch
from torch import nn

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.loader.loader import Loader
from asrtool.nnet.model import AcousticModel, reset_state
from asrtool.parallel.protocol import Comm
from asrtool.train.metrics import Sums


@torch.no_grad()
def evaluate(model: AcousticModel, loader: Loader, comm: Comm) -> Sums:
    """Each worker runs its part; the sums are those of all workers. Collective."""
    device = next(nn.Module.parameters(model)).device
    model.eval()
    totals = torch.zeros(4, dtype=torch.float64)
    state = ()
    for batch in loader.epoch(0):
        state = reset_state(model, state, batch.reset_B.to(device))
        logits, state = model(batch.x_BTF.to(device), state)
        loss, errors = cross_entropy(logits, batch.target_BT.to(device))
        totals += torch.tensor([batch.num_frames, batch.num_targets, loss.item(), errors.item()], dtype=torch.float64)
    totals = totals.to(device)
    comm.all_reduce_(totals)
    return Sums(*totals.tolist())
