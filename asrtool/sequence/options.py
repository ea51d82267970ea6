"""Settings of the speech module and the files that it reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class SpeechOptions:
    """How numerators, denominator lattices and outer gradients are made, and by how many processes.

    Attributes:
        beam, lattice_beam, max_active, min_active: of the search for denominator lattices (Kaldi's make_denlats.sh).
        numerator: "alignment": the transition-ids of the alignment directory; "realign": the best path through the
            utterance's training graph with the present network.
        align_beam, align_retry_beam: of realigning.
        missing_numerator: what is done where the numerator is no path of the lattice. "keep": nothing (MMI's frame rejection
            sees to it); "add": its path is joined to the lattice, with its cost in the graph; "skip": the utterance gives
            nothing, which is no failure.
        num_processes: beside each trainer; 0: the trainer does the work itself when a batch of utterances is due.
        batch_utterances: that go through the network together, with the same parameters.
        queue_utterances: results at most that are made or under way ahead of the trainer; 0: three batches for each process.
        refresh: steps of the trainer from one publication of its parameters to the next (at most a quarter of max_staleness).
        max_staleness: steps by which the parameters of a lattice may be older than those that its gradient is used on;
            0 for no limit. Fewer utterances are handed out ahead where the limit asks for it; a result that is too old all
            the same is made again.
        max_failed: share of utterances that may fail (0 to 1) once `min_counted` have been tried.
        max_deaths: times that a process may die over the same utterance before the training is given up.
    """

    beam: float = 13.0
    lattice_beam: float = 7.0
    max_active: int = 5000
    min_active: int = 200
    numerator: Literal["alignment", "realign"] = "alignment"
    align_beam: float = 10.0
    align_retry_beam: float = 40.0
    missing_numerator: Literal["keep", "add", "skip"] = "keep"
    num_processes: int = 1
    batch_utterances: int = 8
    queue_utterances: int = 0
    refresh: int = 10
    max_staleness: int = 0
    max_failed: float = 0.1
    min_counted: int = 50
    max_deaths: int = 3

    def __post_init__(self) -> None:
        if not (self.beam > 0 and self.lattice_beam > 0 and self.align_beam > 0 and self.align_retry_beam >= 0):
            raise ValueError("beam, lattice_beam and align_beam must be above 0, align_retry_beam at least 0")
        if not 0 <= self.min_active <= self.max_active or self.max_active < 2:
            raise ValueError("max_active must be at least 2 and min_active between 0 and max_active")
        if self.num_processes < 0 or self.max_staleness < 0 or self.min_counted < 0:
            raise ValueError("num_processes, max_staleness and min_counted must be at least 0")
        if self.batch_utterances < 1 or self.refresh < 1 or self.max_deaths < 1:
            raise ValueError("batch_utterances, refresh and max_deaths must be at least 1")
        if 0 < self.queue_utterances < self.batch_utterances or self.queue_utterances < 0:
            raise ValueError("queue_utterances must be 0 or at least batch_utterances")
        if not 0 <= self.max_failed <= 1:
            raise ValueError("max_failed must be between 0 and 1")

    @property
    def queue(self) -> int:
        """queue_utterances, or what 0 stands for."""
        return self.queue_utterances or 3 * max(self.num_processes, 1) * self.batch_utterances

    @property
    def publish_every(self) -> int:
        """refresh, or less where max_staleness asks for it."""
        return max(1, min(self.refresh, self.max_staleness // 4)) if self.max_staleness else self.refresh


@dataclass
class SpeechPaths:
    """What the speech module reads.

    Attributes:
        model: the network's model file (kind, input, features, log prior; its weights are the first parameters).
        data_dir: features, and for realigning text.
        ali_dir: final.mdl and tree of the network's pdfs; for numerators "alignment" also ali.*.gz.
        lang_dir: silence phones, and for realigning L.fst.
        graph_dir: the denominator's HCLG.fst and words.txt, to make lattices on the fly; also needed by missing_numerator "add".
        denlats_dir: lattices lat.*.gz made beforehand, used instead of a search where it is given.
        denominator_graph: lattice-free MMI's denominator graph; neither of the other two is needed with it.
    """

    model: Path
    data_dir: Path
    ali_dir: Path
    lang_dir: Path
    graph_dir: Path | None = None
    denlats_dir: Path | None = None
    denominator_graph: Path | None = None
