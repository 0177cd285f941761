"""Answer every finding of an audit by a truth, as a reviewer who knows everything would.

For boorus whose true tags are known, such as the drawn one: it shows what a review can gain, before people
spend their time on one. DECISIONS.jsonl is as review_labels.py writes it, and apply_decisions.py takes it.
Findings about posts that the truth does not name stay unanswered.
"""

import pathlib
import sys

from Utils import decisions, findings, tags, truths
from Utils.commands import Parser, UserError, command, print_json
from Utils.files import replacing, require_absent

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
    truth, tag_list = truths.read(options.truth), tags.read(options.tags)
    found = [pair for path in options.audits for pair in _pairs(path, tag_list)]
    answers = [
        decisions.Decision(post, name, tag_id, "yes" if name in truth[post] else "no", TIME, REVIEWER)
        for post, name, tag_id in dict.fromkeys(found)
        if post in truth
    ]
    with replacing(options.output) as beside, beside.open("wb") as file:
        decisions.append(file, *answers)
    said = {
        "decisions": len(answers),
        "yes": sum(answer.decision == "yes" for answer in answers),
        "unanswered": sum(post not in truth for post, *_ in set(found)),
        "output": str(options.output),
    }
    if options.json:
        print_json(said)
    else:
        print("{decisions:,} decisions, {yes:,} of them yes: {output}".format(**said))
        if said["unanswered"]:
            print(f"{said['unanswered']:,} findings are about posts that the truth does not name")
    return 0


def _pairs(path, tag_list):
    """Return ``[(post id, tag name, tag id)]`` of an audit; UserError where a tag is not in the list."""
    ids = dict(zip(tag_list["name"], tag_list["tag_id"].tolist(), strict=True))
    found = findings.read(path)
    unknown = [name for name in found if name not in ids]
    if unknown:
        raise UserError(
            f"{len(unknown)} of the {len(found)} tags of {path} are not in --tags, such as {unknown[0]!r}"
        )
    return [(post, name, ids[name]) for name, posts in found.items() for post in posts]


if __name__ == "__main__":
    sys.exit(main())
