"""The held-out measures that sequence training is judged by, as the settings ask for them."""

from contextlib import ExitStack

from asrtool.sequence.held_out import DevDecoding, HeldOut
from asrtool.sequence.load_module import load_module
from asrtool.train.parts import Parts
from asrtool.train.sequence_config import SequencePaths, SequenceTrainConfig
from asrtool.train.sequence_validation import SequenceValidation


def make_validation(config: SequenceTrainConfig, paths: SequencePaths, parts: Parts, closing: ExitStack) -> SequenceValidation:
    """Reads what is needed to measure models, and leaves what has to be ended to `closing`.

    Raises:
        AsrtoolError: files that are missing, damaged or do not fit each other.
    """
    held_out, objective, words = config.held_out, None, None
    if held_out.max_utterances >= 0:
        names = parts.data.valid_table.names
        step = -(-len(names) // held_out.max_utterances) if held_out.max_utterances else 1
        module = load_module(config.speech, paths.held_out_speech(), config.sequence, str(parts.device))
        objective = HeldOut(module, names[::step])
        closing.callback(objective.close)
    if paths.wer_data is not None:
        files = paths.wer_graph_dir, paths.wer_data, paths.init_model, paths.alignments
        words = DevDecoding(*files, held_out.decoding, str(parts.device))
    return SequenceValidation(config.sequence, objective, words, held_out.models == "all", held_out.patience)
