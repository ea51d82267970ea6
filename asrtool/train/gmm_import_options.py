"""The settings of an import."""

from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError

FORMATS = ("kaldi", "text-pdf", "ctm", "textgrid")


@dataclass(frozen=True)
class ImportOptions:
    """
    Attributes:
        max_failed: the share of the data directory's utterances that may lack a usable alignment.
        lang: its phones.txt is compared with the experiment's; phones with times, and pdf-ids with a model, need it.
        frame_subsampling_factor: alignment frames are so many times longer than features' (chain models: 3); None: as the
            experiment's file frame_subsampling_factor says, 1 without it.
        stretch: alignments at a lower rate get longer, to one transition-id a frame of features.
        length_tolerance: alignments that are so many frames too long or short are made to fit.
        format: one of FORMATS; "" is found out.
        alignments: archive of transition-ids, or directory with ali.*.gz or lat.*.gz; None: the experiment's.
        model: directory with final.mdl and tree whose states pdf-ids or phones with times are made into.
        num_pdfs: text-pdf without a model: how many there are; 0: one more than the largest.
        phone_map, word_ctm, tier: see PhoneLabels, read_phone_ctm, read_textgrids.
        frame_shift_s, frame_offset_s: frame t begins at offset + t * shift seconds; None: the data directory's frame_shift.
        copy_graphs: HCLG.fst and what goes with it comes along; graph: a directory with it that lies elsewhere.
        write_phones, write_pdfs: also phones.1.gz and phones.ctm; also pdf.1.gz.
    """

    max_failed: float = 0.05
    lang: Path | None = None
    frame_subsampling_factor: int | None = None
    stretch: bool = True
    length_tolerance: int = 0
    format: str = ""
    alignments: Path | None = None
    model: Path | None = None
    num_pdfs: int = 0
    phone_map: Path | None = None
    word_ctm: Path | None = None
    tier: str = ""
    frame_shift_s: float | None = None
    frame_offset_s: float = 0.0
    copy_graphs: bool = True
    graph: Path | None = None
    write_phones: bool = True
    write_pdfs: bool = False

    def __post_init__(self) -> None:
        if self.format not in ("", *FORMATS):
            raise AsrtoolError(f"--format {self.format}: expected one of {', '.join(FORMATS)}")
        if (self.frame_subsampling_factor or 1) < 1 or self.length_tolerance < 0 or not 0 <= self.max_failed <= 1:
            raise AsrtoolError(
                "--frame-subsampling-factor must be at least 1, --length-tolerance at least 0, --max-failed between 0 and 1"
            )
        if self.frame_shift_s is not None and self.frame_shift_s <= 0:
            raise AsrtoolError("--frame-shift must be above 0")


def find_format(source: Path) -> str:
    """Which of FORMATS a path has; AsrtoolError where it cannot be told."""
    if source.is_dir():
        is_kaldi = (source / "final.mdl").is_file() or any(source.glob("ali.*"))
        return "kaldi" if is_kaldi or not any(path.suffix.lower() == ".textgrid" for path in source.rglob("*")) else "textgrid"
    if source.suffix.lower() in (".ctm", ".textgrid"):
        return source.suffix.lower()[1:]
    if source.is_file():
        raise AsrtoolError(f"{source}: what is it? Give --format, one of {', '.join(FORMATS)}")
    return "kaldi"
