"""BMUF-Adam: Adam's moments carried over the blocks (Chen, Ding and Huo, ICASSP 2020)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from asrtool.errors import AsrtoolError
from asrtool.parallel.exchange.summation import update_elements
from asrtool.parallel.flat_buffer import FlatBuffer
from asrtool.parallel.protocol import Comm
from asrtool.parallel.votes import Decision


class AdamMoments:
    """First and second moments of all workers' Adam, averaged at a sync and brought up to the model's own progress.

    Adam's moments are means of past gradients: after tau steps on gradients with mean g (of squares, for the second moment),
    from moment m(0), m = beta^tau m(0) + (1 - beta^tau) g. In block t worker i takes tau_i steps from m(t-1), the same on all,
    and comes to m_i(t). With the weights a_i of the sync (sum 1) a mean of these holds the block's mean gradient g(t):

        m(t)bar = sum a_i m_i(t) = B m(t-1) + (1 - B) g(t),    B = sum a_i beta^tau_i

    But block momentum moves the model further than the mean of the workers. A block's step is zeta times the workers' mean step
    of tau = sum a_i tau_i minibatches, and D(t) = eta D(t-1) + zeta G(t) stands for

        rho(t) = eta rho(t-1) + zeta tau,    rho(0) = 0

    minibatches of steady gradient (in the limit tau / (1 - eta), which is N tau for eta = 1 - 1/N: those of all workers). From
    V(t-1) to V(t), where the workers start again, the model has gone kappa(t) minibatches:

        kappa(t) = rho(t)                    classical:  V(t) - V(t-1) = D(t)
        kappa(t) = zeta tau + eta rho(t)     Nesterov:   V(t) - V(t-1) = zeta G(t) + eta D(t)

    so the moments with which the workers start go as far, on the same g(t), and so does the step count s:

        m(t) = beta^kappa m(t-1) + (1 - beta^kappa) g(t)
             = (beta^kappa - B) / (1 - B) m(t-1) + (1 - beta^kappa) / (1 - B) m(t)bar
        s(t) = s(t-1) + kappa

    for beta_1 and beta_2 alike. The weights of all gradients in m(t) sum to 1 - beta^s(t), so Adam's correction of bias with
    s(t), which need not be whole, is exact. With Nesterov momentum, zeta = 1 and equal tau_i these are the equations of the
    paper; without block momentum m(t) is the plain mean. The second moment is not negative, but for rounding, which is cut off.

    A worker whose optimiser starts afresh, as after the rejection of an epoch, makes moments and counts start from zero.

    Memory: a flat buffer, in which the moments travel one after the other, in float32 also where parameters travel in bfloat16,
    and 2 P/N for m and v. Two more exchanges a sync: three times the bytes of BMUF.

    Args:
        shards: by the names in SHARDS, the own shards of m(t) and v(t), [shard], zeros at first.
    Attributes:
        steps: s(t).
        rho: rho(t).
        began: the worker's own step count when it began the block; None before its first step.
    Raises:
        AsrtoolError: the optimiser is not Adam or AdamW, or of a form that this is not made for.
    """

    SHARDS = ("exp_avg", "exp_avg_sq")  # as the optimiser names them

    def __init__(self, optimizer: torch.optim.Optimizer, buffer: FlatBuffer, comm: Comm, shards: Mapping[str, Tensor]) -> None:
        if not isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
            kind = type(optimizer).__name__
            raise AsrtoolError(
                f"block_adam needs optimizer.kind adam or adamw, not {kind}; set one of them, or block_adam: false"
            )
        betas = {tuple(group["betas"]) for group in optimizer.param_groups}
        if len(betas) != 1 or any(group["amsgrad"] for group in optimizer.param_groups):
            raise AsrtoolError("block_adam needs the same betas for all parameters and no amsgrad")
        self.optimizer, self.buffer, self.comm = optimizer, buffer, comm
        self.betas = betas.pop()
        self.flat = comm.allocate(buffer.flat.numel(), buffer.flat.dtype, buffer.flat.device)
        self.first, self.second = (shards[name] for name in self.SHARDS)
        self.steps = self.rho = 0.0
        self.began: float | None = None
        self._scratch = self.first.new_empty(min(update_elements(self.first.device), self.first.numel()))

    def begin_step(self) -> None:
        """Before each step of the optimiser."""
        if self.began is None:
            self.began = self._own_steps()

    def move(self, decision: Decision, eta: float, zeta: float, nesterov: bool) -> None:
        """At a sync: m(t), v(t) and s(t) on all workers; eta 0 and zeta 1 for the plain mean."""
        tau, decays = self._block_steps(decision)
        self.rho = eta * self.rho + zeta * tau
        if tau > 0:
            kappa = zeta * tau + eta * self.rho if nesterov else self.rho
            for name, shard, beta, decay in zip(self.SHARDS, (self.first, self.second), self.betas, decays):
                self._move_moment(name, shard, decision, beta**kappa, decay)
            self.steps = float(torch.tensor(self.steps + kappa, dtype=torch.float32))  # as the optimiser holds it
        for entry in self._entries():
            entry["step"].fill_(self.steps)

    @torch.no_grad()
    def restart(self) -> None:
        """Every worker's optimiser goes (back) to m, v and s of the last sync; collective."""
        self.began = None
        moments = {name: self.comm.all_gather(shard) for name, shard in zip(self.SHARDS, (self.first, self.second))}
        if self.steps == 0:
            self.optimizer.state.clear()
            return
        for name, flat in moments.items():
            self._unpack(name, flat)
        for entry in self._entries():
            entry["step"].fill_(self.steps)

    def state_dict(self) -> dict[str, Any]:
        """Beside the shards."""
        return {"adam": {"steps": self.steps, "rho": self.rho}, "local_adam_began": self.began}

    def load_counts(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave, the same on all ranks; the shards are loaded with the others, and `restart` follows."""
        if "adam" not in state:
            raise AsrtoolError("the saved parallel state has no moments of Adam; it was made without block_adam")
        self.steps, self.rho = state["adam"]["steps"], state["adam"]["rho"]

    def _block_steps(self, decision: Decision) -> tuple[float, list[float]]:
        """tau, and B of both moments, from the step counts of all workers."""
        now = self._own_steps()
        row = torch.tensor([now, now if self.began is None else self.began], dtype=torch.float64, device=self.flat.device)
        rows = self.comm.all_gather(row).view(self.comm.size, 2).tolist()
        self.began = None
        # the optimiser counts on from a number that is not whole, in float32
        used = [(w / decision.divisor, round(now - began), began) for w, (now, began) in zip(decision.weights, rows) if w > 0]
        if self.steps > 0 and any(began == 0 for _, _, began in used):
            self.first.zero_()
            self.second.zero_()
            self.steps = self.rho = 0.0
        tau = sum(share * count for share, count, _ in used)
        return tau, [sum(share * beta**count for share, count, _ in used) for beta in self.betas]

    @torch.no_grad()
    def _move_moment(self, name: str, shard: Tensor, decision: Decision, advance: float, decay: float) -> None:
        """`advance`: beta^kappa; `decay`: B."""
        old, new = (advance - decay) / (1.0 - decay), (1.0 - advance) / (1.0 - decay)

        def update(begin: int, end: int, total: Tensor) -> None:
            if decision.divisor != 1:
                total.div_(decision.divisor)
            total.mul_(new).add_(torch.mul(shard[begin:end], old, out=self._scratch[: end - begin]))
            if name == "exp_avg_sq":
                total.clamp_(min=0)
            shard[begin:end].copy_(total)

        for parameter, place in self.buffer.views(self.flat):
            moment = self.optimizer.state.get(parameter, {}).get(name)
            if moment is None:  # no data, or no gradient yet
                place.zero_()
            else:
                place.copy_(moment)
        self.comm.exchange(self.flat, decision.weights, update)
        self._unpack(name, self.flat)

    def _unpack(self, name: str, flat: Tensor) -> None:
        for parameter, place in self.buffer.views(flat):
            self._entry(parameter)[name].copy_(place)

    def _entry(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """The optimiser's state of a parameter, made as the optimiser makes it where it has not yet."""
        entry = self.optimizer.state[parameter]
        if not entry:
            group = next(group for group in self.optimizer.param_groups if any(parameter is own for own in group["params"]))
            device = parameter.device if group["fused"] or group["capturable"] else "cpu"
            entry["step"] = torch.zeros((), dtype=torch.float32, device=device)
            for name in self.SHARDS:
                entry[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return entry

    def _entries(self) -> list[dict[str, Tensor]]:
        return [entry for entry in self.optimizer.state.values() if "step" in entry]

    def _own_steps(self) -> float:
        return max((float(entry["step"]) for entry in self._entries()), default=0.0)
