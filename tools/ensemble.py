"""Combine dumps into one: the mean of their probabilities or logits, or (--stack) their rows joined.

Tags are matched by name, in the order of the first dump; rows by image id, which rise in the result. Tags and
images that only some of the dumps have are left out and counted. Weights are typed (--weights 2 1), equal, or
fitted (--fit-on VALIDATION_DUMP ..., one of each model in the same order): those of highest F1 where P = R.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.command.text import counted
from Utils.evaluation import alignment, chunked_matrix, ensembling, predictions
from Utils.evaluation.predictions import Dump
from Utils.files.atomic import provenance
from Utils.files.output_folders import require_replaceable_folder


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="ensemble.py", description=__doc__)
    arguments.add_argument("dumps", nargs="+", metavar="DUMP", type=pathlib.Path, help="dump folders")
    arguments.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="DUMP", help="dump folder to write"
    )
    arguments.add_argument("--mean", choices=ensembling.MEANS, help="values to average (probabilities)")
    how = arguments.add_mutually_exclusive_group()
    how.add_argument(
        "--weights", nargs="+", type=float, metavar="W", help="one weight a dump; scaled to a sum of 1"
    )
    how.add_argument(
        "--fit-on", nargs="+", type=pathlib.Path, metavar="DUMP",
        help="fit the weights on these dumps, of the same models on other images with labels",
    )  # fmt: skip
    how.add_argument(
        "--stack",
        action="store_true",
        help="join rows of different images, for example out-of-fold predictions",
    )
    arguments.add_argument("--name", help="run name of the result (the output folder's name)")
    arguments.add_argument(
        "--dtype", choices=predictions.DTYPES, help="stored dtype (the widest of the dumps')"
    )
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--overwrite", action="store_true", help="replace an existing dump")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    for path in (*options.dumps, *(options.fit_on or ())):
        if path.resolve() == options.output.resolve():
            raise UserError(f"-o {options.output} is one of the dumps that are read; give another place")
    if options.stack and options.mean:
        raise UserError("--stack joins rows of different images and takes no mean; leave --mean out")
    options.mean = options.mean or "probabilities"
    require_replaceable_folder(options.output, predictions.DUMP, options.overwrite)
    dumps = [predictions.load(path) for path in options.dumps]
    if options.stack:
        return _stack(dumps, options)
    weights = ensembling.normalize(options.weights, len(dumps))
    if options.fit_on:
        weights = _fit(options.fit_on, len(dumps), options.mean, options.json)
    return _average(dumps, weights, options)


def _fit(paths: Sequence[pathlib.Path], models: int, kind: str, is_json: bool) -> np.ndarray:
    if len(paths) != models:
        raise UserError(f"--fit-on takes one dump for each of the {models} models; got {len(paths)}")
    aligned = alignment.align([predictions.load(path).require_labels() for path in paths])
    _report(paths, aligned)
    weights, score, equal = ensembling.fit(aligned.probabilities, aligned.require_truth(), kind)
    values = " ".join(f"{weight:.4g}" for weight in weights)
    scores = f"F1 {score:.4f} where P = R on the dumps they were fitted on, {equal:.4f} with equal weights"
    print(f"fitted weights {values}: {scores}", file=sys.stderr if is_json else sys.stdout)
    return weights


def _average(dumps: list[Dump], weights: np.ndarray, options: argparse.Namespace) -> int:
    aligned = alignment.align(dumps)
    _report(options.dumps, aligned)
    ids = np.arange(len(aligned.probabilities[0])) if aligned.image_ids is None else aligned.image_ids
    matrices = [matrix for matrix in (*aligned.probabilities, aligned.truth) if matrix is not None]

    def rows() -> Iterator[tuple]:
        start = 0
        for blocks in chunked_matrix.row_blocks(*matrices):
            mean = ensembling.mean(blocks[: len(dumps)], weights, options.mean)
            labels = None if aligned.truth is None else blocks[-1] != 0
            yield mean, ids[start : start + len(mean)], labels
            start += len(mean)

    info = {"weights": [float(weight) for weight in weights], "mean": options.mean}
    left_out = _left_out(dumps, aligned.dropped)
    return _write(dumps, aligned.tags, rows(), aligned.truth is not None, info, left_out, options)


def _report(paths: Sequence[pathlib.Path], aligned: alignment.AlignedDumps) -> None:
    """Say on stderr what the dumps do not have in common."""
    for path, (tags, images) in zip(paths, aligned.dropped, strict=True):
        if tags or images:
            left_out = f"{counted(tags, 'tag')} and {counted(images, 'image')} that not all have"
            print(f"{path}: left out are {left_out}", file=sys.stderr)
    differing = sum(aligned.label_disagreements())
    if differing:
        labels = counted(differing, "label differs", "labels differ")
        print(f"{labels} between the dumps; the first dump's are used", file=sys.stderr)


def _stack(dumps: list[Dump], options: argparse.Namespace) -> int:
    """Join dumps of different images, in the order of the image ids."""
    ids = np.concatenate([alignment.unique_ids(dump) for dump in dumps])
    duplicate = alignment.first_duplicate(ids)
    if duplicate is not None:
        raise UserError(
            f"--stack joins different images; {duplicate[1]} are in two dumps, for example "
            f"{duplicate[0]}. Without --stack the mean is taken"
        )
    labeled = {dump.labels is not None for dump in dumps}
    if len(labeled) > 1:
        raise UserError("--stack joins dumps that all have labels, or all have none; some have none")
    columns = alignment.common_columns(dumps)
    for dump, common in zip(dumps, columns, strict=True):
        if len(common) < len(dump.tags):
            missing = len(dump.tags) - len(common)
            print(f"{dump.folder}: left out: {counted(missing, 'tag')} that not all have", file=sys.stderr)
    tags = dumps[0].tags.iloc[columns[0]].reset_index(drop=True)
    rows = _stacked_rows(dumps, columns, ids)
    left_out = _left_out(dumps, [(len(dump.tags) - len(tags), 0) for dump in dumps])
    return _write(dumps, tags, rows, labeled.pop(), {"stacked": True}, left_out, options)


def _left_out(dumps: list[Dump], counts: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return, for --json, how many tags and images of each dump not all have."""
    pairs = zip(dumps, counts, strict=True)
    return [{"dump": str(dump.folder), "tags": tags, "images": images} for dump, (tags, images) in pairs]


def _stacked_rows(
    dumps: list[Dump], columns: list[np.ndarray], ids: np.ndarray, step: int = 256
) -> Iterator[tuple]:
    """Yield blocks of probabilities, ids and labels in the order of the ids.

    ids: of all dumps, one after the other.
    """
    dump_of = np.repeat(np.arange(len(dumps)), [len(dump.probabilities) for dump in dumps])
    row_of = np.concatenate([np.arange(len(dump.probabilities)) for dump in dumps])
    order = np.argsort(ids, kind="stable")
    labeled = dumps[0].labels is not None

    def gather(name: str, places: np.ndarray) -> np.ndarray:
        block = np.empty((len(places), len(columns[0])))
        for number, (dump, common) in enumerate(zip(dumps, columns, strict=True)):
            of_dump = dump_of[places] == number
            block[of_dump] = alignment.MatrixView(getattr(dump, name), row_of[places[of_dump]], common)[:]
        return block

    for start in range(0, len(order), step):
        places = order[start : start + step]
        labels = gather("labels", places) != 0 if labeled else None
        yield gather("probabilities", places), ids[places], labels


def _write(
    dumps: list[Dump],
    tags: pd.DataFrame,
    rows: Iterable[tuple],
    labels: bool,
    info: dict[str, Any],
    left_out: list[dict[str, Any]],
    options: argparse.Namespace,
) -> int:
    widest = np.result_type(*(dump.probabilities.dtype for dump in dumps))
    dtype = options.dtype or str(np.dtype(np.float32) if widest == np.float64 else widest)
    info = {
        "run_name": options.name or options.output.resolve().name,
        "definition_name": "-",
        **_common_info(dumps, ("image_size", "dataset", "split", "padding")),
        "members": [dump.name for dump in dumps],
        **info,
        "dtype": dtype,
        **provenance(),
    }
    with predictions.writing(
        options.output, tags, dtype=dtype, labels=labels, info=info, overwrite=options.overwrite
    ) as writer:
        for batch in progress(rows, label="ensemble", unit="blocks"):
            writer.add(*batch)
    if options.json:
        size = {"images": writer.rows, "tags": len(tags), "has_labels": labels}
        print_json({"dump": str(options.output), **size, "left_out": left_out, **info})
        return 0
    print(f"{options.output}: {counted(writer.rows, 'image')}, {counted(len(tags), 'tag')}")
    if labels:
        print(programs.next_line("make_report", options.output, "-o", f"{options.output}_report"))
    return 0


def _common_info(dumps: list[Dump], names: Sequence[str]) -> dict[str, Any]:
    """Return the entries of dump.json in which all dumps agree."""
    first = dumps[0].info
    return {
        name: first[name]
        for name in names
        if first.get(name) is not None and all(dump.info.get(name) == first[name] for dump in dumps)
    }


if __name__ == "__main__":
    sys.exit(main())
