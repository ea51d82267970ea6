"""Phone language models for the denominator of lattice-free MMI: n-grams without smoothing and without back-off arcs.

Few arcs matter more than unseen n-grams, and the leaky HMM allows these anyway (Povey et al. 2016, "Purely sequence-trained
neural networks for ASR based on lattice-free MMI", Section 2.2; Kaldi's chain-est-phone-lm). A state is a history; histories of
ngram_order - 1 phones that tell little are joined to those that lack their first phone, for good: their n-grams count there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.lm.phone_histories import Histories, list_histories

_SHARE = 4  # a round of joining takes at most a quarter of what is due


@dataclass(frozen=True)
class PhoneLmOptions:
    """Settings, named as Kaldi's.

    Attributes:
        ngram_order: of the longest n-grams, at least 2.
        no_prune_ngram_order: histories of n-grams of this order and below are kept (best the width of the tree's context).
        num_extra_lm_states: how many longer histories are kept on top.
    """

    ngram_order: int = 4
    no_prune_ngram_order: int = 3
    num_extra_lm_states: int = 2000

    def __post_init__(self) -> None:
        if self.ngram_order < 2:
            raise ValueError(f"ngram_order must be at least 2: {self.ngram_order}")
        if not 1 <= self.no_prune_ngram_order <= self.ngram_order:
            raise ValueError(f"no_prune_ngram_order must be between 1 and ngram_order: {self.no_prune_ngram_order}")
        if self.num_extra_lm_states < 0:
            raise ValueError(f"num_extra_lm_states must be at least 0: {self.num_extra_lm_states}")


@dataclass
class PhoneLm:
    """A phone language model.

    Attributes:
        graph: acceptor of phone sequences without epsilons; costs are -log probabilities, a state's and its final one sum to 1.
        histories: the phones that each state stands for, latest last; 0 is the beginning of an utterance.
        num_phones: phones and utterance ends that it was estimated on.
        perplexity: on these, an utterance's end counting as a phone.
    """

    graph: CsrGraph
    histories: list[tuple[int, ...]]
    num_phones: int
    perplexity: float


def estimate_phone_lm(utterances: Iterable[np.ndarray], options: PhoneLmOptions | None = None) -> PhoneLm:
    """The model of phone sequences, int [K] each, phones from 1.

    Raises:
        AsrtoolError: no phones at all, phone 0 or below, or an order that is too high for so many phones.
    """
    options = options or PhoneLmOptions()
    sequences = [np.asarray(utterance, np.int64) for utterance in utterances if len(utterance)]
    if not sequences:
        raise AsrtoolError("phone language model: no phones in the alignments")
    if min(int(sequence.min()) for sequence in sequences) < 1:
        raise AsrtoolError("phone language model: phones are numbered from 1; the alignments hold 0 or less")
    histories, state_N, phone_N = list_histories(sequences, options.ngram_order, options.no_prune_ngram_order)
    table = _Counts(state_N, phone_N, histories.base)
    target = histories.prune_from_size(options.no_prune_ngram_order) + options.num_extra_lm_states
    _join(histories, table, target)
    return _to_graph(histories, table)


class _Counts:
    """How often each phone (0: the end) follows each history, as rows sorted by (history, phone).

    Attributes: state, phone, count int64 [R].
    """

    def __init__(self, state_N: np.ndarray, phone_N: np.ndarray, base: int) -> None:
        self.base = base
        keys, self.count = np.unique(state_N * base + phone_N, return_counts=True)
        self.state, self.phone = keys // base, keys % base

    def totals(self, num_states: int) -> np.ndarray:
        """int64 [S]: how often each history occurs."""
        return np.bincount(self.state, self.count, num_states).astype(np.int64)

    def move(self, destination: np.ndarray) -> None:
        """Counts of history s go to history destination[s]."""
        keys, which = np.unique(destination[self.state] * self.base + self.phone, return_inverse=True)
        self.count = np.bincount(which, self.count).astype(np.int64)
        self.state, self.phone = keys // self.base, keys % self.base

    def losses(self, parent: np.ndarray) -> np.ndarray:
        """float64 [S]: what the log-likelihood loses when the counts of a history alone go to parent[s] (-1: infinity)."""
        total = self.totals(len(parent)).astype(np.float64)
        up = parent[self.state]
        key = up * self.base + self.phone
        keys = self.state * self.base + self.phone
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        at_parent = np.where((keys[place] == key) & (up >= 0), self.count[place], 0)
        change = np.bincount(self.state, _xlogx(self.count + at_parent) - _xlogx(self.count) - _xlogx(at_parent), len(parent))
        total_up = np.where(parent >= 0, total[parent], 0)
        change -= _xlogx(total + total_up) - _xlogx(total) - _xlogx(total_up)
        return np.where(parent >= 0, np.maximum(-change, 0), np.inf)


def _xlogx(value: np.ndarray) -> np.ndarray:
    return value * np.log(np.maximum(value, 1))


def _join(histories: Histories, table: _Counts, target: int) -> None:
    """Joins histories to shorter ones, those first that lose least, until `target` have counts or none may be joined.

    Kaldi takes one after the other from a queue; here a round takes several, at most one for each parent, so that what each
    loses is exact, and none that loses more than the rest of what is due would.
    """
    parent = histories.parent
    while True:
        total = table.totals(len(parent))
        excess = np.count_nonzero(total) - target
        allowed = np.flatnonzero(histories.may_join(total, table.state, table.phone))
        if excess <= 0 or len(allowed) == 0:
            return
        # where a parent has no counts yet nothing is lost: the rarest go first
        loss = np.where(total[parent[allowed]] > 0, table.losses(parent)[allowed], 1e-15 * total[allowed])
        due = min(max(excess // _SHARE, 1), len(allowed))
        order = np.argsort(loss, kind="stable")[:due]
        _, first = np.unique(parent[allowed[order]], return_index=True)
        destination = np.arange(len(parent))
        chosen = allowed[order[first]]
        destination[chosen] = parent[chosen]
        table.move(destination)


def _to_graph(histories: Histories, table: _Counts) -> PhoneLm:
    total = table.totals(len(histories.parent))
    number = np.cumsum(total > 0) - 1
    log_prob = np.log(table.count / total[table.state])
    ends = table.phone == 0
    final = np.full(int(number[-1]) + 1, np.inf)
    final[number[table.state[ends]]] = -log_prob[ends]
    state, phone = table.state[~ends], table.phone[~ends]
    nextstate = number[histories.following(state, phone, total > 0)]
    start = number[histories.longest_active(np.zeros((1, 1), np.int64), total > 0)[0]]
    graph = CsrGraph.from_arcs(start, number[state], phone, phone, nextstate, -log_prob[~ends], final)
    num_phones = int(total.sum())
    return PhoneLm(
        graph=graph,
        histories=[histories.phones(state) for state in np.flatnonzero(total).tolist()],
        num_phones=num_phones,
        perplexity=float(np.exp(-(log_prob @ table.count) / num_phones)),
    )
