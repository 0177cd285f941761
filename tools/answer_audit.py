"""Answer every finding of an audit from ground truth, as a reviewer who makes no mistakes would.

It needs a booru whose true tags are known, like the drawn one, and shows how much a review can gain before
people spend their time on one. DECISIONS.jsonl has the format of review_labels.py, and apply_decisions.py
reads it. Findings about posts that the ground truth lacks stay unanswered.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import pathlib
import sys
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, print_json
from Utils.command.text import counted
from Utils.evaluation import ground_truth
from Utils.files.output_files import FileKind, replacing_file, require_replaceable_file
from Utils.labels import decisions, questions
from Utils.tags import tag_list

REVIEWER = "truth"
TIME = "1970-01-01T00:00:00+00:00"  # fixed, so that the same audit gives the same bytes


def _are_answers(path: pathlib.Path) -> bool:
    try:
        return all(decision.reviewer == REVIEWER for decision in decisions.read(path))
    except UserError:
        return False


ANSWERS = FileKind("a file of this command's answers (decisions of people are kept)", _are_answers)


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="answer_audit.py", description=__doc__)
    arguments.add_argument("audits", metavar="AUDIT.json", type=pathlib.Path, nargs="+")
    arguments.add_argument(
        "--truth", metavar="TRUTH.csv", type=pathlib.Path, required=True, help="image_id,tags"
    )
    arguments.add_argument(
        "--tags", metavar="CSV", type=pathlib.Path, required=True, help="selected_tags.csv"
    )
    arguments.add_argument("-o", "--output", metavar="DECISIONS.jsonl", type=pathlib.Path, required=True)
    arguments.add_argument("--overwrite", action="store_true", help="replace an existing file")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    require_replaceable_file(options.output, ANSWERS, options.overwrite)
    truth = ground_truth.read(options.truth)
    asked = questions.read(options.audits, tag_list.read(options.tags))
    answers = answer(asked, truth)
    if len(asked) and not answers:
        raise UserError(
            f"{options.truth} names none of the posts that the audit asks about: nothing to answer"
        )
    with (
        replacing_file(options.output, ANSWERS, options.overwrite) as temporary,
        temporary.open("wb") as file,
    ):
        decisions.append(file, *answers)
    summary = {
        "decisions": len(answers),
        "yes": sum(decision.decision == "yes" for decision in answers),
        "unanswered": len(asked) - len(answers),
        "output": str(options.output),
    }
    if options.json:
        print_json(summary)
    else:
        print(f"{counted(len(answers), 'decision')}, {summary['yes']:,} of them yes: {options.output}")
        if summary["unanswered"]:
            unanswered = counted(summary["unanswered"], "finding")
            print(f"unanswered: {unanswered} about posts that the truth does not name")
        words = "--db", "X.db", "-o", "corrected.db"
        print(f"{programs.next_line('apply_decisions', options.output, *words)}   (or --images PICTURES)")
    return 0


def answer(asked: questions.Questions, truth: Mapping[int, Collection[str]]) -> list[decisions.Decision]:
    """Return a decision on each question about a post that the truth names.

    Args:
        truth: ``{post id: names of its tags}``.
    """
    rows = asked.tags.iloc[asked.tag_of(np.arange(len(asked)))]
    triples = zip(asked.posts.tolist(), rows["name"], rows["tag_id"].tolist(), strict=True)
    return [
        decisions.Decision(post, name, tag_id, "yes" if name in truth[post] else "no", TIME, REVIEWER)
        for post, name, tag_id in triples
        if post in truth
    ]


if __name__ == "__main__":
    sys.exit(main())
