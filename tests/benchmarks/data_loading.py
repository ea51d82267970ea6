"""Training data: frames of 10 ms a CPU second from the loader, against what training on a CPU consumes; four processes together.

usage: data_loading.py [MILLIONS_OF_FRAMES]     prints NAME ours=... reference=... ratio=... unit=...

Writes a corpus (4 million frames without an argument) into a temporary directory as the recipes have it: 28 filterbanks in
compressed archives, CMVN by speaker with variances, two orders of differences. "memory" is minibatches from features that are in
memory already; "disk" reads the archives in shards with a thread ahead, the page cache warm; "cold" drops the archives from the
page cache first. CPU time counts all threads of a process; the clock suffers from other programs.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
NUM_PDFS = 1480
NUM_BINS = 28
SHARD_FRAMES = 100_000
COPIES = 10  # of one archive
PROCESSES = 4


def write_corpus(path: Path, num_frames: int) -> None:
    """A data directory: COPIES archives of the same bytes under other names."""
    from asrtool.feat.cmvn import cmvn_stats
    from asrtool.io.kaldi_table import MatrixWriter

    random = np.random.default_rng(0)
    offsets, lengths, total = {}, {}, 0
    stats = np.zeros((2, NUM_BINS + 1))
    with MatrixWriter(path / "feats.1.ark", None, compression_method=2) as writer:
        while total < num_frames // COPIES:
            name = f"u{len(lengths):06d}"
            lengths[name] = int(random.integers(200, 1200))
            matrix = random.standard_normal((lengths[name], NUM_BINS)).cumsum(0).astype(np.float32) / 5 + 12
            writer.write(name, matrix)
            stats += cmvn_stats(matrix)
            total += lengths[name]
        offsets = dict(writer.offsets)
    for copy in range(2, COPIES + 1):
        shutil.copyfile(path / "feats.1.ark", path / f"feats.{copy}.ark")
    copies = range(1, COPIES + 1)
    lines = {
        "feats.scp": [f"c{c:02d}-{u} {path}/feats.{c}.ark:{offset}" for c in copies for u, offset in offsets.items()],
        "utt2num_frames": [f"c{c:02d}-{u} {length}" for c in copies for u, length in lengths.items()],
        "utt2spk": [f"c{c:02d}-{u} c{c:02d}-{u[:5]}" for c in copies for u in lengths],
    }
    for file, text in lines.items():
        (path / file).write_text("\n".join(text) + "\n")
    speakers = dict.fromkeys(line.split()[1] for line in lines["utt2spk"])
    with MatrixWriter(path / "cmvn.ark", path / "cmvn.scp") as writer:
        for speaker in speakers:
            writer.write(speaker, stats)


def make_source(path: Path, rank: int, size: int, gib: float):
    from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
    from asrtool.loader.corpus import ShardedFeatures
    from asrtool.loader.table import UtteranceTable, split_table

    features = FeaturePipeline(path, FeatureOptions(norm_vars=True))
    names = features.utterances()
    lengths = np.array([features.num_frames(name) for name in names])
    pdfs = np.random.default_rng(1).integers(0, NUM_PDFS, lengths.max()).astype(np.int32)
    table = UtteranceTable(names, lengths, [pdfs[:length] for length in lengths])
    return ShardedFeatures(features, split_table(table, rank, size, SHARD_FRAMES), gib, shard_frames=SHARD_FRAMES)


def make_loader(kind: str, source, gib: float, **settings):
    from asrtool.loader.loader import Loader, LoaderConfig
    from asrtool.nnet.input import InputOptions

    options = InputOptions(5, 5, 1) if kind == "frames" else InputOptions(1, 1, 3, 2)
    config = LoaderConfig(
        batching=kind,
        num_streams=24,
        chunk_windows=8,
        batch_windows=1024,
        memory_limit_gib=gib,
        shard_frames=SHARD_FRAMES,
        **settings,
    )
    return Loader(source, options, config, False, 1)


def run_epoch(loader, epoch: int) -> tuple[int, float, float]:
    """Frames, CPU seconds of all threads, seconds."""
    cpu, start = time.process_time(), time.perf_counter()
    frames = sum(batch.num_frames for batch in loader.epoch(epoch))
    assert frames == loader.num_frames
    return frames, time.process_time() - cpu, time.perf_counter() - start


def cpu_rate(loader) -> float:
    """Frames a CPU second; the first batches, which compile or load the kernels, do not count."""
    next(batches := loader.epoch(0))
    batches.close()
    rates = [frames / cpu for frames, cpu, _ in (run_epoch(loader, epoch) for epoch in range(3))]
    return sorted(rates)[1]


def training_rate(settings: dict, loader, seconds: float = 8.0) -> float:
    """Frames that training with momentum SGD consumes a CPU second, loading left out."""
    import torch

    from asrtool.criterion.cross_entropy import cross_entropy
    from asrtool.nnet.model import reset_state
    from asrtool.nnet.registry import make_model

    torch.manual_seed(0)
    model = make_model(settings, 3 * 3 * NUM_BINS, NUM_PDFS)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
    batches = [batch for _, batch in zip(range(60), loader.epoch(0))]
    state, frames, start = (), 0, 0.0
    for number, batch in enumerate(batches):
        if number == 5:  # warm
            frames, start = 0, time.process_time()
        state = reset_state(model, state, batch.reset_B)
        logits, state = model(batch.x_BTF, state)
        loss, _ = cross_entropy(logits, batch.target_BT)
        optimizer.zero_grad()
        (loss / loader.nominal_targets).backward()
        optimizer.step()
        state = tuple(tensor.detach() for tensor in state)
        frames += batch.num_frames
        if number > 5 and time.process_time() - start > seconds:
            break
    return frames / (time.process_time() - start)


def work(path: Path, kind: str, rank: int, size: int, barrier, results) -> None:
    """One of several workers: an epoch from disk, in windows of two shards."""
    import torch

    torch.set_num_threads(1)
    gib = 4 * SHARD_FRAMES * 3 * NUM_BINS * 4 / 2**30
    loader = make_loader(kind, make_source(path, rank, size, gib), gib)
    assert loader.source.window_shards == 2 and len(loader.source.shards) >= 4
    next(batches := loader.epoch(0))
    batches.close()
    barrier.wait(120)
    start = time.time()
    frames, cpu, _ = run_epoch(loader, 1)
    results.put((frames, cpu, start, time.time()))


def from_disk(path: Path, kind: str, size: int) -> tuple[float, float, float]:
    """(frames a second, frames a CPU second, both of `size` processes together; seconds on the clock)."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(size), context.Queue()
    workers = [context.Process(target=work, args=(path, kind, rank, size, barrier, results)) for rank in range(size)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join(60)
    frames, cpu = sum(part[0] for part in found), sum(part[1] for part in found)
    clock = max(part[3] for part in found) - min(part[2] for part in found)
    return frames / clock, frames / cpu, clock


def drop_from_cache(path: Path) -> int:
    """Bytes of the archives, which are no longer in the page cache."""
    total = 0
    for file in path.glob("feats.*.ark"):
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        total += file.stat().st_size
    return total


def show(name: str, ours: float, reference: float, unit: str) -> None:
    print(f"{name} ours={ours:.0f} reference={reference:.0f} ratio={ours / reference:.2f} unit={unit}", flush=True)


def main() -> None:
    import torch

    from asrtool.io.config import load_config
    from asrtool.train.config import TrainConfig

    torch.set_num_threads(1)
    num_frames = int(1e6 * float(sys.argv[1] if len(sys.argv) > 1 else 4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_corpus(path, num_frames)
        in_memory = make_source(path, 0, 1, 64.0)
        streams = make_loader("streams", in_memory, 64.0)
        consumed = {
            name: training_rate(load_config(TrainConfig, REPOSITORY / "conf" / f"{name}.yaml").model, streams)
            for name in ("lstm_mini", "lstmp_mini")
        }
        memory = {kind: cpu_rate(make_loader(kind, in_memory, 64.0)) for kind in ("streams", "utterances", "frames")}
        for model, rate in consumed.items():
            show(f"data_loading_memory_streams_{model}", memory["streams"], rate, "frames/cpu-s")
        show("data_loading_memory_utterances", memory["utterances"], consumed["lstm_mini"], "frames/cpu-s")
        show("data_loading_memory_frames", memory["frames"], consumed["lstm_mini"], "frames/cpu-s")
        del in_memory, streams
        cores = len(os.sched_getaffinity(0))
        for kind in ("streams", "frames"):
            _, rate, _ = from_disk(path, kind, 1)
            for model, reference in consumed.items():
                show(f"data_loading_disk_{kind}_{model}", rate, reference, "frames/cpu-s")
            clock_rate, rate, _ = from_disk(path, kind, PROCESSES)
            show(f"data_loading_disk_{kind}_{PROCESSES}_processes", clock_rate, 1.5e6, "frames/s")
            show(f"data_loading_disk_{kind}_{PROCESSES}_processes_all_{cores}_cores", rate * cores, 1.5e6, "frames/s")
        num_bytes = drop_from_cache(path)
        clock_rate, _, seconds = from_disk(path, "streams", 1)
        show("data_loading_cold_streams", clock_rate, consumed["lstm_mini"], "frames/s")
        print(f"# cold: {num_bytes / 1e6:.0f} MB of archives in {seconds:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
