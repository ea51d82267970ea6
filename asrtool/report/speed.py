"""How fast a training went, and what its workers did with their time."""

import numpy as np

from asrtool.report.experiment import FRAME_SHIFT_S, Experiment, by_epoch, hours, seconds_of
from asrtool.report.html import figure, paragraph, table
from asrtool.report.pictures import COLOURS, fifth_of_an_epoch, picture, running_mean, thin

PARTS = {"step_s": "forward, backward, update", "load_s": "waiting for data", "sync_s": "exchange and waiting for others"}


def throughput_section(experiment: Experiment) -> str:
    """Frames a second over time, and hours of speech an hour by epoch."""
    train = [record for record in experiment.of_kind("train") if record["frames_per_s"] > 0]
    if not train:
        return paragraph("No training record yet.")
    valid = by_epoch(experiment.of_kind("valid"))
    rows = []
    for epoch, records in by_epoch(train).items():
        frames, seconds = sum(record["frames"] for record in records), sum(map(seconds_of, records))
        validation = sum(map(seconds_of, valid.get(epoch, [])))
        rate = frames / seconds
        rows.append(
            [
                epoch,
                f"{frames:,}",
                f"{hours(frames):,.2f}",
                clock(seconds),
                f"{rate:,.0f}",
                f"{rate * FRAME_SHIFT_S:,.0f}",
                clock(validation),
            ]
        )
    header = ["epoch", "frames", "hours of speech", "training took", "frames/s", "hours of speech an hour", "validation took"]
    return figure(
        picture("speed", "Frames a second against the epoch", lambda axes: _draw_rate(axes, train), width=11.6, height=3),
        "10 ms frames a second, all workers together, validation and saving left out; a hundred frames a second are an hour of "
        "speech an hour. Line: mean over the last fifth of an epoch.",
    ) + table(header, rows)


def _draw_rate(axes, train: list[dict]) -> None:
    epoch, frames, seconds = (
        np.array(column, float) for column in zip(*((r["epoch"], r["frames"], seconds_of(r)) for r in train))
    )
    rate = frames / seconds
    mean = running_mean(rate, seconds, fifth_of_an_epoch(epoch))
    epoch, rate, mean = thin(epoch, rate, mean)
    axes.plot(epoch, rate, color="#7d8791", linewidth=0.6, alpha=0.5)
    axes.plot(epoch, mean, color=COLOURS[0])
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("frames/s")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def efficiency_section(experiment: Experiment) -> str:
    """Shares of the workers' time spent on steps, waiting for data, and exchanging."""
    timed = [r for r in experiment.of_kind("train") if all(isinstance(r.get(part), int | float) for part in PARTS)]
    timed = [record for record in timed if seconds_of(record) > 0]
    if not timed:
        return paragraph("Not recorded: this training's records hold no times of steps, data and exchange.")
    rows = []
    for epoch, records in by_epoch(timed).items():
        shares = worker_shares(records, experiment.num_workers or 1)
        rows.append([epoch, *(f"{100 * share:.1f}" for share in shares)])
    total = worker_shares(timed, experiment.num_workers or 1)
    rows.append(["all", *(f"{100 * share:.1f}" for share in total)])
    workers = timed[-1].get("workers", experiment.num_workers)
    header = ["epoch", *(f"{text} %" for text in PARTS.values()), "the rest %"]
    return (
        paragraph(
            f"Parallel efficiency {100 * total[0]:.1f} %: the share of the time of {workers or 'all'} worker(s) in which they "
            "took steps."
        )
        + figure(
            picture(
                "shares",
                "Shares of the workers' time against the epoch",
                lambda axes: _draw_shares(axes, timed, experiment.num_workers or 1),
                11.6,
                2.8,
            ),
            "Shares of the workers' time, validation left out.",
        )
        + table(header, rows)
    )


def worker_shares(records: list[dict], num_workers: int) -> list[float]:
    """Shares of step, load, sync and the rest in workers x wall seconds; 1 in all."""
    parts = [sum(record[part] for record in records) for part in PARTS]
    wall = sum(seconds_of(record) * record.get("workers", num_workers) for record in records)
    wall = max(wall, sum(parts), 1e-9)
    return [part / wall for part in parts] + [1 - sum(parts) / wall]


def _draw_shares(axes, timed: list[dict], num_workers: int) -> None:
    groups = [group.tolist() for group in np.array_split(np.arange(len(timed)), min(len(timed), 120))]
    shares = np.array([worker_shares([timed[i] for i in group], num_workers) for group in groups])
    epochs = [0.0, *(timed[group[-1]]["epoch"] for group in groups)]
    stacked = 100 * np.vstack([shares[:1], shares]).T
    axes.stackplot(
        epochs, stacked, colors=(*COLOURS[:3], "#7d878166"), labels=[*PARTS.values(), "the rest"], step="pre", linewidth=0
    )
    axes.set_xlim(0, epochs[-1])
    axes.set_ylim(0, 100)
    axes.set_xlabel("epoch")
    axes.set_ylabel("% of time")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def frames_section(experiment: Experiment) -> str:
    """Frames seen by each worker in each epoch."""
    records = experiment.of_kind("frames")
    if not records:
        return paragraph('Not recorded by worker in this training\'s metrics.jsonl; its log has them ("... of ... frames seen").')
    few = max(len(record["seen"]) for record in records) <= 8
    rows = []
    for record in records:
        seen, total = record["seen"], sum(record["seen"])
        mean = total / max(len(seen), 1)
        spread = (max(seen) - min(seen)) / mean if seen and mean else 0.0
        each = " + ".join(f"{count:,}" for count in seen) if few else f"{min(seen):,} to {max(seen):,} ({len(seen)} workers)"
        missing = record["total"] - total
        rows.append([f"{record['epoch']:g}", f"{record['total']:,}", f"{total:,}", f"{missing:,}", f"{100 * spread:.2f}", each])
    whole = all(row[3] == "0" for row in rows)
    note = "Every frame of the data was seen in every epoch." if whole else "Not every frame of the data was seen in every epoch."
    header = ["epoch", "frames in the data", "seen", "missing", "spread %", "by worker"]
    return paragraph(note) + table(header, rows)


def events_section(experiment: Experiment) -> str:
    """Decisions of the training: rejected epochs, skipped minibatches, rollbacks, restarts."""
    events = experiment.of_kind("event")
    if not events:
        return paragraph("None recorded.")
    kinds = [str(event.get("what", "event")) for event in events]
    counts = ", ".join(f"{kind}: {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
    shown = events[-200:]
    note = f"{len(events)} in all ({counts})" + (f"; the last {len(shown)}:" if len(shown) < len(events) else ":")
    rows = [[f"{event['epoch']:g}", event.get("what", "event"), event.get("text", "")] for event in shown]
    return paragraph(note) + table(["epoch", "what", "text"], rows, wrap_last=True)


def clock(seconds: float) -> str:
    """1:02:03 or 2:03 or 4.5 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d} min"
