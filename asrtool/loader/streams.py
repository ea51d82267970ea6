"""Utterance streams for truncated back-propagation through time.

S streams run side by side, T windows a step. A stream takes utterance after utterance; each begins at the start of a chunk,
where the stream's state is reset, and its last chunk is padded by repeating the last frame, with targets that are ignored.
With a label delay of d an utterance has d windows more, and its first d outputs are ignored.

For training, the chunks of all utterances in their shuffled order are one long row that is cut into S equal streams
(`plan_even_streams`). So all streams are busy to the end and stand at any point of an utterance; were they to begin and end
with whole utterances, an epoch would end with a few streams in their final silences (seen: frame error rate 43 % in the last
minibatches, 66 % before), and its last steps would teach silence just before the model is validated and saved. The price:
at most S utterances of an epoch are cut in two, of which the second part starts from a reset state. Evaluation keeps
utterances whole (`plan_streams`).
"""

import heapq
from dataclasses import dataclass

import numpy as np

from asrtool.loader.batch import Batch
from asrtool.loader.windows import WindowMaker
from asrtool.nnet.input import InputOptions, num_windows


@dataclass
class StreamPlan:
    """Who is where: row r holds the utterance (-1: none any more) and its chunk's number for each stream.

    Streams are ordered by how long they last, so that the active ones are the first `active_R[r]`.
    """

    utterance_RS: np.ndarray
    chunk_RS: np.ndarray
    active_R: np.ndarray
    chunk_windows: int

    @property
    def num_batches(self) -> int:
        return len(self.active_R)

    @property
    def num_positions(self) -> int:
        """Windows computed, padding included."""
        return int(self.active_R.sum()) * self.chunk_windows

    def columns(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The utterances of row `index`, and which of them begin, or begin anew, with it."""
        active = int(self.active_R[index])
        return self.utterance_RS[index, :active], (self.chunk_RS[index, :active] == 0) | (index == 0)

    def batch(self, maker: WindowMaker, index: int) -> Batch:
        """Row `index` as a minibatch."""
        utterance_B, begins_B = self.columns(index)
        chunk_B = self.chunk_RS[index, : len(utterance_B)]
        position_TB = chunk_B * self.chunk_windows + np.arange(self.chunk_windows)[:, None]
        return maker.batch(
            np.broadcast_to(utterance_B, position_TB.shape),
            position_TB,
            begins_B,
            maker.options.label_delay,
            [maker.corpus.names[number] for number in utterance_B.tolist()],
        )


def plan_streams(chunks_U: np.ndarray, order: np.ndarray, num_streams: int, chunk_windows: int) -> StreamPlan:
    """Gives the utterances in `order` to the streams, each to the one that is free first.

    Args:
        chunks_U: chunks of every utterance.
    """
    free = [(0, stream) for stream in range(num_streams)]
    stream_U = np.zeros(len(chunks_U), np.int64)
    row_U = np.zeros(len(chunks_U), np.int64)
    for utterance in order:
        row, stream = heapq.heappop(free)
        stream_U[utterance], row_U[utterance] = stream, row
        heapq.heappush(free, (row + int(chunks_U[utterance]), stream))
    length_S = np.zeros(num_streams, np.int64)
    for row, stream in free:
        length_S[stream] = row
    place_S = np.empty(num_streams, np.int64)
    place_S[np.argsort(-length_S, kind="stable")] = np.arange(num_streams)
    num_rows = int(length_S.max())
    utterance = np.repeat(np.arange(len(chunks_U)), chunks_U)
    chunk = np.arange(len(utterance)) - np.repeat(np.cumsum(chunks_U) - chunks_U, chunks_U)
    rows, columns = row_U[utterance] + chunk, place_S[stream_U[utterance]]
    utterance_RS = np.full((num_rows, num_streams), -1, np.int64)
    chunk_RS = np.zeros((num_rows, num_streams), np.int64)
    utterance_RS[rows, columns] = utterance
    chunk_RS[rows, columns] = chunk
    return StreamPlan(utterance_RS, chunk_RS, (utterance_RS >= 0).sum(1), chunk_windows)


def plan_even_streams(chunks_U: np.ndarray, order: np.ndarray, num_streams: int, chunk_windows: int) -> StreamPlan:
    """Cuts the chunks of the utterances in `order` into streams of equal length (the last ones may be shorter)."""
    counts = chunks_U[order]
    utterance = np.repeat(order, counts)
    chunk = np.arange(len(utterance)) - np.repeat(np.cumsum(counts) - counts, counts)
    num_rows = -(-len(utterance) // num_streams)
    missing = num_rows * num_streams - len(utterance)
    utterance_RS = np.pad(utterance, (0, missing), constant_values=-1).reshape(num_streams, num_rows).T
    chunk_RS = np.pad(chunk, (0, missing)).reshape(num_streams, num_rows).T
    return StreamPlan(
        np.ascontiguousarray(utterance_RS), np.ascontiguousarray(chunk_RS), (utterance_RS >= 0).sum(1), chunk_windows
    )


def count_chunks(num_frames_U: np.ndarray, options: InputOptions, shift_U: np.ndarray, chunk_windows: int) -> np.ndarray:
    """Chunks of `chunk_windows` windows that each utterance takes, label delay included."""
    return (num_windows(num_frames_U, options, shift_U) + options.label_delay + chunk_windows - 1) // chunk_windows
