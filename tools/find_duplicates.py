"""Find groups of near-duplicates in an image folder, so that none of them is in two splits of a dataset.

    python tools/find_duplicates.py --images 512px -o groups.csv
    python tools/find_duplicates.py --images 512px --source fire-eggs --from danbooru.db -o groups.csv

Near-duplicates are one picture rescaled, recompressed, cropped by up to 4% on each side, or padded in another
color; variants that differ in a detail are not. Hashes propose pairs, and the pictures decide, laid over one
another. With --source the parent ids of the posts are joined in: parents and children are in one group. With
--run the features of a model propose pairs too, and what it sees as alike may be cropped further, by up to
12%; about half of such crops are found.

OUTPUT has the rows group,post_id,path,distance,parent_id: the distance is from the first of its group whose
distance is 0, at most 1 but for members of the second degree, empty for those who are related by parent id
only. What was computed of the images is kept beside it (groups.sketches): a run that was stopped goes on
where it was, and the next one reads new and changed files only.
"""

import os
import pathlib
import sys

import numpy as np

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.data.sources.parents import PARENT_READERS, read_parents
from Utils.duplicates import fingerprints, hash_index, pixel_match
from Utils.evaluation import duplicate_groups
from Utils.files import csv_tables, row_cache
from Utils.files.atomic import replacing, require_absent, sha256_of
from Utils.files.job_engines import run
from Utils.images import image_folder
from Utils.recipe import initial_weights

COLUMNS = ("group", "post_id", "path", "distance", "parent_id")
VERSION = 1  # of sketches and features: others are computed anew
CROPPED = 0.12  # how far the edges of images may lie apart that a model sees as alike
HASH = np.dtype((np.uint8, fingerprints.BITS // 8))
_JOB = 64  # images a job
_BATCH = 32  # images that a model sees at a time
_SHOWN = 10  # broken images that are named on the terminal


def parser():
    """Return the argument parser."""
    words = Parser(prog="tools/find_duplicates.py", description=__doc__)
    words.add_argument("--images", required=True, metavar="DIR", help="the image folder, with all below it")
    words.add_argument("-o", "--output", required=True, metavar="CSV", help="groups.csv to write")
    words.add_argument(
        "--source", choices=sorted(PARENT_READERS), help="kind of booru that has the parent ids"
    )
    words.add_argument("--from", dest="origin", metavar="PATH", help="its database or folder")
    words.add_argument("--run", metavar="RUN|FILE.keras", help="a model whose features propose pairs too")
    words.add_argument(
        "--limit",
        type=float,
        default=duplicate_groups.LIMIT,
        help="distance up to which pictures are alike (1)",
    )
    words.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: cores)"
    )
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--overwrite", action="store_true", help="replace CSV where it exists")
    return words


@command
def main(argv=None):
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    _check(options)
    paths = image_folder.image_paths(options.images)
    families = read_parents(options.source, options.origin) if options.source else {}
    output = pathlib.Path(options.output)
    columns = {"facts": _without("picture"), "pictures": fingerprints.FIELDS["picture"]}
    with row_cache.RowCache(output.with_suffix(".sketches"), columns, VERSION) as cache:
        keys = keys_of(options.images, paths)
        rows = sketched(cache, options, paths, keys)
        facts = cache.column("facts")[rows]
        hashes = [facts["hashes"][:, kind] for kind in range(len(fingerprints.KINDS))]
        features = model_hashes(options, paths, keys, facts) if options.run else None
        groups = grouped(Pictures(cache, rows, facts), hashes, features, options.limit)
    post_ids = np.array([image_folder.post_id(path) for path in paths], np.int64)
    groups = duplicate_groups.with_families(groups, post_ids, families)
    table = table_of(groups, post_ids, paths, families)
    write(output, table)
    report(options, paths, facts, groups, table)
    return 0


def _check(options):
    if options.workers < 1:
        raise UserError(f"--workers must be at least 1, not {options.workers}")
    if not 0 < options.limit < 10:
        raise UserError(f"--limit must be above 0 and below 10; got {options.limit}")
    if (options.source is None) != (options.origin is None):
        raise UserError("--source KIND and --from PATH belong together: the one says what the other is")
    require_absent(options.output, options.overwrite)


def keys_of(root, paths):
    """Return what a file's sketch is known by: its path, size and time of change, (N,) uint64."""
    keys = np.zeros(len(paths), np.uint64)
    for at, path in enumerate(paths):
        try:
            facts = pathlib.Path(root, path).stat()
            keys[at] = row_cache.key(path, facts.st_size, facts.st_mtime_ns)
        except OSError:  # it went away; its sketch will say so
            keys[at] = row_cache.key(path)
    return keys


def _without(name):
    return np.dtype(
        [(field, fingerprints.FIELDS[field]) for field in fingerprints.FIELDS.names if field != name]
    )


def sketched(cache, options, paths, keys):
    """Return the row of every image in the cache, having added those that were missing."""
    new = np.flatnonzero(cache.find(keys) < 0)
    jobs = ((options.images, [paths[at] for at in new[i : i + _JOB]], i) for i in range(0, len(new), _JOB))
    done = run(fingerprints.of_files, jobs, workers=min(options.workers, max(1, len(new) // _JOB)))
    for start, found in progress(done, total=-(-len(new) // _JOB), label="sketches", unit=f"{_JOB} images"):
        facts = np.empty(len(found), _without("picture"))
        for name in facts.dtype.names:
            facts[name] = found[name]
        cache.append(keys[new[start : start + _JOB]], facts=facts, pictures=found["picture"])
    return cache.find(keys)


class Pictures:
    """The sketches of all images, read from the cache when they are compared."""

    def __init__(self, cache, rows, facts):
        self._cache, self._rows, self._facts = cache, rows, facts
        self.shown = np.flatnonzero(facts["state"] == fingerprints.FOUND)

    def __len__(self):
        return len(self._facts)

    def of(self, places):
        """Return the sketches of some images."""
        found = np.zeros(len(places), fingerprints.FIELDS)
        found["box"] = self._facts["box"][places]
        found["picture"] = self._cache.read("pictures", self._rows[places])
        return found

    def distances(self, first, second, shift, plain=pixel_match.SHIFT):
        """Return the distances of images, place against place."""
        return pixel_match.distances(self.of(first), self.of(second), shift, plain)


def grouped(pictures, hashes, features, limit):
    """Return the `grouping.Groups` of images: hashes and features propose, pictures decide."""
    kinds = [(name, rows, pixel_match.SHIFT) for name, rows in zip(fingerprints.KINDS, hashes, strict=True)]
    if features is not None:
        kinds.append(("features", features, CROPPED))
    found = {}
    for name, rows, shift in kinds:
        pairs = pictures.shown[hash_index.pairs(rows[pictures.shown], label=f"neighbors by {name}")]
        found.update(compared(pictures, pairs, shift, name))
    pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
    distances = np.array([found[pair] for pair in map(tuple, pairs.tolist())], np.float32)
    return duplicate_groups.from_pairs(
        len(pictures), pairs, distances,
        lambda *rows: pictures.distances(*rows, 2 * kinds[-1][2], 2 * pixel_match.SHIFT), limit,
    )  # fmt: skip


def compared(pictures, pairs, shift, name, size=4096):
    """Yield ``((first, second), distance)`` of the pairs whose pictures are not too different to compare."""
    starts = range(0, len(pairs), size)
    for at in progress(starts, label=f"compared by {name}", unit=f"{size} pairs"):
        part = pairs[at : at + size]
        distances = pictures.distances(*part.T, shift)
        for row in np.flatnonzero(distances < np.inf):
            yield tuple(part[row].tolist()), float(distances[row])


def model_hashes(options, paths, keys, facts):
    """Return hashes of what the last layer of a model sees: (N, BITS / 8) uint8, 0 for what is no image."""
    tagger, features = _model(options.run)
    folder = pathlib.Path(options.output).with_suffix(".features")
    model_sha256 = sha256_of(initial_weights.find(options.run).file)
    with row_cache.RowCache(folder, {"hashes": HASH}, [VERSION, model_sha256]) as cache:
        middle = folder / f"middle-{model_sha256[:16]}.npy"
        missing = np.flatnonzero((cache.find(keys) < 0) & (facts["state"] == fingerprints.FOUND))
        for at in progress(range(0, len(missing), _BATCH), label="features", unit=f"{_BATCH} images"):
            part = missing[at : at + _BATCH]
            seen = features(tagger.preprocess([pathlib.Path(options.images, paths[row]) for row in part]))
            if not middle.is_file():  # of the first batch: what all images share says nothing
                with replacing(middle) as beside:
                    np.save(beside, seen.mean(axis=0))
            cache.append(keys[part], hashes=_signs(seen - np.load(middle, allow_pickle=False)))
        rows, hashes = cache.find(keys), np.zeros((len(paths), *HASH.shape), np.uint8)
        hashes[rows >= 0] = cache.column("hashes")[rows[rows >= 0]]
    return hashes


def _model(path):
    """Return the tagger, and the function of a batch of images that gives its features, (B, D) float32."""
    prepare_backend()
    import keras

    import Models
    from Utils.release import release_folder

    tagger = Models.load(path)
    model = release_folder.released(tagger.model, np.arange(tagger.model.output_shape[-1]), embedding=True)
    model = keras.Model(model.input, model.get_layer(release_folder.EMBEDDING).output)
    return tagger, model.predict_on_batch


def _signs(features):
    """Return on which sides of BITS random planes features (B, D) lie; Charikar, STOC 2002."""
    planes = np.random.RandomState(0).standard_normal((features.shape[1], fingerprints.BITS))
    return np.packbits(features @ planes > 0, axis=1)


def table_of(groups, post_ids, paths, families):
    """Return the rows of groups.csv: groups by their smallest post id, members by post id and path."""
    sizes = np.bincount(groups.leaders, minlength=len(paths))
    members = np.flatnonzero(sizes[groups.leaders] > 1)
    order = sorted(members.tolist(), key=lambda row: (int(post_ids[row]), paths[row]))
    numbers, table = {}, []
    for row in order:
        group = numbers.setdefault(int(groups.leaders[row]), len(numbers) + 1)
        distance, post_id = float(groups.distances[row]), int(post_ids[row])
        shown = "" if np.isnan(distance) else f"{distance:.4f}"
        table.append((group, post_id, image_folder.printable(paths[row]), shown, families.get(post_id, "")))
    return sorted(table, key=lambda row: row[0])


def write(path, table):
    """Write groups.csv."""
    csv_tables.write_rows(path, COLUMNS, table)


def report(options, paths, facts, groups, table):
    """Say how many groups there are, and which images could not be looked at."""
    sizes = np.bincount([row[0] for row in table] or [0])[1:]
    shown = {
        state: np.flatnonzero(facts["state"] == state) for state in (fingerprints.BROKEN, fingerprints.BLANK)
    }
    blank = [image_folder.printable(paths[at]) for at in shown[fingerprints.BLANK]]
    found = {
        "images": len(paths),
        "groups": len(sizes),
        "images_in_groups": int(sizes.sum()),
        "largest_group": int(sizes.max(initial=0)),
        "pairs_refused": groups.refused,
        "broken": [
            {"path": image_folder.printable(paths[at]), "reason": facts["reason"][at].decode()}
            for at in shown[fingerprints.BROKEN]
        ],
        "blank": blank,
    }
    if options.json:
        return print_json(found)
    for title, lines in (
        ("cannot be read", [f"{one['path']}: {one['reason']}" for one in found["broken"]]),
        ("of one color, nothing to compare", blank),
    ):
        if lines:
            print(f"{len(lines):,} {title}:")
            print("\n".join(f"  {line}" for line in lines[:_SHOWN]))
            print(f"  and {len(lines) - _SHOWN:,} more (--json lists all)\n" * (len(lines) > _SHOWN), end="")
    if groups.refused:
        print(f"{groups.refused:,} pairs were alike, but not the groups that they would have joined")
    print(
        f"{len(paths):,} images, {found['images_in_groups']:,} of them in {len(sizes):,} groups, the largest "
        f"of {found['largest_group']}: {options.output}"
    )
    return None


if __name__ == "__main__":
    sys.exit(main())
