"""Answer every finding of an audit by a truth, as a reviewer who knows everything would.

For boorus whose true tags are known, such as the drawn one: it shows what a review can gain, before people
spend their time on one. DECISIONS.jsonl is as review_labels.py writes it, and apply_decisions.py takes it.
Findings about posts that the truth does not name stay unanswered.
"""

import pathlib
import sys

import numpy as np

from Utils.command.cli import Parser, command, print_json
from Utils.evaluation import ground_truth
from Utils.files.atomic import replacing, require_absent
from Utils.labels import decisions, questions
from Utils.tags import tag_list

REVIEWER = "truth"
TIME = "1970-01-01T00:00:00+00:00"  # not the clock's: the same audit gives the same bytes


def parser():
    """Return the argument parser."""
    made = Parser(prog="answer_audit.py", description=__doc__)
    made.add_argument("audits", metavar="AUDIT.json", type=pathlib.Path, nargs="+")
    made.add_argument("--truth", metavar="TRUTH.csv", type=pathlib.Path, required=True, help="image_id,tags")
    made.add_argument("--tags", metavar="CSV", type=pathlib.Path, required=True, help="selected_tags.csv")
    made.add_argument("-o", "--output", metavar="DECISIONS.jsonl", type=pathlib.Path, required=True)
    made.add_argument("--overwrite", action="store_true", help="replace decisions that are there")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    require_absent(options.output, options.overwrite)
    truth = ground_truth.read(options.truth)
    asked = questions.read(options.audits, tag_list.read(options.tags))
    answers = answered(asked, truth)
    with replacing(options.output) as beside, beside.open("wb") as file:
        decisions.append(file, *answers)
    said = {
        "decisions": len(answers),
        "yes": sum(answer.decision == "yes" for answer in answers),
        "unanswered": len(asked) - len(answers),
        "output": str(options.output),
    }
    if options.json:
        print_json(said)
    else:
        print("{decisions:,} decisions, {yes:,} of them yes: {output}".format(**said))
        if said["unanswered"]:
            print(f"{said['unanswered']:,} findings are about posts that the truth does not name")
    return 0


def answered(asked, truth):
    """Return a Decision for each of the `Utils.labels.questions.Questions` about a post that the truth
    names."""
    rows = asked.tags.iloc[asked.tag_of(np.arange(len(asked)))]
    triples = zip(asked.posts.tolist(), rows["name"], rows["tag_id"].tolist(), strict=True)
    return [
        decisions.Decision(post, name, tag_id, "yes" if name in truth[post] else "no", TIME, REVIEWER)
        for post, name, tag_id in triples
        if post in truth
    ]


if __name__ == "__main__":
    sys.exit(main())
