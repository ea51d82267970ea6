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
    frames = targets = 0
    measured = torch.zeros(2, dtype=torch.float64, device=device)  # loss and errors: read once, at the end
    state = ()
    for batch in loader.epoch(0):
        state = reset_state(model, state, batch.reset_B.to(device, non_blocking=True))
        logits, state = model(batch.x_BTF.to(device, non_blocking=True), state)
        loss, errors = cross_entropy(logits, batch.target_BT.to(device, non_blocking=True))
        measured += torch.stack((loss.double(), errors.double()))
        frames, targets = frames + batch.num_frames, targets + batch.num_targets
    totals = torch.cat((torch.tensor([frames, targets], dtype=torch.float64, device=device), measured))
    comm.all_reduce_(totals)
    return Sums(*totals.tolist())
