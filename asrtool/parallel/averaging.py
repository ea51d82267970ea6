"""Moving averages of the global model: followers that never touch the training (1703.01024, section 2.2)."""

from torch import Tensor

from asrtool.parallel.range_updates import follow_exponential_, follow_mean_


def average_names(ma: bool, ema_alpha: list[float]) -> dict[str, float | None]:
    """Name -> alpha (None for MA): "ma"; "ema" for a single rate, "ema0.9", "ema0.99", ... for several."""
    names: dict[str, float | None] = {"ma": None} if ma else {}
    for alpha in ema_alpha:
        names["ema" if len(ema_alpha) == 1 else f"ema{alpha:g}"] = alpha
    return names


class Averages:
    """MA and any number of EMAs of this rank's shard of the global model theta_g.

    MA is the mean of theta_g(1..t) with equal weights. EMA is alpha * EMA(t-1) + (1 - alpha) * theta_g(t), started at
    theta_g(1), the first global model it sees, so that it needs no correction of bias. Before the first sync both are the
    model that training began with.

    Attributes:
        count: t, the number of global models seen.
        shards: name -> [shard_size].
    """

    def __init__(self, names: dict[str, float | None], shard: Tensor) -> None:
        self.alphas = names
        self.count = 0
        self.shards = {name: shard.clone() for name in names}

    def advance(self) -> None:
        """A new global model follows: call once before its ranges."""
        self.count += 1

    def follow(self, begin: int, end: int, values: Tensor) -> None:
        """Takes elements [begin, end) of the new global shard in."""
        for name, alpha in self.alphas.items():
            average = self.shards[name][begin:end]
            if self.count <= 1:
                average.copy_(values)
            elif alpha is None:
                follow_mean_(average, values, self.count)
            else:
                follow_exponential_(average, values, alpha)
