"""Make one dump of several: the mean of their probabilities or logits, or (--stack) their rows joined.

Tags are matched by name, in the order of the first dump; rows by image id, which rise in the result. What
not all dumps have is left out and counted. Weights are given (--weights 2 1), equal, or fitted (--fit-on
VALIDATION_DUMP ..., one of each model in the same order): those of highest F1 where P = R.
"""

import pathlib
import sys

import numpy as np

from Utils.command.cli import Parser, UserError, command, progress
from Utils.evaluation import alignment, chunked_matrix, ensembling, predictions
from Utils.files.atomic import provenance, require_absent


def parser():
    """Return the argument parser."""
    made = Parser(prog="ensemble.py", description=__doc__)
    made.add_argument("dumps", nargs="+", metavar="DUMP", type=pathlib.Path, help="dump folders")
    made.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="DUMP", help="to write")
    made.add_argument(
        "--mean", choices=ensembling.MEANS, default="probabilities", help="what is averaged (probabilities)"
    )
    how = made.add_mutually_exclusive_group()
    how.add_argument("--weights", nargs="+", type=float, metavar="W", help="one a dump; their scale is free")
    how.add_argument(
        "--fit-on", nargs="+", type=pathlib.Path, metavar="DUMP",
        help="fit the weights on these dumps, of the same models on other images with labels",
    )  # fmt: skip
    how.add_argument(
        "--stack", action="store_true", help="join rows of different images, such as out-of-fold predictions"
    )
    made.add_argument("--name", help="run name of the result (the output folder's name)")
    made.add_argument("--dtype", choices=predictions.DTYPES, help="how to store (the widest of the dumps')")
    made.add_argument("--overwrite", action="store_true", help="replace an existing dump")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    require_absent(options.output, options.overwrite)
    opened = [predictions.load(path) for path in options.dumps]
    if options.stack:
        return _stack(opened, options)
    weights = ensembling.normalized(options.weights, len(opened))
    if options.fit_on:
        weights = _fitted(options.fit_on, len(opened), options.mean)
    return _average(opened, weights, options)


def _fitted(paths, models, kind):
    if len(paths) != models:
        raise UserError(f"--fit-on takes one dump for each of the {models} models; got {len(paths)}")
    aligned = alignment.align([predictions.load(path).require_labels() for path in paths])
    _report(paths, aligned)
    weights, score, equal = ensembling.fit(aligned.probabilities, aligned.truth, kind)
    print(f"fitted weights {' '.join(f'{weight:.4g}' for weight in weights)}", end=": ")
    print(f"F1 {score:.4f} where P = R on the dumps they were fitted on, {equal:.4f} with equal weights")
    return weights


def _average(opened, weights, options):
    aligned = alignment.align(opened)
    _report(options.dumps, aligned)
    ids = np.arange(len(aligned.probabilities[0])) if aligned.image_ids is None else aligned.image_ids
    parts = [part for part in (*aligned.probabilities, aligned.truth) if part is not None]

    def rows():
        start = 0
        for found in chunked_matrix.blocks(*parts):
            mean = ensembling.mean(found[: len(opened)], weights, options.mean)
            labels = None if aligned.truth is None else found[-1] != 0
            yield mean, ids[start : start + len(mean)], labels
            start += len(mean)

    info = {"weights": [float(weight) for weight in weights], "mean": options.mean}
    return _write(opened, aligned.tags, rows(), aligned.truth is not None, info, options)


def _report(paths, aligned):
    """Say on stderr what the dumps do not have in common."""
    for path, (tags, images) in zip(paths, aligned.left_out, strict=True):
        if tags or images:
            print(f"{path}: {tags} tags and {images} images that not all have are left out", file=sys.stderr)
    differing = sum(aligned.disagreements())
    if differing:
        print(f"{differing} labels differ between the dumps; the first dump's are used", file=sys.stderr)


def _stack(opened, options):
    """Join dumps of different images, in the order of the image ids."""
    ids = [alignment.unique_ids(dump) for dump in opened]
    joined = np.concatenate(ids)
    values, times = np.unique(joined, return_counts=True)
    if (times > 1).any():
        raise UserError(
            f"--stack joins different images; {int((times > 1).sum())} are in two dumps, such as "
            f"{values[times > 1][0]}. Without --stack the mean is taken"
        )
    labeled = {dump.labels is not None for dump in opened}
    if len(labeled) > 1:
        raise UserError("--stack joins dumps that all have labels, or all have none; some have none")
    columns = alignment.common_columns(opened)
    for dump, kept in zip(opened, columns, strict=True):
        if len(kept) < len(dump.tags):
            left = len(dump.tags) - len(kept)
            print(f"{dump.folder}: {left} tags that not all have are left out", file=sys.stderr)
    tag_list = opened[0].tags.iloc[columns[0]].reset_index(drop=True)
    rows = _stacked_rows(opened, columns, joined)
    return _write(opened, tag_list, rows, labeled.pop(), {"stacked": True}, options)


def _stacked_rows(opened, columns, joined, step=256):
    """Yield blocks of probabilities, ids and labels in the order of the ids."""
    owner = np.repeat(np.arange(len(opened)), [len(dump.probabilities) for dump in opened])
    row = np.concatenate([np.arange(len(dump.probabilities)) for dump in opened])
    order = np.argsort(joined, kind="stable")
    labeled = opened[0].labels is not None

    def gathered(name, part):
        block = np.empty((len(part), len(columns[0])))
        for number, (dump, kept) in enumerate(zip(opened, columns, strict=True)):
            mine = owner[part] == number
            view = alignment.View(getattr(dump, name), row[part[mine]], kept)
            block[mine] = view[:]
        return block

    for start in range(0, len(order), step):
        part = order[start : start + step]
        labels = gathered("labels", part) != 0 if labeled else None
        yield gathered("probabilities", part), joined[part], labels


def _write(opened, tag_list, rows, labels, info, options):
    widest = np.result_type(*(dump.probabilities.dtype for dump in opened))
    dtype = options.dtype or str(np.dtype(np.float32) if widest == np.float64 else widest)
    info = {
        "run_name": options.name or options.output.resolve().name,
        "definition_name": "-",
        **_shared(opened, ("image_size", "dataset", "split", "padding")),
        "members": [dump.name for dump in opened],
        **info,
        "dtype": dtype,
        **provenance(),
    }
    with predictions.writing(
        options.output, tag_list, dtype=dtype, labels=labels, info=info, overwrite=options.overwrite
    ) as writer:
        for batch in progress(rows, label="ensemble", unit="blocks"):
            writer.add(*batch)
    print(f"{options.output}: {writer.rows:,} images, {len(tag_list):,} tags")
    return 0


def _shared(opened, names):
    """Return what dump.json of all dumps says alike."""
    first = opened[0].info
    return {
        name: first[name]
        for name in names
        if first.get(name) is not None and all(dump.info.get(name) == first[name] for dump in opened)
    }


if __name__ == "__main__":
    sys.exit(main())
