"""The phone side of a lang directory: word-position variants, lists, tree roots, questions, HMM topology.

Names, order and formats are those of Kaldi's utils/prepare_lang.sh, byte for byte.
"""

from asrtool.errors import AsrtoolError
from asrtool.lang.dictionary import POSITION_SUFFIXES, Dictionary, Pronunciation


class PhoneVariants:
    """The variants of a phone by its position in the word: (B)egin, (E)nd, (I)nternal, (S)ingleton.

    A silence phone also keeps its plain form, for silence between words.
    """

    def __init__(self, dictionary: Dictionary, position_dependent: bool) -> None:
        self.position_dependent = position_dependent
        of_silence = ("", *POSITION_SUFFIXES) if position_dependent else ("",)
        of_others = POSITION_SUFFIXES if position_dependent else ("",)
        self.silence = [phone for line in dictionary.silence_phones for phone in line]
        self.nonsilence = [phone for line in dictionary.nonsilence_phones for phone in line]
        self.of = {phone: [phone + suffix for suffix in of_silence] for phone in self.silence}
        self.of |= {phone: [phone + suffix for suffix in of_others] for phone in self.nonsilence}

    def expand(self, phones) -> list[str]:
        """All variants of all `phones`."""
        return [variant for phone in phones for variant in self.of[phone]]

    def mark(self, phones: tuple[str, ...]) -> tuple[str, ...]:
        """A pronunciation with the position of each phone."""
        if not self.position_dependent:
            return phones
        if len(phones) == 1:
            return (phones[0] + "_S",)
        return (phones[0] + "_B", *(phone + "_I" for phone in phones[1:-1]), phones[-1] + "_E")


def phone_files(dictionary: Dictionary, variants: PhoneVariants, share_silence_phones: bool) -> dict[str, list[str]]:
    """The text files of lang/phones that do not depend on the lexicon: name -> lines."""
    silence_lines = dictionary.silence_phones
    if share_silence_phones:
        silence_lines = [variants.silence]
    sets = [" ".join(variants.expand(line)) for line in silence_lines + dictionary.nonsilence_phones]
    roots = [f"shared split {line}" for line in sets]
    if share_silence_phones:  # one pdf a state for all silence phones
        roots[0] = f"not-shared not-split {sets[0]}"
    questions = [" ".join(variants.expand(line)) for line in dictionary.extra_questions]
    files = {"silence": variants.expand(variants.silence), "nonsilence": variants.expand(variants.nonsilence)}
    if variants.position_dependent:
        # Kaldi leaves a blank at the end of these lines
        questions += ["".join(f"{phone}{suffix} " for phone in variants.nonsilence) for suffix in POSITION_SUFFIXES]
        questions += ["".join(f"{phone}{suffix} " for phone in variants.silence) for suffix in ("", *POSITION_SUFFIXES)]
        files["word_boundary"] = [_word_boundary(phone) for phone in files["silence"] + files["nonsilence"]]
    files["context_indep"] = files["silence"]
    files["optional_silence"] = [dictionary.optional_silence]
    return files | {"sets": sets, "roots": roots, "extra_questions": questions}


def _word_boundary(phone: str) -> str:
    kinds = {"_B": "begin", "_E": "end", "_I": "internal", "_S": "singleton"}
    return f"{phone} {kinds.get(phone[-2:], 'nonword')}"


def add_disambiguation(entries: list[Pronunciation]) -> tuple[list[Pronunciation], int]:
    """Ends with #1, #2, ... the pronunciations that several entries share or that begin another one.

    Returns:
        the entries, in order, and the highest number used (utils/add_lex_disambig.pl).
    """
    count: dict[tuple[str, ...], int] = {}
    proper_prefixes: set[tuple[str, ...]] = set()
    for entry in entries:
        count[entry.phones] = count.get(entry.phones, 0) + 1
        proper_prefixes.update(entry.phones[:length] for length in range(1, len(entry.phones)))
    last_number: dict[tuple[str, ...], int] = {}
    result = []
    for entry in entries:
        if count[entry.phones] > 1 or entry.phones in proper_prefixes:
            number = last_number[entry.phones] = last_number.get(entry.phones, 0) + 1
            entry = entry._replace(phones=(*entry.phones, f"#{number}"))
        result.append(entry)
    return result, max(last_number.values(), default=0)


def topology_text(nonsilence_ids: list[int], silence_ids: list[int], num_nonsilence_states: int, num_silence_states: int) -> str:
    """The file `topo` (utils/gen_topo.pl): left-to-right phones, silence ergodic but for its first and last state."""
    if not 1 <= num_nonsilence_states <= 100:
        raise AsrtoolError(f"--num-nonsil-states {num_nonsilence_states}: expected 1 to 100")
    if not 3 <= num_silence_states <= 100:
        raise AsrtoolError(f"--num-sil-states {num_silence_states}: expected 3 to 100")
    lines = ["<Topology>", *_entry_head(nonsilence_ids)]
    lines += [_state(state, [(state, "0.75"), (state + 1, "0.25")]) for state in range(num_nonsilence_states)]
    lines += [f"<State> {num_nonsilence_states} </State>", "</TopologyEntry>", *_entry_head(silence_ids)]
    last = num_silence_states - 1
    share = format(1.0 / last, ".15g")
    lines.append(_state(0, [(target, share) for target in range(last)]))
    lines += [_state(state, [(target, share) for target in range(1, last + 1)]) for state in range(1, last)]
    lines.append(_state(last, [(last, "0.75"), (last + 1, "0.25")]))
    lines += [f"<State> {num_silence_states} </State>", "</TopologyEntry>", "</Topology>"]
    return "\n".join(lines) + "\n"


def _entry_head(phone_ids: list[int]) -> list[str]:
    return ["<TopologyEntry>", "<ForPhones>", " ".join(map(str, phone_ids)), "</ForPhones>"]


def _state(state: int, transitions: list[tuple[int, str]]) -> str:
    arcs = "".join(f"<Transition> {target} {probability} " for target, probability in transitions)
    return f"<State> {state} <PdfClass> {state} {arcs}</State>"
