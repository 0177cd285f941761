"""Find the posts that likely lack a tag, by confident learning over a dump (arXiv:1911.00068).

Writes AUDIT.json, tag name -> post ids, the likeliest first, and AUDIT.csv with the scores; with --also-wrong
AUDIT_wrong.json too, the posts that likely carry a tag wrongly. Give it predictions of posts that the model
was not trained on: a validation split's, or those of folds left out in turn (--fold, ensemble.py --stack).

cleanlab counts a post as having a tag where p > 0.5, and doubts no more posts than its confident joint says.
A tagger trained on incomplete labels is less sure: --operating-point lists every post above its tag's own
threshold that lacks the tag. An interrupted audit continues where it stopped.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import concurrent.futures
import hashlib
import json
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, number, print_json, progress
from Utils.command.text import counted, join_names
from Utils.evaluation import alignment, ground_truth, predictions, threshold_table
from Utils.files import csv_tables, locking
from Utils.files.atomic import read_json, replacing, write_json
from Utils.files.output_files import FileKind, has_header, require_replaceable_file
from Utils.labels import cleanlab_engine, confident_learning
from Utils.report import svg_charts
from Utils.tags import tag_categories, tag_list

TAGS_AT_A_TIME = 128
COLUMNS = ("tag", "tag_id", "post_id", "probability", "label", "score")


def _json(posts: Mapping[str, list[int]]) -> str:
    """Return an audit, the post ids by tag, as JSON: a tag a line."""
    lines = (f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(ids)}" for name, ids in posts.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _is_audit(path: pathlib.Path) -> bool:
    """Whether a file is an audit that this command wrote: not one byte differs, so ``{}`` is none."""
    text = path.read_text(encoding="utf-8")
    value = json.loads(text)
    return isinstance(value, dict) and all(map(_is_list_of_posts, value.values())) and text == _json(value)


def _is_list_of_posts(value: object) -> bool:
    return isinstance(value, list) and all(type(post) is int for post in value)


AUDIT = FileKind("an audit", _is_audit)
FINDINGS = FileKind("a table of an audit's findings", has_header(COLUMNS))

# (probabilities, labels, columns, thresholds) -> rows of each column that lack the tag, that have it wrongly
Engine = Callable[..., tuple[list[np.ndarray], list[np.ndarray]]]
ENGINES: dict[str, Engine] = {
    "fast": confident_learning.find_label_issues,
    "cleanlab": cleanlab_engine.find_label_issues,
}


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="audit_labels.py", description=__doc__)
    arguments.add_argument(
        "dump", metavar="DUMP", type=pathlib.Path, help="dump folder with labels and image ids"
    )
    arguments.add_argument("-o", "--output", metavar="AUDIT.json", type=pathlib.Path, required=True)
    arguments.add_argument("-c", "--category", action="append", help="only this category; may be repeated")
    arguments.add_argument(
        "--min-positives", type=number(least=1), default=1, help="posts that a tag must have (1)"
    )
    arguments.add_argument(
        "--also-wrong", action="store_true", help="also look for tags that posts should not have"
    )
    arguments.add_argument(
        "--engine", choices=tuple(ENGINES), default="fast",
        help="cleanlab: tag by tag; needs requirements-audit.txt (fast)",
    )  # fmt: skip
    arguments.add_argument(
        "--operating-point", metavar="THRESHOLDS.csv", type=pathlib.Path,
        help="thresholds of the tags, from find_thresholds.py (0.5)",
    )  # fmt: skip
    arguments.add_argument(
        "--truth",
        metavar="TRUTH.csv",
        type=pathlib.Path,
        help="ground truth to score the audit (image_id,tags)",
    )
    arguments.add_argument(
        "--workers", type=number(least=1), default=2, help="threads of the fast engine (2)"
    )
    arguments.add_argument("--overwrite", action="store_true", help="replace an existing audit, start again")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    dump = _load(options)
    columns = _columns(dump, options)
    thresholds = _thresholds(dump, columns, options)
    truth = ground_truth.read(options.truth) if options.truth else None
    missing = None if truth is None else ground_truth.missing_labels(dump, columns, truth)
    if options.engine == "cleanlab":
        cleanlab_engine.load()  # says what to install before any work
    _require_replaceable(options)  # before the lock, which is a file beside the output
    with locking.sole_writer(options.output):
        _require_replaceable(options)  # another audit may have ended meanwhile
        findings = _audit(dump, columns, thresholds, options)
        _write(findings, dump, columns, options)
    summary = _summary(findings, columns, options)
    if missing is not None:
        tables = {"at 0.5" if thresholds is None else "operating point": findings}
        if thresholds is not None:
            tables["at 0.5"] = _findings(dump, columns, None, options)
        scored = {name: ground_truth.score_audit(table, *missing) for name, table in tables.items()}
        _plot(scored, _truth_file(options))
        summary["truth"] = ground_truth.compare_audits(*scored.values())
    if options.json:
        print_json(summary)
    else:
        print(_text(summary))
        audits = [options.output, *([_wrong_file(options)] if options.also_wrong else [])]
        words = "--tags", "DATASET/selected_tags.csv", "-o", "decisions.jsonl"
        print(programs.next_line("review_labels", *audits, *words))
    return 0


def _load(options: argparse.Namespace) -> predictions.Dump:
    if options.output.suffix != ".json":
        raise UserError(f"the audit is a .json file, its scores a .csv beside it; got {options.output}")
    dump = predictions.load(options.dump).require_labels()
    if dump.image_ids is None:
        raise UserError(f"{options.dump} has no {predictions.IDS}, so no post can be named")
    alignment.unique_ids(dump)  # an id of two rows would name neither
    return dump


def _columns(dump: predictions.Dump, options: argparse.Namespace) -> np.ndarray:
    """Return the columns to audit: tags of the categories asked for that enough posts have.

    An audit names tags, so that those whose name another one has are left out, which is said.
    """
    if repeated := tag_list.describe_repeated(dump.tags):
        print(f"not audited, as an audit knows tags by name: {repeated}", file=sys.stderr)
    columns = np.flatnonzero(~dump.tags["name"].duplicated(keep=False))
    if options.category:
        names = tag_categories.names_of(dump.tags)
        codes = [tag_categories.code_of(name, names) for name in options.category]
        columns = columns[dump.tags["category"].isin(codes).to_numpy()[columns]]
    num_positives = np.zeros(len(dump.tags), np.int64)
    for first in range(0, len(dump.labels), 1024):
        num_positives += np.count_nonzero(dump.labels[first : first + 1024], axis=0)
    columns = columns[num_positives[columns] >= options.min_positives]
    if not len(columns):
        of_category = f" of category {', '.join(options.category)}" if options.category else ""
        raise UserError(f"no tag{of_category} in {options.dump} has {options.min_positives} posts or more")
    return columns


def _thresholds(
    dump: predictions.Dump, columns: np.ndarray, options: argparse.Namespace
) -> np.ndarray | None:
    """Return the threshold of every column of the dump, (L,); None without --operating-point."""
    if options.operating_point is None:
        return None
    thresholds = threshold_table.per_tag(threshold_table.read(options.operating_point), dump.tags)
    without = dump.tags["name"].to_numpy()[columns][np.isnan(thresholds[columns])]
    if len(without) == len(columns):
        raise UserError(f"{options.operating_point} has a threshold for none of the {len(columns)} tags")
    if len(without):
        print(
            f"{options.operating_point} has no threshold for {len(without)} of {len(columns)} tags, which "
            f"are audited at 0.5: {join_names(without)}",
            file=sys.stderr,
        )
    divides = (thresholds > 0) & (thresholds < 1)
    idle = dump.tags["name"].to_numpy()[columns][~(divides | np.isnan(thresholds))[columns]]
    if len(idle):
        print(
            f"{options.operating_point} has thresholds of 0 or 1, which tell no posts apart, for {len(idle)} "
            f"of {len(columns)} tags, which are audited at 0.5: {join_names(idle)}",
            file=sys.stderr,
        )
    return np.where(divides, thresholds, 0.5)


# ---- the work, stored in parts until it is complete


def _audit(
    dump: predictions.Dump, columns: np.ndarray, thresholds: np.ndarray | None, options: argparse.Namespace
) -> pd.DataFrame:
    """Return the findings of all columns as one table; parts of an interrupted run are reused."""
    folder = _parts_folder(options)
    settings = _settings(dump, columns, thresholds, options)
    described = folder / "settings.json"  # absent if the earlier run was killed before it did anything
    if folder.is_dir() and (options.overwrite or not described.is_file() or read_json(described) != settings):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(described, settings)
    parts = {
        folder / f"{part:05d}.csv": columns[first : first + TAGS_AT_A_TIME]
        for part, first in enumerate(range(0, len(columns), TAGS_AT_A_TIME))
    }
    missing = {path: part_columns for path, part_columns in parts.items() if not path.exists()}
    if len(missing) < len(parts):
        print(f"{len(parts) - len(missing)} of {len(parts)} parts were there already", file=sys.stderr)

    def write_part(path: pathlib.Path, columns: np.ndarray) -> None:
        of_columns = None if thresholds is None else thresholds[columns]
        csv_tables.write_frame(path, _findings(dump, columns, of_columns, options))

    # Threads are enough: numpy lets go of the interpreter while it works.
    with concurrent.futures.ThreadPoolExecutor(options.workers if options.engine == "fast" else 1) as pool:
        futures = [pool.submit(write_part, path, part_columns) for path, part_columns in missing.items()]
        try:
            done = concurrent.futures.as_completed(futures)
            for future in progress(done, total=len(futures), label="audit", unit="parts"):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return pd.concat([_read_part(path) for path in parts], ignore_index=True)


def _parts_folder(options: argparse.Namespace) -> pathlib.Path:
    return options.output.with_name(f".{options.output.name}.parts")


def _settings(
    dump: predictions.Dump, columns: np.ndarray, thresholds: np.ndarray | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Return everything that the parts depend on, so that parts of another audit are not reused."""
    digest = hashlib.sha256(columns.tobytes())
    digest.update(b"" if thresholds is None else thresholds.tobytes())
    for name in (predictions.PROBABILITIES, predictions.LABELS, predictions.IDS):
        # Size and time instead of the content: a dump may be larger than an audit takes to read.
        stat = (dump.folder / name).stat()
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return {
        "dump": str(dump.folder.resolve()),
        "digest": digest.hexdigest(),
        "tags": tag_list.digest(dump.tags),
        "engine": options.engine,
        "also_wrong": options.also_wrong,
    }


def _findings(
    dump: predictions.Dump, columns: np.ndarray, thresholds: np.ndarray | None, options: argparse.Namespace
) -> pd.DataFrame:
    """Return what the engine finds in some columns as a table; thresholds: one a column."""
    missing, wrong = ENGINES[options.engine](dump.probabilities, dump.labels, columns, thresholds)
    tables = [
        _table(dump, column, rows, label)
        for label, by_column in enumerate((missing, wrong) if options.also_wrong else (missing,))
        for column, rows in zip(columns, by_column, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _table(dump: predictions.Dump, column: int, rows: np.ndarray, label: int) -> pd.DataFrame:
    """Return the findings of one tag and label as rows of COLUMNS; the lower a score, the more doubtful."""
    tag = dump.tags.iloc[column]
    p = dump.probabilities[rows, column].astype(np.float64)
    values = (tag["name"], tag["tag_id"], dump.image_ids[rows], p, label, p if label else 1 - p)
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _read_part(path: pathlib.Path) -> pd.DataFrame:
    return csv_tables.read(path, "a part of an audit", COLUMNS, dtype={"tag": str}, keep_default_na=False)


# ---- what is written and printed


def _require_replaceable(options: argparse.Namespace) -> None:
    """Raise UserError where an output may not be written.

    The others are written before AUDIT.json, so an interrupted run leaves them; a stranger's are not touched.
    """
    require_replaceable_file(options.output, AUDIT, options.overwrite)
    for path, kind in (
        (options.output.with_suffix(".csv"), FINDINGS),
        (_wrong_file(options), AUDIT),
        (_truth_file(options), svg_charts.CHART),
    ):
        require_replaceable_file(path, kind, overwrite=True)


def _wrong_file(options: argparse.Namespace) -> pathlib.Path:
    return options.output.with_name(f"{options.output.stem}_wrong.json")


def _truth_file(options: argparse.Namespace) -> pathlib.Path:
    return options.output.with_name(f"{options.output.stem}_truth.svg")


def _write(
    findings: pd.DataFrame, dump: predictions.Dump, columns: np.ndarray, options: argparse.Namespace
) -> None:
    """Write the JSON files and the CSV, and remove the parts."""
    names = dump.tags["name"].to_numpy()[columns]
    paths = [(0, options.output)]
    if options.also_wrong:
        paths.append((1, _wrong_file(options)))
    csv_tables.write_frame(options.output.with_suffix(".csv"), findings)
    for label, path in reversed(paths):  # AUDIT.json last: if it exists, the others do
        of_label = findings[findings["label"] == label]
        posts = of_label.groupby("tag", sort=False)["post_id"].agg(list).to_dict()
        text = _json({name: posts[name] for name in names if name in posts})
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    shutil.rmtree(_parts_folder(options))


def _summary(findings: pd.DataFrame, columns: np.ndarray, options: argparse.Namespace) -> dict[str, Any]:
    missing, wrong = (np.count_nonzero(findings["label"] == label) for label in (0, 1))
    summary = {"tags": len(columns), "missing": missing, "output": str(options.output)}
    return summary | ({"wrong": wrong} if options.also_wrong else {})


def _text(summary: Mapping[str, Any]) -> str:
    lines = [
        f"{counted(summary['missing'], 'label')} likely missing, of {counted(summary['tags'], 'tag')}: "
        f"{summary['output']}",
    ]
    if "wrong" in summary:
        lines.append(f"{counted(summary['wrong'], 'label')} likely wrong")
    if "truth" in summary:
        lines.append(
            "{recall:.1%} of the {missing:,} missing labels are found; "
            "{precision:.1%} of the findings are right".format(**summary["truth"])
        )
        if "at_half" in summary["truth"]:
            lines.append(
                "at 0.5 it is {recall:.1%} and {precision:.1%}; at that precision the operating points find "
                "{recall_at_its_precision:.1%}".format(**summary["truth"]["at_half"])
            )
    return "\n".join(lines)


def _plot(scored: Mapping[str, Mapping[str, Any]], path: pathlib.Path) -> None:
    """Draw precision against recall of each audit, with a dot where its findings end."""
    axes = (
        svg_charts.Axis("share of the missing labels that is found", 0, 1),
        svg_charts.Axis("precision", 0, 1),
    )
    lines = [
        svg_charts.Series(name, scores["curve"], color) for color, (name, scores) in enumerate(scored.items())
    ]
    ends = [svg_charts.Series("", line.points[-1:], line.color, lines=False, large=True) for line in lines]
    svg = svg_charts.chart(*axes, [*lines, *ends], "precision of the audit against the share that it finds")
    with replacing(path) as temporary:
        temporary.write_text(svg_charts.standalone(svg), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
