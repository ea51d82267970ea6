"""Lattice generation on the utterances of decoder_one_best.

Prints
    decoder_lattice_kaldi   frames per CPU second on all twelve against Kaldi's own figure (latgen-faster-mapped), which Kaldi
                            gave in another run on a machine of this kind (see decoder_one_best)
    decoder_lattice         the same against kaldi_decoder's LatticeSimpleDecoder, in turns in this run, on every fourth
The best paths must have Kaldi's words, or the benchmark fails.
"""

import kaldi_decoder
import numpy as np
from decoder_one_best import (
    REFERENCE_EVERY,
    SCALE,
    assert_kaldis_words,
    load,
    make_decoder,
    num_frames,
    print_rate,
    reference_decoder,
    reference_words,
    shortest_times,
)

from asrtool.lattice.lattice import best_path

KALDI_RATE = 450  # frames per CPU second of latgen-faster-mapped


def main() -> None:
    graph, tid_to_pdf, utterances = load()
    decoder = make_decoder(graph, tid_to_pdf)
    config = kaldi_decoder.LatticeSimpleDecoderConfig(beam=13.0, lattice_beam=6.0)
    reference = reference_decoder(graph, "LatticeSimpleDecoder", config)
    some = utterances[::REFERENCE_EVERY]
    by_tid = [np.ascontiguousarray((loglikes * np.float32(SCALE))[:, tid_to_pdf[1:]]) for _, loglikes in some]
    assert_kaldis_words(lambda loglikes: best_path(decoder.decode_lattice(loglikes), SCALE), utterances)
    for (name, loglikes), scores in zip(some, by_tid):
        words, _ = reference_words(reference, scores)
        assert list(best_path(decoder.decode_lattice(loglikes), SCALE).words) == words, name

    def theirs() -> None:
        for scores in by_tid:
            reference.decode(kaldi_decoder.DecodableCtc(scores))
            reference.get_raw_lattice()

    times = shortest_times(
        {
            "all": lambda: [decoder.decode_lattice(loglikes) for _, loglikes in utterances],
            "some": lambda: [decoder.decode_lattice(loglikes) for _, loglikes in some],
            "reference": theirs,
        },
        repeats=3,
    )
    print_rate("decoder_lattice_kaldi", num_frames(utterances) / times["all"], KALDI_RATE)
    print_rate("decoder_lattice", num_frames(some) / times["some"], num_frames(some) / times["reference"])


if __name__ == "__main__":
    main()
