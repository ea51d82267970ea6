"""RESULTS.md of a study of sequence training: the tables of Sak 2014 redrawn, all figures behind them, what can be said."""

from pathlib import Path

from asrtool.io.atomic_file import write_text
from asrtool.report.experiment import read_experiment
from asrtool.report.parallel_comparison_runs import Spread
from asrtool.report.parallel_comparison_table import markdown, shown
from asrtool.report.results_page import provenance
from asrtool.report.sequence_curves import draw_sequence_curves
from asrtool.report.sequence_study import ALGORITHMS, CRITERIA, Study, Training
from asrtool.report.sequence_study_results import Outcome, read_study

LEVEL = 0.05
TITLES = {
    "1": "Table 1: alignments",
    "2": "Table 2: the denominator's language model",
    "3": "Table 3: when to switch from CE",
    "criteria": "Criteria",
    "parallel": "Parallel training, sMBR",
}
NOTES = {
    "1": "sMBR after CE on the GMM's alignments, and after CE from scratch on those of that network.",
    "2": "sMBR; n-grams of the training transcripts.",
    "3": "Sequence training begun after so many epochs of CE, with as many epochs of its own in each row.",
    "criteria": "All from the same CE model, with the same denominator.",
    "parallel": "All from the same CE model. MA and EMA follow the global model of each.",
}
Outcomes = dict[Training, Outcome]


def write_results(study: Study, title: str, command: str, commit: str) -> list[str]:
    """Writes DIR/RESULTS.md and DIR/figures; returns the tables' lines."""
    outcomes, tables = read_study(study), []
    for name in study.config.tables:
        about = ["", *table(study, name, outcomes), "", *sentences(study, name, outcomes), ""]
        tables += [f"## {TITLES[name]}", "", NOTES[name], *about]
    seeds, metric = ", ".join(map(str, study.config.seeds)), study.config.metric.upper()
    intro = (
        f"{metric} % on the test data ({Path(study.config.test_data).name}), mean [lowest, highest] over the seeds ({seeds}). LM "
        "weight, insertion penalty and kind of model (global or EMA) are the best on the dev data. \\*: lower than the "
        f"CE model that training started from, with p < {LEVEL:g} (matched pairs) for every seed; (\\*): for some."
    )
    lines = [f"# {title}", "", intro, "", *tables, "## All trainings", "", *details(study, outcomes), ""]
    lines += [f"![{path.stem}](figures/{path.name})" for path in draw_figures(study)]
    made = provenance(command, commit, 0)
    lines += ["", "## How they were made", "", *made[:2], f"- seeds: {seeds}", *made[3:]]
    write_text(study.directory / "RESULTS.md", "\n".join(lines) + "\n")
    return tables


def table(study: Study, name: str, outcomes: Outcomes) -> list[str]:
    """A table in the form of the paper's."""
    rows = study.table(name)
    if name in ("criteria", "parallel"):
        names = CRITERIA if name == "criteria" else {key: f"sMBR, {label}" for key, label in ALGORITHMS.items()}
        header = ["training", study.config.metric.upper(), "dev", "insertions", "deletions", "substitutions"]
        found = {names.get(row, "CE"): outcomes[trainings[0]] for row, trainings in rows.items()}
        return markdown(
            header, [[label, cell(outcome), shown(outcome.rate("dev")), *_kinds(outcome)] for label, outcome in found.items()]
        )
    header = {
        "1": ["alignments", "CE", "sMBR"],
        "2": ["CE", *[f"{order}-gram" for order in study.config.orders]],
        "3": ["CE epochs at switch", "CE at switch", "MMI", "sMBR"],
    }[name]
    first = {"1": {"gmm": ["GMM"], "lstm": ["network"]}, "3": {row: [row] for row in rows}}.get(name, {})
    return markdown(header, [first.get(row, []) + [cell(outcomes[one]) for one in trainings] for row, trainings in rows.items()])


def cell(outcome: Outcome) -> str:
    """Error rate over the seeds, and whether it is lower than that of CE."""
    text = shown(outcome.rate())
    better = [p < LEVEL and outcome.gain.get(seed, 0) > 0 for seed, p in outcome.p.items()]
    text += " \\*" if better and all(better) else " (\\*)" if any(better) else ""
    return text + (f", {len(outcome.diverged)} diverged" if outcome.diverged else "")


def _kinds(outcome: Outcome) -> list[str]:
    counts = outcome.mean_counts()
    return [f"{value:.0f}" for value in counts] if counts else ["-"] * 3


def details(study: Study, outcomes: Outcomes) -> list[str]:
    """A row a training."""
    header = ["training", "dev", "test", "against CE, relative %", "ins", "del", "sub", "p, seed by seed", "model", "seeds"]
    rows = []
    for training, outcome in outcomes.items():
        gain = Spread.of(outcome.gain.values())
        values = [f"{outcome.p[seed]:.2g}" for seed in sorted(outcome.p)]
        name = training.name + (f" after epoch {training.epoch}" if training.is_ce and training.epoch else "")
        rows.append(
            [
                name, shown(outcome.rate("dev")), shown(outcome.rate()), f"{-gain.mean:+.1f}" if gain else "-", *_kinds(outcome),
                ", ".join(values) or "-", ", ".join(dict.fromkeys(outcome.kinds.values())) or "-", str(len(outcome.test)),
            ]
        )  # fmt: skip
    return markdown(header, rows)


def sentences(study: Study, name: str, outcomes: Outcomes) -> list[str]:
    """What the figures of a table bear out, a list item each."""
    found = {one: outcomes[one] for row in study.table(name).values() for one in row if not one.is_ce}
    known = {one: outcome.rate() for one, outcome in found.items() if outcome.rate()}
    lines = []
    if len(known) > 1:
        best = min(known, key=lambda one: known[one].mean)
        within = [one.name for one in known if one != best and known[one].low <= known[best].high]
        text = f"- lowest mean: {best.name} ({shown(known[best])})"
        ending = ", with every seed." if known[best].count > 1 else "; one seed."
        lines.append(text + (f"; the seeds' ranges of {', '.join(within)} overlap with it." if within else ending))
    for one, outcome in found.items():
        before = outcomes.get(one.before)
        if not (outcome.test and before and before.test):
            continue
        inserted, base = outcome.mean_counts()[0], before.mean_counts()[0]
        if inserted > 1.5 * base + 10:
            lines.append(f"- {one.name}: insertions rise from {base:.0f} to {inserted:.0f}.")
    return lines


def draw_figures(study: Study) -> list[Path]:
    """The curves of the tables' trainings at the first seed, table by table; of finished trainings or not."""
    drawn, seed = [], study.config.seeds[0]
    for name in study.config.tables:
        trainings = dict.fromkeys(one for row in study.table(name).values() for one in row if not one.is_ce)
        directories = {one.name: one.directory(study.directory, seed) for one in trainings}
        experiments = {label: read_experiment(path) for label, path in directories.items() if (path / "metrics.jsonl").is_file()}
        if experiments:
            file = study.directory / "figures" / f"curves_{name}.png"
            draw_sequence_curves(file, experiments, f"{TITLES[name]}, seed {seed}")
            drawn.append(file)
    return drawn
