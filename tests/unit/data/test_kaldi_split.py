"""The split of a data directory into jobs is Kaldi's."""

import pytest

from asrtool.data.kaldi_split import split_as_kaldi
from asrtool.errors import AsrtoolError
from asrtool.io.alignment import read_alignments


def test_two_jobs_of_kaldis(kaldi_reference):
    for name in ("tri3b_ali", "chain_tree"):
        jobs = [sorted(read_alignments(kaldi_reference / "gmm" / name / f"ali.{job}.gz")) for job in (1, 2)]
        utt2spk = {utterance: utterance.split("-")[0] for utterance in sorted(jobs[0] + jobs[1])}
        assert split_as_kaldi(utt2spk, 2) == jobs


def speakers(*sizes: int) -> dict[str, str]:
    return {f"{chr(97 + number)}{one}": chr(97 + number) for number, size in enumerate(sizes) for one in range(size)}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((1, 1, 6), ["ab", "c"]),  # speakers 0 and 1 to the first job; moving b would not even it out
        ((6, 1, 1), ["a", "bc"]),  # b goes over to the second job
        ((1, 1, 1, 9), ["abc", "d"]),  # c goes back to the first job
    ],
)
def test_speakers_at_the_border_move_where_it_evens_out(sizes, expected):
    utt2spk = speakers(*sizes)
    jobs = split_as_kaldi(utt2spk, 2)
    assert ["".join(dict.fromkeys(utt2spk[utterance] for utterance in job)) for job in jobs] == expected
    assert [utterance for job in jobs for utterance in job] == list(utt2spk)


def test_more_jobs_than_speakers():
    with pytest.raises(AsrtoolError, match="2 speakers cannot be split over 3 jobs"):
        split_as_kaldi(speakers(2, 2), 3)
