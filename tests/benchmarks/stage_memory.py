"""Memory and time of every stage on a corpus and on one ten times as large: memory should be flat, time linear.

usage: stage_memory.py --data DATA_DIR --lang LANG_DIR --gmm GMM_DIR [--utterances 2000] [--factor 10] [--stages "a b"] WORK_DIR

DATA_DIR is a recipe's data directory with wav.scp and text, LANG_DIR its lang directory (G.fst is not needed), GMM_DIR a GMM
that it trained, with a graph in GMM_DIR/graph. The corpora are its utterances over and over, under new names, in
WORK_DIR/<number of utterances>. Each stage runs as the recipes call it; a table tells of its largest program the peak of resident
memory (memory maps of archives included), the peak of memory of its own (from /proc, sampled), and CPU and clock seconds of all
its programs. Limits on memory (GMM features, the loader, the LM's sorting) are set low, and equal for both, so that they matter.
Without arguments it does nothing.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GMM_LIMIT = "--memory-limit 100"  # MiB: less than one batch of features
NETWORK = "loader.memory_limit_gib=0.2 num_epochs=1 model.num_layers=2 model.hidden_dim=128 parallel.sync_frames=200000"

# name -> command in WORK_DIR/<utterances>; {lang} {gmm} are the arguments, {part} a fiftieth of the number of utterances
STAGES = {
    "fix": "utils/fix_data_dir.sh data/all",
    "validate": "asrtool validate-data-dir --feats false data/all",
    "hours": "asrtool plan-resources hours data/all",
    "subset": "utils/subset_data_dir.sh --even {part} data/all data/test",
    "split": "utils/split_data.sh data/all 4",
    "speed": "utils/data/perturb_data_dir_speed_3way.sh data/all data/sp",
    "train_lm": "steps/train_lm.sh --order 3 --memory-gib 0.05 data/all/text lm.arpa.gz",
    "copy": "utils/copy_data_dir.sh data/all data/mfcc; utils/copy_data_dir.sh data/all data/fbank",
    "mfcc": "steps/make_mfcc.sh --nj 1 data/mfcc",
    "fbank": "steps/make_fbank.sh --nj 1 --fbank-config conf/fbank40.conf data/fbank",
    "cmvn": "steps/compute_cmvn_stats.sh data/mfcc; steps/compute_cmvn_stats.sh data/fbank",
    "fbank_speed": "asrtool perturb-data-dir-speed 0.9 data/all data/slow; "
    "steps/make_fbank.sh --nj 1 --fbank-config conf/fbank40.conf data/slow; steps/compute_cmvn_stats.sh data/slow",
    "split_valid": "asrtool split-data-dir --valid-share 0.05 data/fbank data/fbank_tr data/fbank_cv",
    "mono": f"steps/train_mono.sh --nj 1 --num-iters 3 --realign-iters 1 {GMM_LIMIT} data/mfcc {{lang}} exp/mono",
    "align": f"steps/align_si.sh --nj 1 {GMM_LIMIT} data/mfcc {{lang}} {{gmm}} exp/ali",
    "deltas": f"steps/train_deltas.sh --nj 1 --num-iters 3 {GMM_LIMIT} 1000 2000 data/mfcc {{lang}} exp/ali exp/tri",
    "lda_mllt": f"steps/train_lda_mllt.sh --nj 1 --num-iters 4 --mllt-iters 2 {GMM_LIMIT} 1000 2000 data/mfcc {{lang}} "
    "exp/ali exp/lda",
    "sat": f"steps/train_sat.sh --nj 1 --num-iters 4 --fmllr-iters 2 {GMM_LIMIT} 1000 2000 data/mfcc {{lang}} exp/lda exp/sat",
    "warp": "steps/perturb_alignment.sh exp/ali data/mfcc data/slow exp/ali_slow",
    "test_data": "utils/subset_data_dir.sh --even {part} data/mfcc data/mfcc_test; "
    "utils/subset_data_dir.sh --even {part} data/fbank data/fbank_test",
    "decode": "steps/decode.sh --nj 1 --model {gmm}/final.mdl --beam 9 --lattice-beam 4 --skip-scoring true {gmm}/graph "
    "data/mfcc_test exp/decode",
    "score": "steps/score.sh data/mfcc_test {gmm}/graph exp/decode",
    "dnn": f"steps/nnet/train.sh --num-workers 1 --nnet-config conf/dnn_mini.yaml exp/ali data/fbank_tr data/fbank_cv "
    f"exp/dnn {NETWORK}",
    "fer": "asrtool evaluate-nnet --out exp/fer.json exp/dnn/final_ema.pt exp/ali data/fbank_tr",
    "nnet_align": f"steps/nnet/align.sh --nj 1 {GMM_LIMIT} --ali-dir exp/ali data/fbank_cv {{lang}} exp/dnn/final_ema.pt "
    "exp/dnn_ali",
    "nnet_decode": "steps/nnet/decode.sh --nj 1 --transition-model exp/ali/final.mdl --beam 9 --lattice-beam 4 {gmm}/graph "
    "data/fbank_test exp/dnn/final_ema.pt exp/dnn_decode",
}


def make_corpus(source: Path, folder: Path, count: int) -> None:
    """`count` utterances of a data directory, again and again under new names."""
    tables = {}
    for name in ("wav.scp", "text", "utt2spk"):
        tables[name] = dict(line.split(None, 1) for line in (source / name).read_text().splitlines())
    names = sorted(tables["utt2spk"])
    random.Random(1).shuffle(names)
    (folder / "data/all").mkdir(parents=True, exist_ok=True)
    chosen = sorted((f"c{index // len(names):04d}-", names[index % len(names)]) for index in range(count))
    for name, table in tables.items():
        with open(folder / "data/all" / name, "w") as file:
            for prefix, utterance in chosen:
                file.write(f"{prefix}{utterance} {prefix if name == 'utt2spk' else ''}{table[utterance]}\n")
    for link in ("steps", "utils", "conf"):
        if not (folder / link).exists():
            (folder / link).symlink_to(ROOT / link)
    (folder / "path.sh").write_text(f'. "{ROOT}/path.sh"\n')


def own_memory(parents: dict[int, int], pid: int) -> int:
    """Peak candidates: the largest RssAnon in kB of `pid` and its descendants."""
    largest, wanted = 0, {pid}
    for child, parent in sorted(parents.items()):
        if parent in wanted:
            wanted.add(child)
    for one in wanted:
        try:
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    largest = max(largest, int(line.split()[1]))
        except OSError:  # it has ended
            continue
    return largest


def processes() -> dict[int, int]:
    """pid -> its parent's."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found


def measure(command: str, folder: Path, log: Path) -> dict[str, float]:
    """Runs a stage; MB and seconds."""
    start, peak, done = time.monotonic(), [0], threading.Event()
    with open(log, "w") as file:
        job = subprocess.Popen(["bash", "-ec", f". ./path.sh; {command}"], cwd=folder, stdout=file, stderr=file)

        def watch() -> None:
            while not done.wait(0.1):
                peak[0] = max(peak[0], own_memory(processes(), job.pid))

        thread = threading.Thread(target=watch)
        thread.start()
        _, status, usage = os.wait4(job.pid, 0)
        done.set()
        thread.join()
    if status != 0:
        sys.exit(f"stage_memory.py: '{command}' failed, log is in {log}")
    return {
        "rss_mb": usage.ru_maxrss * 1024 / 1e6,
        "own_mb": peak[0] * 1024 / 1e6,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "clock_s": time.monotonic() - start,
    }


def table(results: dict[str, dict[str, dict[str, float]]], small: int, large: int) -> str:
    lines = [
        f"| stage | peak, {small} | peak, {large} utterances | own, {small} | own, {large} | own, bytes an utterance more | "
        f"CPU s, {small} | CPU s, {large} | ratio |",
        "|" + "---|" * 9,
    ]
    for name, by_size in results.items():
        one, ten = by_size.get(str(small)), by_size.get(str(large))
        if one and ten:
            growth = (ten["own_mb"] - one["own_mb"]) * 1e6 / (large - small)
            lines.append(
                f"| {name} | {one['rss_mb']:.0f} MB | {ten['rss_mb']:.0f} MB | {one['own_mb']:.0f} MB | {ten['own_mb']:.0f} MB | "
                f"{growth:.0f} | {one['cpu_s']:.1f} | {ten['cpu_s']:.1f} | {ten['cpu_s'] / one['cpu_s']:.1f} |"
            )
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) == 1:
        print("stage_memory: needs a corpus, see its first lines; nothing measured")
        return
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("work", type=Path)
    for name in ("data", "lang", "gmm"):
        options.add_argument(f"--{name}", type=Path, required=True)
    options.add_argument("--utterances", type=int, default=2000)
    options.add_argument("--factor", type=int, default=10)
    options.add_argument("--stages", default=" ".join(STAGES))
    args = options.parse_args()
    small, large = args.utterances, args.utterances * args.factor
    store = args.work / "results.json"
    results = json.loads(store.read_text()) if store.is_file() else {}
    os.environ["OMP_NUM_THREADS"] = "1"
    for count in (small, large):
        folder = args.work.resolve() / str(count)
        if not (folder / "path.sh").is_file():
            make_corpus(args.data, folder, count)
        for name in args.stages.split():
            command = STAGES[name].format(lang=args.lang.resolve(), gmm=args.gmm.resolve(), part=count // 50)
            figures = measure(command, folder, folder / f"{name}.log")
            results.setdefault(name, {})[str(count)] = figures
            store.write_text(json.dumps(results, indent=1))
            print(name, count, {key: round(value, 1) for key, value in figures.items()}, flush=True)
    print(table(results, small, large))


if __name__ == "__main__":
    main()
