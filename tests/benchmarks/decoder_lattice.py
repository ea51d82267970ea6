"""Lattice generation against kaldi_decoder's LatticeSimpleDecoder, in frames per CPU second (see decoder_one_best)."""

import kaldi_decoder
import numpy as np
from decoder_one_best import SCALE, load, make_decoder, reference_decoder, reference_words, shortest_times

from asrtool.lattice.lattice import best_path


def main() -> None:
    graph, tid_to_pdf, utterances = load()
    utterances = utterances[::4]  # the reference is slow
    num_frames = sum(len(loglikes) for _, loglikes in utterances)
    by_tid = [np.ascontiguousarray((loglikes * np.float32(SCALE))[:, tid_to_pdf[1:]]) for _, loglikes in utterances]
    decoder = make_decoder(graph, tid_to_pdf)
    config = kaldi_decoder.LatticeSimpleDecoderConfig(beam=13.0, lattice_beam=6.0)
    reference = reference_decoder(graph, "LatticeSimpleDecoder", config)
    for (name, loglikes), scores in zip(utterances, by_tid):
        words, _ = reference_words(reference, scores)
        assert list(best_path(decoder.decode_lattice(loglikes), SCALE).words) == words, name

    def theirs() -> None:
        for scores in by_tid:
            reference.decode(kaldi_decoder.DecodableCtc(scores))
            reference.get_raw_lattice()

    times = shortest_times({"ours": lambda: [decoder.decode_lattice(x) for _, x in utterances], "reference": theirs}, repeats=3)
    ours, reference_rate = (num_frames / times[kind] for kind in ("ours", "reference"))
    print(f"decoder_lattice ours={ours:.0f} reference={reference_rate:.0f} ratio={ours / reference_rate:.2f} unit=frames/CPU-s")


if __name__ == "__main__":
    main()
