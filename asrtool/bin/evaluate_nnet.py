"""Loss, frame error rate and phone confusions of a network on held-out frames."""

import json
import sys
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.errors import AsrtoolError

SHOWN = 5
EXAMPLE = "asrtool evaluate-nnet --out exp/lstm/evaluation_ema.json exp/lstm/final_ema.pt exp/tri_ali data/valid"


def main(arguments: list[str]) -> int:
    options = parser("evaluate-nnet", __doc__, EXAMPLE)
    options.add_argument("model", type=existing_path)
    options.add_argument("ali_dir", type=existing_path, help="ali.*.gz and final.mdl of the held-out data")
    options.add_argument("data_dir", type=existing_path, help="features of the held-out data")
    options.add_argument("--max-frames", type=int, default=200000, help="whole utterances, evenly spread, up to this; 0: all")
    options.add_argument("--phones", type=existing_path, help="phones.txt (default: in ALI_DIR, or beside the model)")
    options.add_argument("--out", type=Path, help="write the figures and the confusion matrix here, JSON")
    given = options.parse_args(arguments)
    if given.max_frames < 0:
        raise AsrtoolError(f"--max-frames {given.max_frames}: expected 0 (all) or more")

    import torch

    from asrtool.io.atomic_file import write_text
    from asrtool.nnet.model_file import load_model
    from asrtool.train.confusion import phone_accuracies, phone_classes, read_transitions, top_confusions
    from asrtool.train.held_out import evaluate_held_out, read_held_out

    bundle = load_model(given.model)
    transitions = read_transitions(given.ali_dir, bundle.model.num_pdfs, given.model)
    beside = [folder / "phones.txt" for folder in (given.ali_dir, given.model.parent)]
    phones = given.phones or next((path for path in beside if path.is_file()), None)
    if phones is None:
        print(f"WARNING: no phones.txt in {given.ali_dir}: phones go by their numbers; give --phones", file=sys.stderr)
    classes = phone_classes(transitions.phones, phones)
    if torch.cuda.is_available():
        bundle.model.cuda()
    pipeline = bundle.pipeline(given.data_dir)
    held_out = read_held_out(pipeline, transitions, given.ali_dir, given.max_frames)
    result = evaluate_held_out(bundle, pipeline, held_out, transitions, classes)
    summary, confusion_CC = result.summary(), result.confusion_CC
    print(
        f"{given.model}: {summary['frames']} frames ({summary['targets']} targets) of {summary['utterances']} utterances out of "
        f"{held_out.num_available}: loss {summary['loss']:.4f}, FER {100 * summary['fer']:.2f} %, "
        f"frame accuracy {100 * summary['frame_accuracy']:.2f} %, phone accuracy {100 * summary['phone_accuracy']:.2f} %"
    )
    by_phone = phone_accuracies(confusion_CC, classes.names)
    for phone, other, count in top_confusions(confusion_CC, classes.names, SHOWN):
        print(f"  {phone} taken for {other}: {count} targets, {100 * count / by_phone[phone]['targets']:.1f} % of {phone}")
    if given.out:
        where = {"model": str(given.model), "ali_dir": str(given.ali_dir), "data_dir": str(given.data_dir), "info": bundle.info}
        spread = {"available": held_out.num_available, "without_alignment": held_out.num_without_alignment}
        matrix = {"by_phone": by_phone, "phones": classes.names, "confusion": confusion_CC.tolist()}
        write_text(given.out, json.dumps({**where, **summary, **spread, **matrix}, ensure_ascii=False) + "\n")
    return 0
