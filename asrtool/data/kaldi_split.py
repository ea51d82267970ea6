"""How Kaldi's utils/split_data.sh deals speakers to jobs: alignments of job J must be those of its data of job J."""

from collections.abc import Mapping

from asrtool.data.data_dir import speakers_utterances
from asrtool.errors import AsrtoolError


def split_as_kaldi(utt2spk: Mapping[str, str], num_jobs: int) -> list[list[str]]:
    """The utterances of each job, in the order of utt2spk (which is sorted, as in any data directory).

    Runs of about as many speakers each; then speakers at the borders go to the neighbour wherever that evens out two jobs'
    numbers of utterances (utils/split_scp.pl --utt2spk).

    Raises:
        AsrtoolError: fewer speakers than jobs.
    """
    speakers = speakers_utterances(utt2spk)
    names = list(speakers)
    if not 1 <= num_jobs <= len(names):
        raise AsrtoolError(f"{len(names)} speakers cannot be split over {num_jobs} jobs; give a lower --nj")
    jobs: list[list[str]] = [[] for _ in range(num_jobs)]
    for index, name in enumerate(names):
        jobs[index * num_jobs // len(names)].append(name)
    sizes = [sum(len(speakers[name]) for name in job) for job in jobs]

    def moves(one: int, other: int, name: str) -> bool:
        """Does `name` go from job `one` to `other`?"""
        count = len(speakers[name])
        if abs(sizes[other] + count - (sizes[one] - count)) >= abs(sizes[other] - sizes[one]):
            return False
        sizes[one] -= count
        sizes[other] += count
        return True

    changed = True
    while changed:
        changed = False
        for job in range(num_jobs):
            if job + 1 < num_jobs and jobs[job] and moves(job, job + 1, jobs[job][-1]):
                jobs[job + 1].insert(0, jobs[job].pop())
                changed = True
            if job > 0 and jobs[job] and moves(job, job - 1, jobs[job][0]):
                jobs[job - 1].append(jobs[job].pop(0))
                changed = True
    return [[utterance for name in job for utterance in speakers[name]] for job in jobs]
