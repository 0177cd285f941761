"""Choose thresholds on a dump: one for all tags, or one a category, group or tag; judge them on another dump.

Choose on validation, judge on test (--judge): scores on the images that chose are too good. A tag's own
threshold (--per tag) is shrunk toward its category's where few images have the tag, on the scale of logits:
logit(t) = w logit(t of the tag) + (1 - w) logit(t of the category), w = min(1, true images / ENOUGH).
ENOUGH is found by two-fold cross-validation over the images; --enough sets it, 0 shrinks nothing.

Groups (--per group) are tags that compete, such as hair, expression or camera, and whose probabilities are on
a scale of their own: each gets the threshold that the rule finds within it, so that strong groups drown no
weak ones. The file has a list of tag names or patterns a group, such as hair = ["blonde_hair", "*_braid"];
thresholds.csv has a row a group, without a tag id, and one for each of its tags.
"""

import dataclasses
import fnmatch
import math
import pathlib
import sys
import tomllib

import numpy as np

from Utils.command.cli import Parser, UserError, command, print_json
from Utils.evaluation import (
    bootstrap,
    paired_bootstrap,
    per_tag_thresholds,
    predictions,
    scores,
    threshold_table,
    thresholds,
)
from Utils.evaluation.alignment import View
from Utils.files.atomic import require_absent, require_file
from Utils.tags.tag_list import category_name

PER = ("all", "category", "tag", "group")
FEW = 100  # resamples below which an interval of 95% says nothing


def parser():
    """Return the argument parser."""
    made = Parser(prog="find_thresholds.py", description=__doc__)
    made.add_argument("dump", type=pathlib.Path, metavar="DUMP", help="dump folder to choose on: validation")
    made.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="CSV", help="thresholds.csv"
    )
    made.add_argument("--rule", default="p-equals-r", metavar="RULE", help=f"{thresholds.NAMES} (p-equals-r)")
    made.add_argument("--per", choices=PER, default="all", help="what gets a threshold of its own (all)")
    made.add_argument("--groups-of-tags", type=pathlib.Path, metavar="TOML", help="for --per group")
    made.add_argument("--enough", type=float, help="--per tag: true images that need no shrinking")
    made.add_argument("--judge", type=pathlib.Path, metavar="DUMP", help="dump of other images: test")
    made.add_argument("--resamples", type=int, default=1000, help="of the judging images (1000)")
    made.add_argument("--seed", type=int, default=0, help="of the resamples (0)")
    made.add_argument("--overwrite", action="store_true", help="replace existing thresholds")
    made.add_argument("--json", action="store_true", help="print what was found as JSON")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    by = thresholds.rule(options.rule)
    _check(options)
    require_absent(options.output, options.overwrite)
    dump = predictions.load(options.dump).require_labels()
    judge = None if options.judge is None else predictions.load(options.judge).require_labels()
    rows, told = CHOOSERS[options.per](dump, by, options)
    threshold_table.write(options.output, rows)
    told |= {"rule": options.rule, "per": options.per, "thresholds": len(rows)}
    if judge is not None:
        told["judged"] = judged(dump, judge, threshold_table.read(options.output), options)
    if options.json:
        print_json(told)
    else:
        print(text(told, options))
    return 0


def _check(options):
    if (options.groups_of_tags is not None) != (options.per == "group"):
        raise UserError("--per group and --groups-of-tags TOML belong together; got one without the other")
    if options.enough is not None and (options.per != "tag" or not 0 <= options.enough < math.inf):
        raise UserError(
            f"--enough is 0 or more and for --per tag; got {options.enough} and --per {options.per}"
        )
    if options.resamples < FEW or options.seed < 0:
        raise UserError(
            f"--resamples must be {FEW} or more and --seed 0 or more; got {options.resamples}, {options.seed}"
        )


# Choosing: each returns the rows of thresholds.csv and what there is to tell


def _for_all(dump, by, options):
    (found,) = thresholds.find(dump.probabilities, dump.labels, [thresholds.Ask(rule=by)])
    return [_row("all", "all", found, options)], {"ties": found.cut.ties}


def _row(scope, name, found, options, **cells):
    return threshold_table.row(scope, name, found.cut.threshold, options.rule, found.counts, **cells)


def _per_category(dump, by, options):
    codes, found = _categories(dump, by)
    rows = [
        _row("category", category_name(code), one, options, category=code)
        for code, one in zip(codes, found, strict=True)
    ]
    return rows, {}


def _categories(dump, by):
    codes = np.unique(dump.tags["category"])
    asks = [thresholds.Ask(np.flatnonzero(dump.tags["category"] == code), by) for code in codes]
    return codes.tolist(), thresholds.find(dump.probabilities, dump.labels, asks)


def _per_tag(dump, by, options):
    codes, found = _categories(dump, by)
    table = {code: float(one.cut.threshold) for code, one in zip(codes, found, strict=True)}
    common = dump.tags["category"].map(table).to_numpy()
    choice = per_tag_thresholds.choose(dump.probabilities, dump.labels, by, common, options.enough)
    cuts = choice.thresholds(common, dump.probabilities.dtype)
    told = {"enough": choice.enough, "shrunk": int(np.count_nonzero(choice.positives < choice.enough))}
    if options.enough is None:
        told["cross_validated"] = dict(zip(per_tag_thresholds.ENOUGH, choice.judged.tolist(), strict=True))
    return _tag_rows("tag", dump, np.arange(len(dump.tags)), cuts, options), told


def _tag_rows(scope, dump, columns, cuts, options):
    """Return a row for each of these columns; cuts: (L,)."""
    counts = scores.count(dump.probabilities, dump.labels, cuts)
    tags = dump.tags.iloc[columns]
    return [
        threshold_table.row(
            scope, name, cuts[column], options.rule, counts.select(column), category=code, tag_id=tag_id
        )
        for column, name, code, tag_id in zip(
            columns.tolist(), tags["name"], tags["category"].tolist(), tags["tag_id"].tolist(), strict=True
        )
    ]


def _per_group(dump, by, options):
    groups = read_groups(options.groups_of_tags, dump.tags["name"].to_list())
    found = thresholds.find(
        dump.probabilities, dump.labels, [thresholds.Ask(columns, by) for columns in groups.values()]
    )
    cuts = np.zeros(len(dump.tags), dump.probabilities.dtype)
    for columns, one in zip(groups.values(), found, strict=True):
        cuts[columns] = one.cut.threshold
    rows = []
    for (name, columns), one in zip(groups.items(), found, strict=True):
        rows += [_row("group", name, one, options), *_tag_rows("group", dump, columns, cuts, options)]
    return rows, {"tags_in_no_group": len(dump.tags) - sum(map(len, groups.values()))}


def read_groups(path, names):
    """Read groups of tags: a dict of group name to the columns of its tags, in the file's order.

    Raises UserError on a file that is no TOML of lists of names, a pattern that no tag has, and a tag of two
    groups.
    """
    try:
        table = tomllib.loads(require_file(path, "groups of tags (.toml)").read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML: {error}") from error
    if not table:
        raise UserError(f'{path} has no group; one is a line such as hair = ["blonde_hair", "*_braid"]')
    groups, taken = {}, {}
    for group, patterns in table.items():
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise UserError(f"{path}: {group} must be a list of tag names or patterns; got {patterns!r}")
        columns = sorted(
            {column for pattern in patterns for column in _matching(path, group, pattern, names)}
        )
        for column in columns:
            if column in taken:
                raise UserError(
                    f"{path}: {names[column]} is in {taken[column]} and in {group}; one is allowed"
                )
            taken[column] = group
        if not columns:
            raise UserError(f"{path}: the group {group} is empty")
        groups[group] = np.array(columns)
    return groups


def _matching(path, group, pattern, names):
    """Return the columns that a name or pattern means; a name is looked for first, as *_* is one too."""
    exact = [column for column, name in enumerate(names) if name == pattern]
    found = exact or [column for column, name in enumerate(names) if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise UserError(f"{path}: no tag of the dump is {pattern!r} ({group})")
    return found


CHOOSERS = {"all": _for_all, "category": _per_category, "tag": _per_tag, "group": _per_group}


# Judging


def judged(dump, judge, points, options):
    """Score the choice on images that did not choose, beside one threshold for all: a dict.

    Both are scored on the tags that have a threshold, with paired resamples of the images.
    """
    (plain,) = thresholds.find(dump.probabilities, dump.labels, [thresholds.Ask()])
    cuts = threshold_table.per_tag(points, judge.tags)
    columns = np.flatnonzero(~np.isnan(cuts))
    if not len(columns):
        raise UserError(f"{judge.folder} has none of the tags that thresholds were chosen for")
    rows = np.arange(len(judge.labels))
    matrices = [View(matrix, rows, columns) for matrix in (judge.probabilities, judge.labels)]
    drawn = bootstrap.weights(len(rows), options.resamples, options.seed)
    sides = {
        name: paired_bootstrap.side_at(*matrices, drawn, own)
        for name, own in (("one, P = R", plain.cut.threshold), ("chosen", cuts[columns]))
    }
    gains = {kind: paired_bootstrap.difference(*sides.values(), kind) for kind in paired_bootstrap.KINDS}
    return {
        "images": len(rows),
        "images_that_chose": _shared(dump, judge),
        "tags": len(columns),
        "sides": {name: _scores(side) for name, side in sides.items()},
        "gains": {kind: dataclasses.asdict(gain) for kind, gain in gains.items()},
    }


def _shared(dump, judge):
    """How many images both dumps have; 0 where one does not say which they are."""
    if dump.image_ids is None or judge.image_ids is None:
        return 0
    return len(np.intersect1d(dump.image_ids, judge.image_ids))


def _scores(side):
    total = side.counts.total()
    intervals = {f"{kind}_interval": list(side.interval(kind)) for kind in paired_bootstrap.KINDS}
    rest = {"precision": float(scores.precision(total)), "recall": float(scores.recall(total))}
    return side.values | intervals | rest


def text(told, options):
    """Return what a terminal shows."""
    number = f"{told['thresholds']} threshold{'' if told['thresholds'] == 1 else 's'}"
    lines = [f"{number} ({told['rule']}, per {told['per']}): {options.output}"]
    if told.get("shrunk"):
        lines.append(f"{told['shrunk']} tags with fewer than {told['enough']:g} true images were shrunk")
    if told.get("tags_in_no_group"):
        lines.append(f"{told['tags_in_no_group']} tags are in no group and have no threshold")
    if "judged" in told:
        lines += ["", *_judgment(told["judged"], options.judge)]
    return "\n".join(lines)


def _judgment(found, where):
    """Return the lines that say how the choice does on other images."""
    lines = [f"judged on {found['images']:,} images and {found['tags']:,} tags of {where}; intervals of 95%"]
    if found["images_that_chose"]:
        lines.append(f"{found['images_that_chose']:,} of these images also chose: their scores are too good")
    for name, side in found["sides"].items():
        cells = [f"{_name(kind)} {_with_interval(side, kind)}" for kind in paired_bootstrap.KINDS]
        cells += [f"P {side['precision']:.4f}", f"R {side['recall']:.4f}"]
        lines.append(f"{name:<12}{'  '.join(cells)}")
    for kind, gain in found["gains"].items():
        low, high = gain["low"], gain["high"]
        sure = "" if low > 0 or high < 0 else ": not distinguishable"
        lines.append(f"gain in {_name(kind)}: {gain['value']:+.4f} ({low:+.4f} to {high:+.4f}){sure}")
    return lines


def _name(kind):
    return kind.replace("_", " ")


def _with_interval(side, kind):
    low, high = side[f"{kind}_interval"]
    return f"{side[kind]:.4f} ({low:.4f} to {high:.4f})"


if __name__ == "__main__":
    sys.exit(main())
