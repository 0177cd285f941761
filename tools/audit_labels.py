"""Find the posts that likely lack a tag, by confident learning over a dump (arXiv:1911.00068).

Writes AUDIT.json, tag name -> post ids, the likeliest first, and AUDIT.csv with the scores; with --also-wrong
AUDIT_wrong.json too, the posts that likely carry a tag wrongly. Give it predictions of posts that the model
was not trained on: a validation split's, or those of folds left out in turn (--fold, ensemble.py --stack).

cleanlab counts a post as having a tag where p > 0.5, and doubts no more posts than its confident joint says.
A tagger trained on incomplete labels is less sure: --operating-point lists every post above its tag's own
threshold that lacks the tag. An audit that was interrupted goes on where it stopped.
"""

import concurrent.futures
import hashlib
import json
import pathlib
import shutil
import sys

import numpy as np
import pandas as pd

from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.evaluation import ground_truth, predictions, threshold_table
from Utils.files import csv_tables
from Utils.files.atomic import read_json, replacing, require_absent, write_json
from Utils.labels import confident_learning
from Utils.tags import tag_list

TAGS_AT_A_TIME = 128
COLUMNS = ("tag", "tag_id", "post_id", "probability", "label", "score")


def parser():
    """Return the argument parser."""
    made = Parser(prog="audit_labels.py", description=__doc__)
    made.add_argument("dump", metavar="DUMP", type=pathlib.Path, help="dump folder with labels and image ids")
    made.add_argument("-o", "--output", metavar="AUDIT.json", type=pathlib.Path, required=True)
    made.add_argument("-c", "--category", action="append", help="only this category; may be repeated")
    made.add_argument("--min-positives", type=int, default=1, help="posts that a tag must have (1)")
    made.add_argument("--also-wrong", action="store_true", help="look for tags carried wrongly too")
    made.add_argument("--engine", choices=("fast", "cleanlab"), default="fast", help="cleanlab: tag by tag")
    made.add_argument("--operating-point", metavar="THRESHOLDS.csv", type=pathlib.Path)
    made.add_argument("--truth", metavar="TRUTH.csv", type=pathlib.Path, help="judge the audit by it")
    made.add_argument("--workers", type=int, default=2, help="threads of the fast engine (2)")
    made.add_argument("--overwrite", action="store_true", help="replace an audit that is there, begin anew")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    dump = _load(options)
    columns = _columns(dump, options)
    thresholds = _thresholds(dump, options)
    lacking = (
        ground_truth.missing_labels(dump, columns, ground_truth.read(options.truth))
        if options.truth
        else None
    )
    engine = ENGINES[options.engine]()
    require_absent(options.output, options.overwrite)
    frame = _audit(dump, columns, thresholds, engine, options)
    _write(frame, dump, columns, options)
    said = _summary(frame, columns, options)
    if lacking is not None:
        frames = {"at 0.5" if thresholds is None else "operating point": frame}
        if thresholds is not None:
            frames["at 0.5"] = _findings(dump, columns, None, engine, options)
        judged = {name: ground_truth.score_audit(found, *lacking) for name, found in frames.items()}
        _plot(judged, options.output.with_name(f"{options.output.stem}_truth.svg"))
        said["truth"] = ground_truth.compare_audits(*judged.values())
    if options.json:
        print_json(said)
    else:
        print(_text(said, options))
    return 0


def _load(options):
    if options.output.suffix != ".json":
        raise UserError(f"the audit is a .json file, its scores a .csv beside it; got {options.output}")
    if min(options.min_positives, options.workers) < 1:
        raise UserError(
            f"--min-positives and --workers must be 1 or more; got {options.min_positives}, {options.workers}"
        )
    dump = predictions.load(options.dump).require_labels()
    if dump.image_ids is None:
        raise UserError(f"{options.dump} has no {predictions.IDS}, so no post can be named")
    return dump


def _columns(dump, options):
    """Return the columns to audit, those whose tag has enough posts."""
    chosen = np.arange(len(dump.tags))
    if options.category:
        codes = [tag_list.category_code(name) for name in options.category]
        chosen = np.flatnonzero(dump.tags["category"].isin(codes))
    positives = np.zeros(len(dump.tags), np.int64)
    for first in range(0, len(dump.labels), 1024):
        positives += np.count_nonzero(dump.labels[first : first + 1024], axis=0)
    chosen = chosen[positives[chosen] >= options.min_positives]
    if not len(chosen):
        wanted = f" of category {', '.join(options.category)}" if options.category else ""
        raise UserError(f"no tag{wanted} in {options.dump} has {options.min_positives} posts or more")
    return chosen


def _thresholds(dump, options):
    if options.operating_point is None:
        return None
    found = threshold_table.per_tag(threshold_table.read(options.operating_point), dump.tags)
    # A tag without a row stays at 0.5, as do rules that cut nothing off, or all.
    return np.where((found > 0) & (found < 1), found, 0.5)


# ---- the work, kept in parts until it is whole


def _audit(dump, columns, thresholds, engine, options):
    """Return the findings of all columns as one table; parts that an earlier run left are taken over."""
    parts = options.output.with_name(f".{options.output.name}.parts")
    settings = _settings(dump, columns, thresholds, options)
    described = parts / "settings.json"  # absent where the earlier run was killed before it did anything
    if parts.is_dir() and (options.overwrite or not described.is_file() or read_json(described) != settings):
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    write_json(described, settings)
    blocks = [columns[at : at + TAGS_AT_A_TIME] for at in range(0, len(columns), TAGS_AT_A_TIME)]
    paths = [parts / f"{number:05d}.csv" for number in range(len(blocks))]
    left = [pair for pair in zip(blocks, paths, strict=True) if not pair[1].exists()]
    if len(left) < len(blocks):
        print(f"{len(blocks) - len(left)} of {len(blocks)} parts were there already", file=sys.stderr)
    workers = options.workers if options.engine == "fast" else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        work = [pool.submit(_part, dump, block, path, thresholds, engine, options) for block, path in left]
        try:
            done = concurrent.futures.as_completed(work)
            for part in progress(done, total=len(work), label="audit", unit="parts"):
                part.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return pd.concat([_read_part(path) for path in paths], ignore_index=True)


def _settings(dump, columns, thresholds, options):
    """Say what the parts depend on, so that parts of something else are not taken over."""
    digest = hashlib.sha256(columns.tobytes())
    digest.update(b"" if thresholds is None else thresholds.tobytes())
    for name in (predictions.PROBABILITIES, predictions.LABELS, predictions.IDS):
        facts = (dump.folder / name).stat()
        digest.update(f"{name} {facts.st_size} {facts.st_mtime_ns}".encode())
    return {
        "dump": str(dump.folder.resolve()),
        "digest": digest.hexdigest(),
        "tags": tag_list.digest(dump.tags),
        "engine": options.engine,
        "also_wrong": options.also_wrong,
    }


def _part(dump, columns, path, thresholds, engine, options):
    """Audit some columns and write what is found."""
    own = None if thresholds is None else thresholds[columns]
    found = _findings(dump, columns, own, engine, options)
    csv_tables.write_frame(path, found)


def _findings(dump, columns, thresholds, engine, options):
    """Return what an engine finds in some columns as a table; thresholds: one a column."""
    both = engine(dump.probabilities, dump.labels, columns, thresholds)
    tables = [
        _table(dump, column, found, label)
        for label, of_label in enumerate(both[: 1 + options.also_wrong])
        for column, found in zip(columns, of_label, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _table(dump, column, rows, label):
    """Return the findings of one tag and label as rows of COLUMNS; a low score is doubtful."""
    tag = dump.tags.iloc[column]
    p = dump.probabilities[rows, column].astype(np.float64)
    values = (tag["name"], tag["tag_id"], dump.image_ids[rows], p, label, p if label else 1 - p)
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _read_part(path):
    return pd.read_csv(path, dtype={"tag": str}, keep_default_na=False)


# ---- engines: (probabilities, labels, columns, thresholds) -> rows that are missing, rows that are wrong


def _cleanlab():
    """Return the engine that calls cleanlab itself, tag by tag."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise UserError("--engine cleanlab needs cleanlab (pip install cleanlab), or take fast") from error

    def engine(probabilities, labels, columns, thresholds):
        both = ([], [])
        for at, column in enumerate(columns):
            p, how = probabilities[:, column].astype(np.float64), "prune_by_noise_rate"
            if thresholds is not None:
                p, how = confident_learning.shift_thresholds_to_half(p, thresholds[at]), "predicted_neq_given"
            given = (np.asarray(labels[:, column]) != 0).astype(np.int64)
            rows = np.empty(0, np.int64)
            if 0 < given.sum() < len(given):  # of one class alone nothing can be learned
                rows = np.flatnonzero(
                    find_label_issues(given, np.stack([1 - p, p], 1), filter_by=how, n_jobs=1)
                )
            for label, found in enumerate(both):
                of_label = rows[given[rows] == label]
                found.append(of_label[np.lexsort((of_label, p[of_label] * (1 if label else -1)))])
        return both

    return engine


ENGINES = {"fast": lambda: confident_learning.find_label_issues, "cleanlab": _cleanlab}


# ---- what is written and said


def _write(frame, dump, columns, options):
    """Write the JSON files and the CSV; then the parts have served."""
    names = dump.tags["name"].to_numpy()[columns]
    kinds = [(0, options.output)]
    if options.also_wrong:
        kinds.append((1, options.output.with_name(f"{options.output.stem}_wrong.json")))
    csv_tables.write_frame(options.output.with_suffix(".csv"), frame)
    for label, path in reversed(kinds):  # AUDIT.json last: where it is, all is
        found = frame[frame["label"] == label].groupby("tag", sort=False)["post_id"].agg(list).to_dict()
        lines = (
            f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(found[name])}"
            for name in names
            if name in found
        )
        with replacing(path) as beside:
            beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    shutil.rmtree(options.output.with_name(f".{options.output.name}.parts"))


def _summary(frame, columns, options):
    missing, wrong = ((frame["label"] == label).sum() for label in (0, 1))
    said = {"tags": len(columns), "missing": int(missing), "output": str(options.output)}
    return said | ({"wrong": int(wrong)} if options.also_wrong else {})


def _text(said, options):
    lines = [f"{said['missing']:,} labels likely missing, of {said['tags']:,} tags: {options.output}"]
    if "wrong" in said:
        lines.append(f"{said['wrong']:,} labels likely wrong")
    if "truth" in said:
        lines.append(
            "{recall:.1%} of the {missing:,} missing labels are found; "
            "{precision:.1%} of the findings are right".format(**said["truth"])
        )
        if "at_half" in said["truth"]:
            lines.append(
                "at 0.5 it is {recall:.1%} and {precision:.1%}; at that precision the operating points find "
                "{recall_at_its_precision:.1%}".format(**said["truth"]["at_half"])
            )
    return "\n".join(lines)


def _plot(judged, path):
    """Draw the curve of each audit, and where it ends: beyond that it lists nothing."""
    from Utils.report import svg_charts

    axes = (
        svg_charts.Axis(text, 0, 1) for text in ("share of the missing labels that is found", "precision")
    )
    series = [
        svg_charts.Series(name, one["curve"], color) for color, (name, one) in enumerate(judged.items())
    ]
    ends = [
        svg_charts.Series("", one["curve"][-1:], line.color, lines=False, large=True)
        for line, one in zip(series, judged.values(), strict=True)
    ]
    svg = svg_charts.chart(*axes, [*series, *ends], "precision of the audit against the share that it finds")
    with replacing(path) as beside:
        beside.write_text(svg_charts.standalone(svg), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
