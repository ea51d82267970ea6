"""The lattice of what a search's pruning has left."""

from typing import TYPE_CHECKING

import numpy as np

from asrtool.lattice.lattice import Lattice

if TYPE_CHECKING:
    from asrtool.decoder.packed_graph import PackedGraph


def search_lattice(
    graph: "PackedGraph",
    links: np.ndarray,
    marks: tuple[np.ndarray, np.ndarray],
    costs: tuple[np.ndarray, np.ndarray],
    final_cost: np.ndarray,
    reached_final: bool,
) -> Lattice:
    """A Lattice of tokens and links in the layout of lattice_kernels.

    Args:
        links: LINK [L]; costs: float32 [L] each, their graph and their unscaled acoustic costs.
        marks: frame_begin int64 [T + 2] and link_begin int64 [2 T + 3].
        final_cost: float32 [tokens of the last frame].
    """
    from asrtool.decoder.stream_kernels import epsilon_depths

    frame_begin, link_begin = marks
    num_frames, num_tokens = len(frame_begin) - 2, int(frame_begin[-1])
    frame = np.repeat(np.arange(num_frames + 1, dtype=np.int32), np.diff(frame_begin))
    order = np.lexsort((epsilon_depths(links, link_begin, num_frames, num_tokens), frame))
    state_of_token = np.empty(num_tokens, np.int32)
    state_of_token[order] = np.arange(num_tokens, dtype=np.int32)
    start, end = state_of_token[links["back"] >> 32], state_of_token[links["to"]]
    by_start = np.argsort(start, kind="stable")
    arc = (links["back"][by_start] & 0xFFFFFFFF).astype(np.int32)
    final = np.full(num_tokens, np.inf, np.float32)
    final[state_of_token[frame_begin[-2] :]] = final_cost
    return Lattice(
        num_frames=num_frames,
        state_frame=frame[order],
        arc_start=start[by_start],
        arc_end=end[by_start],
        arc_transition_id=graph.ilabel[arc],
        arc_word=graph.olabel[arc],
        arc_graph_cost=costs[0][by_start],
        arc_acoustic_cost=costs[1][by_start],
        final_cost=final,
        reached_final=reached_final,
    )
