"""A study of sequence training after Sak 2014: which trainings its tables consist of, and where they are."""

from dataclasses import dataclass, field
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.config import load_config, save_config

FILE = "study.yaml"
TABLES = ("1", "2", "3", "criteria", "parallel")
CRITERIA = {"mmi": "MMI", "bmmi": "boosted MMI", "smbr": "sMBR", "mpfe": "MPFE", "mpe": "MPE"}
BOOST = 0.1
"""Of bmmi, as in Kaldi's recipes."""
ALGORITHMS = {"single": "SGD, one worker", "asgd": "ASGD", "bsp": "BSP", "bmuf": "BMUF"}


@dataclass
class StudyConfig:
    """What is trained, on which data.

    Attributes:
        alignments, valid_alignments: directories; a GMM's.
        tables: names from TABLES.
        start: whose alignments all tables but the first have: "lstm" (of the network itself) or "gmm".
        switch_epochs: table 3: CE epochs after which sequence training begins; the last may be ce_epochs, the final model.
        order: n-grams of the denominator, where the table does not say (Sak 2014: 2); orders: those of table 2.
        average: the kind of CE model that sequence training starts from.
        ce_opts, seq_opts: key=value words.
        workers: of the table "parallel"; simulate: all in one process (asrtool simulate-seq), where they are more than cores.
        metric: "wer" or "cer".
    """

    alignments: str
    valid_alignments: str
    train_data: str
    valid_data: str
    lang: str
    graph: str
    dev_data: str
    test_data: str
    tables: list[str] = field(default_factory=lambda: ["1", "2", "3"])
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    start: str = "lstm"
    ce_epochs: int = 8
    switch_epochs: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    order: int = 2
    orders: list[int] = field(default_factory=lambda: [1, 2, 3])
    average: str = "ema"
    network_config: str = "conf/lstm_mini.yaml"
    smbr_config: str = "conf/smbr_mini.yaml"
    mmi_config: str = "conf/mmi_mini.yaml"
    ce_opts: list[str] = field(default_factory=list)
    seq_opts: list[str] = field(default_factory=list)
    workers: int = 2
    simulate: bool = False
    metric: str = "wer"

    def __post_init__(self) -> None:
        if unknown := [name for name in self.tables if name not in TABLES]:
            raise ValueError(f"no table '{unknown[0]}'; known: {', '.join(TABLES)}")
        if self.start not in ("lstm", "gmm") or self.metric not in ("wer", "cer"):
            raise ValueError("start must be lstm or gmm, metric wer or cer")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must be one or more different numbers")
        if self.ce_epochs < 1 or self.workers < 2 or any(not 1 <= epoch <= self.ce_epochs for epoch in self.switch_epochs):
            raise ValueError("switch_epochs must be between 1 and ce_epochs, workers at least 2")


@dataclass(frozen=True)
class Training:
    """One cell of a table, trained with every seed.

    Attributes:
        criterion: "ce", or a name from CRITERIA.
        alignments: "gmm" or "lstm".
        order: of the denominator's n-grams.
        epoch: ce: that of the model that is meant; others: after which they began; 0: the final model.
        algorithm: a name from ALGORITHMS.
    """

    criterion: str
    alignments: str
    order: int = 2
    epoch: int = 0
    algorithm: str = "single"

    @property
    def is_ce(self) -> bool:
        return self.criterion == "ce"

    @property
    def name(self) -> str:
        if self.is_ce:
            return f"ce-{self.alignments}"  # its epochs are models of one training
        parts = [self.criterion, self.alignments, f"{self.order}gram"]
        parts += [f"e{self.epoch}"] * bool(self.epoch) + [self.algorithm] * (self.algorithm != "single")
        return "-".join(parts)

    @property
    def before(self) -> "Training":
        """The CE model that it starts from."""
        return Training("ce", self.alignments, epoch=self.epoch)

    def directory(self, study: Path, seed: int) -> Path:
        return study / ("ce" if self.is_ce else "sequence") / f"{self.name}-s{seed}"

    def models(self, study: Path, seed: int, average: str) -> dict[str, Path]:
        """Kind -> file, of what is decoded: the global model and the average; within CE the average alone, to start from."""
        directory = self.directory(study, seed)
        if self.is_ce and self.epoch:
            return {average: directory / "models" / average / f"{self.epoch}.1.pt"}
        return {kind: directory / f"final_{kind}.pt" for kind in (self.algorithm, average)}

    def decodings(self, study: Path, seed: int, average: str, dataset: str) -> dict[str, Path]:
        """Kind -> decoding directory of a data set."""
        at = f"@{self.epoch}" if self.is_ce and self.epoch else ""
        directory = self.directory(study, seed)
        return {kind: directory / f"decode_{dataset}" / f"{kind}{at}" for kind in self.models(study, seed, average)}


@dataclass
class Study:
    """A study that has begun in a directory."""

    config: StudyConfig
    directory: Path

    @classmethod
    def load(cls, directory: str | Path) -> "Study":
        """Raises AsrtoolError where no study has begun in `directory`."""
        return cls(load_config(StudyConfig, Path(directory) / FILE), Path(directory))

    def save(self) -> None:
        """Raises AsrtoolError where the directory has a study of other trainings; more tables and seeds may be added."""
        file = self.directory / FILE
        if file.is_file():
            before, free = load_config(StudyConfig, file), {"tables", "seeds", "switch_epochs", "orders", "workers", "simulate"}
            for name, value in vars(self.config).items():
                if name not in free and getattr(before, name) != value:
                    raise AsrtoolError(f"{file}: {name} was {getattr(before, name)}, now {value}; give another directory")
        self.directory.mkdir(parents=True, exist_ok=True)
        save_config(file, self.config)

    def main(self, criterion: str, **changed: int | str) -> Training:
        """The training of a criterion as all tables have it that do not say otherwise."""
        return Training(criterion, **{"alignments": self.config.start, "order": self.config.order, **changed})

    def table(self, name: str) -> dict[str, list[Training]]:
        """Row -> its trainings, from left to right; CE first where the row has its own."""
        config = self.config
        if name == "1":
            columns = {kind: Training("smbr", kind, config.order) for kind in ("gmm", "lstm")}
            return {kind: [training.before, training] for kind, training in columns.items()}
        if name == "2":
            smbr = [self.main("smbr", order=order) for order in config.orders]
            return {"WER": [smbr[0].before, *smbr]}
        if name == "3":
            epochs = [0 if epoch == config.ce_epochs else epoch for epoch in config.switch_epochs]
            rows = {str(epoch or config.ce_epochs): epoch for epoch in epochs}
            return {
                row: [self.main("smbr", epoch=epoch).before, self.main("mmi", epoch=epoch), self.main("smbr", epoch=epoch)]
                for row, epoch in rows.items()
            }
        if name == "criteria":
            return {"ce": [self.main("smbr").before]} | {criterion: [self.main(criterion)] for criterion in CRITERIA}
        return {"ce": [self.main("smbr").before]} | {one: [self.main("smbr", algorithm=one)] for one in ALGORITHMS}

    def trainings(self) -> list[Training]:
        """All that the tables ask for, each once, CE first."""
        found = [one for name in self.config.tables for row in self.table(name).values() for one in row]
        return sorted(dict.fromkeys(found), key=lambda training: not training.is_ce)
