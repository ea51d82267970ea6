"""The minibatches of frame training with outer gradients attached.

The order of the utterances, their streams, the chunks and the windows are those of frame training, and threads make features
ready ahead just as there.
"""

from collections.abc import Iterator
from typing import Any

from asrtool.loader.batch import Batch
from asrtool.loader.loader import Loader
from asrtool.train.outer_feed import OuterFeed


class SequenceLoader:
    """A Loader's minibatches with outer gradients; what else is asked of a Loader, the inner one answers."""

    def __init__(self, loader: Loader, feed: OuterFeed) -> None:
        self.loader = loader
        self.feed = feed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def epoch(self, epoch: int, skip_batches: int = 0) -> Iterator[Batch]:
        """As Loader.epoch. Each time that the next one is asked for, the source is told of the model as it is then."""
        batches = self.loader.epoch(epoch, skip_batches)
        try:
            self.feed.begin(self.loader.beginnings(epoch, skip_batches), going_on=skip_batches > 0)
            for batch in batches:
                yield self.feed.attach(batch)
                self.feed.stepped()
        finally:
            batches.close()
