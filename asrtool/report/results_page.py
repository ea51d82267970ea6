"""RESULTS.md of a run: the table of error rates, with what is needed to get it again."""

import platform
from importlib import metadata
from pathlib import Path

from asrtool import __version__
from asrtool.errors import AsrtoolError
from asrtool.report.figures import MODEL_NAMES

PACKAGES = ("torch", "numpy", "numba", "kaldifst", "kaldilm", "pypinyin", "espeakng-loader")


def network_table(results: list[dict], dataset: str, networks: list[str]) -> list[str]:
    """Table 2 of 1703.01024: one row a kind of model, one column a network, error rates in %.

    Results are those of systems named `<network>_<model>`; what is missing is shown as a dash.
    """
    found = {record["system"]: record for record in results if record["set"] == dataset}
    metric = next((record["metric"].upper() for record in found.values()), "CER")
    lines = [
        f"| Methods ({metric} %, {dataset}) | {' | '.join(network.upper() for network in networks)} |",
        f"|---|{'---|' * len(networks)}",
    ]
    for model, name in MODEL_NAMES.items():
        cells = [found.get(f"{network}_{model}") for network in networks]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(f"{cell['value']:.2f}" if cell else "-" for cell in cells) + " |")
    return lines


def sequence_table(results: list[dict], dataset: str, pairs: dict[str, str]) -> list[str]:
    """Networks before and after sequence training: one row a kind of model, a column each, error rates in %.

    Args:
        pairs: network -> what it is called after sequence training, several names separated by `+`; results are those of systems
            named `<network>_<model>`.
    """
    found = {record["system"]: record for record in results if record["set"] == dataset}
    metric = next((record["metric"].upper() for record in found.values()), "CER")
    columns: list[str] = []
    heads: list[str] = []
    for network, trained in pairs.items():
        columns += [network, *trained.split("+")]
        heads += [f"{network.upper()}, CE", *(f"then {name.removeprefix(network).strip('_')}" for name in trained.split("+"))]
    lines = [f"| Methods ({metric} %, {dataset}) | {' | '.join(heads)} |", f"|---|{'---|' * len(columns)}"]
    for model, name in MODEL_NAMES.items():
        cells = [found.get(f"{column}_{model}") for column in columns]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(f"{cell['value']:.2f}" if cell else "-" for cell in cells) + " |")
    return lines


def all_results_table(results: list[dict]) -> list[str]:
    """Every final result with its counts; those of intermediate models (with `@`) are left to the figures."""
    lines = ["| system | set | metric | % | errors | of | ins | del | sub |", "|---|---|---|---|---|---|---|---|---|"]
    for record in sorted((r for r in results if "@" not in r["system"]), key=lambda r: (r["set"], r["system"])):
        numbers = [record[key] for key in ("errors", "total", "ins", "del", "sub")]
        lines.append(
            f"| {record['system']} | {record['set']} | {record['metric'].upper()} | {record['value']:.2f} | "
            + " | ".join(map(str, numbers))
            + " |"
        )
    return lines


def read_published(path: str | Path) -> list[tuple[str, str, str, str]]:
    """Published figures, from a file of lines `system <tab> set <tab> figure <tab> what it is`; `#` begins a comment.

    Raises:
        AsrtoolError: a line of another form.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = tuple(field.strip() for field in line.split("\t"))
        if len(fields) != 4 or not all(fields):
            raise AsrtoolError(f"{path}: line {number}: expected system, set, figure and description, separated by tabs")
        rows.append(fields)
    return rows


def published_table(results: list[dict], published: list[tuple[str, str, str, str]]) -> list[str]:
    """Published figures with our own of the same place beside them, where there is one; error rates in %."""
    found = {(record["system"], record["set"]): f"{record['value']:.2f}" for record in results}
    lines = ["| our system | set | here | published | what was published |", "|---|---|---|---|---|"]
    for system, dataset, figure, description in published:
        lines.append(f"| {system} | {dataset} | {found.get((system, dataset), '-')} | {figure} | {description} |")
    return lines


def provenance(command: str, commit: str, seed: int) -> list[str]:
    """Command, commit, seed, machine and versions, as a list."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return [
        f"- command: `{command}`",
        f"- commit: {commit}",
        f"- seed: {seed}",
        f"- asrtool {__version__}; {', '.join(versions)}",
        f"- machine: {machine}",
    ]
