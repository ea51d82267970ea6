"""RESULTS.md of a run: the table of error rates, with what is needed to get it again."""

import platform
from importlib import metadata

from asrtool import __version__
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
        pairs: network -> what it is called after sequence training; results are those of systems named `<network>_<model>`.
    """
    found = {record["system"]: record for record in results if record["set"] == dataset}
    metric = next((record["metric"].upper() for record in found.values()), "CER")
    columns = [name for pair in pairs.items() for name in pair]
    heads = [
        head
        for network, after in pairs.items()
        for head in (f"{network.upper()}, CE", f"then {after.removeprefix(network).strip('_')}")
    ]
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
