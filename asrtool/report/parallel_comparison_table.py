"""Tables of a comparison of parallel algorithms, and the sentences that its figures bear out."""

from asrtool.report.parallel_comparison_runs import GLOBAL, CellResult, Spread

MODEL_LABELS = {GLOBAL: "global model", "ma": "MA", "ema": "EMA"}
RATES = {"fer": "FER", "rates": ""}
"""Attributes of RunResult -> the name of the rate; that of the test set is WER or CER."""


def error_table(results: list[CellResult], metric: str) -> list[str]:
    """One row a cell: FER and, where something was decoded, error rate of each model; mean and range over the seeds."""
    models = list(dict.fromkeys(model for result in results for model in result.models))
    decoded = any(run.rates for result in results for run in result.runs)
    figures = [("fer", "FER")] + [("rates", metric.upper())] * decoded
    header = ["algorithm", "workers", "setting", *[f"{name} %, {label(m)}" for _, name in figures for m in models], "diverged"]
    rows = []
    for result in results:
        errors = [shown(result.spread(figure, model)) for figure, _ in figures for model in models]
        rows.append([result.label, workers(result), result.setting or "-", *errors, str(result.diverged)])
    return markdown(header, rows)


def cost_table(results: list[CellResult]) -> list[str]:
    """One row a cell: speed, speed-up over the one-worker row of the same network, bytes, staleness."""
    header = [
        "algorithm", "workers", "frames/s", "speed-up", "efficiency %", "MB a worker sends in an epoch", "staleness, mean (max)",
    ]  # fmt: skip
    rows = []
    for result in results:
        speed, gain, sent = result.spread("frames_per_s"), speed_up(result, results), result.spread("megabytes")
        staleness, most = result.spread("staleness"), result.spread("max_staleness")
        rows.append(
            [
                result.label,
                workers(result),
                f"{speed.mean:,.0f}" if speed else "-",
                f"{gain:.2f}" if gain else "-",
                f"{100 * gain / result.cell.num_workers:.0f}" if gain else "-",
                f"{sent.mean:.3g}" if sent else "-",
                (f"{staleness.mean:.1f}" + (f" ({most.high:.0f})" if most else "")) if staleness else "-",
            ]
        )
    return markdown(header, rows)


def search_table(results: list[CellResult]) -> list[str]:
    """What each search tried: validation FER of the global model at the first seed."""
    rows = []
    for result in results:
        tried = {name: f"{name}: {'diverged' if fer is None else f'{fer:.2f}'}" for name, fer in result.search.items()}
        marked = [f"**{text}**" if name == result.setting else text for name, text in tried.items()]
        rows.append([result.label, workers(result), *marked])
    width = max((len(row) for row in rows), default=2)
    header = ["algorithm", "workers", *[f"setting {number}" for number in range(1, width - 1)]]
    return markdown(header, rows)


def speed_up(result: CellResult, results: list[CellResult]) -> float | None:
    """As modelled, or frames a second by those of one worker on the same network; None where one of the two is not known."""
    if modelled := result.spread("speed_up"):
        return modelled.mean
    one = next((other for other in results if other.cell.num_workers == 1 and other.cell.network == result.cell.network), None)
    speed, base = result.spread("frames_per_s"), one.spread("frames_per_s") if one else None
    return speed.mean / base.mean if speed and base and base.mean else None


def sentences(results: list[CellResult], metric: str) -> list[str]:
    """What can be said for sure of the results of one network, a sentence each.

    A difference counts where all seeds of one side lie beyond all of the other's; there must be two seeds at least.
    """
    found = []
    for number in sorted({result.cell.num_workers for result in results if result.cell.num_workers > 1}):
        group = [result for result in results if result.cell.num_workers == number]
        for figure, name in RATES.items():
            found += _lowest(group, figure, name or metric.upper(), number)
    one = next((result for result in results if result.cell.num_workers == 1), None)
    for result in results:
        for figure, name in RATES.items():
            if one is not None and result is not one:
                found += _against(result, one, figure, name or metric.upper())
    for result in results:
        for figure, name in RATES.items():
            found += _averages(result, figure, name or metric.upper())
    return found


def _lowest(group: list[CellResult], figure: str, name: str, number: int) -> list[str]:
    spreads = {result.label: result.spread(figure, GLOBAL) for result in group}
    known = {label: spread for label, spread in spreads.items() if spread and spread.count > 1}
    if len(known) < 2:
        return []
    first = min(known, key=lambda label: known[label].mean)
    within = [label for label in known if label != first and known[label].low <= known[first].high]
    seeds = min(spread.count for spread in known.values())
    text = f"{number} workers: the lowest mean {name} of the global model is that of {first} ({shown(known[first])})"
    if within:
        return [f"{text}; within the spread of {seeds} seeds of {', '.join(within)}."]
    return [f"{text}, with every seed below all other algorithms."]


def _against(result: CellResult, one: CellResult, figure: str, name: str) -> list[str]:
    ours, base = result.spread(figure, GLOBAL), one.spread(figure, GLOBAL)
    if not (ours and base and ours.count > 1 and base.count > 1):
        return []
    who = f"{who_is(result)}: {name}"
    if ours.high < base.low:
        return [f"{who} lower than that of {one.label} with every seed."]
    if ours.low > base.high:
        return [f"{who} higher than that of {one.label} with every seed."]
    seeds = min(ours.count, base.count)
    if ours.mean <= base.high:
        return [f"{who} no worse than that of {one.label} within the spread of {seeds} seeds."]
    return [f"{who} higher in the mean than that of {one.label}, but not with every one of {seeds} seeds."]


def _averages(result: CellResult, figure: str, name: str) -> list[str]:
    base, lower, higher, mixed = result.by_seed(figure, GLOBAL), [], [], []
    for model in result.models:
        other = result.by_seed(figure, model)
        pairs = [(other[seed], base[seed]) for seed in base if seed in other]
        if model == GLOBAL or len(pairs) < 2:
            continue
        where = lower if all(a < b for a, b in pairs) else higher if all(a > b for a, b in pairs) else mixed
        where.append(label(model))
    parts = [f"{' and '.join(those)} {what}" for those, what in ((lower, "below"), (higher, "above")) if those]
    parts += [f"{' and '.join(mixed)} now below, now above"] if mixed else []
    return [f"{who_is(result)}: {name} of {'; '.join(parts)} the global model's, seed by seed."] if parts else []


def label(model: str) -> str:
    """A model's name for people: "EMA 0.99" for "ema0.99"."""
    return MODEL_LABELS.get(model) or (f"EMA {model[3:]}" if model.startswith("ema") else model)


def who_is(result: CellResult) -> str:
    """An algorithm and its workers in a sentence."""
    simulated = " simulated" * any(run.run.simulated for run in result.runs)
    return result.label if result.cell.num_workers == 1 else f"{result.label}, {result.cell.num_workers}{simulated} workers"


def workers(result: CellResult) -> str:
    """N, and whether they were simulated."""
    simulated = any(run.run.simulated for run in result.runs)
    return f"{result.cell.num_workers}{' (simulated)' * simulated}"


def shown(spread: Spread | None) -> str:
    """Mean and range: "57.35 [57.10, 57.62]"."""
    if spread is None:
        return "-"
    return f"{spread.mean:.2f}" + (f" [{spread.low:.2f}, {spread.high:.2f}]" if spread.count > 1 else "")


def markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    """A table; short rows are filled up."""
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return lines + [f"| {' | '.join([*row, *[''] * (len(header) - len(row))])} |" for row in rows]
