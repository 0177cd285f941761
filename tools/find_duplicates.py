"""Find groups of near-duplicates in an image folder, so that no group is in two splits of a dataset.

    python tools/find_duplicates.py --images 512px -o groups.csv
    python tools/find_duplicates.py --images 512px --source fire-eggs --from danbooru.db -o groups.csv

Near-duplicates are one image rescaled, recompressed, cropped by up to 4% on each side, or padded in another
color; variants that differ in a detail are not. Hashes propose pairs, then the thumbnails are aligned
and compared. With --source the parent ids of the posts are joined in: parents and children are in one
group. With --run the features of a model propose pairs too, which may be cropped further, by up to 12%; about
half of such crops are found.

OUTPUT has the rows group,post_id,path,distance,parent_id. The distance is from the leader of the group, whose
own distance is 0; it is at most 1, up to 1.5 for images that are near another member, and empty for posts
that are related by parent id only. Fingerprints are kept beside OUTPUT (groups.sketches): a run that was
stopped continues, and the next run reads new and changed files only.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import functools
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from Utils.command import programs
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, command, number, print_json, progress
from Utils.command.machine import num_cores
from Utils.command.text import counted
from Utils.data.sources.parents import PARENT_READERS, read_parents
from Utils.duplicates import fingerprints, hash_index, pixel_match
from Utils.evaluation import duplicate_groups
from Utils.evaluation.duplicate_groups import Groups
from Utils.files import arrays, csv_tables, row_cache
from Utils.files.atomic import replacing, sha256_of
from Utils.files.job_engines import run
from Utils.files.output_files import FileKind, has_header, require_replaceable_file, require_replaceable_still
from Utils.images import image_folder, image_limits, image_reader, places
from Utils.recipe import initial_weights

COLUMNS = ("group", "post_id", "path", "distance", "parent_id")
GROUPS = FileKind("a table of groups", has_header(COLUMNS))
SKETCHES, FEATURES = ".sketches", ".features"  # suffixes of what is kept beside the output
VERSION = 2  # of fingerprints and features; those of another version are computed again
MODEL_MAX_SHIFT = 0.12  # how far the edges may lie apart of images that a model finds alike
HASH = np.dtype((np.uint8, fingerprints.BITS // 8))

_IMAGES_PER_JOB = 64
_BATCH = 32  # images that a model sees at a time
_PAIRS = 4096  # that are compared at a time
_MAX_SHOWN = 10  # unreadable images that are named on the terminal

TableRow = tuple[int, int, str, str, int | str]  # as COLUMNS


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/find_duplicates.py", description=__doc__)
    parser.add_argument(
        "--images",
        required=True,
        metavar="PLACE",
        help="a folder; tar, zip or Parquet files",
    )
    parser.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="CSV", help="groups.csv to write"
    )
    parser.add_argument("--source", choices=sorted(PARENT_READERS), help="kind of source with the parent ids")
    parser.add_argument("--from", dest="origin", metavar="PATH", help="its database or folder")
    parser.add_argument("--run", metavar="RUN|FILE.keras", help="a model whose features propose pairs too")
    parser.add_argument(
        "--limit",
        type=number(float, above=0.0, below=10.0),
        default=duplicate_groups.LIMIT,
        help="distance up to which images are near-duplicates (default: 1)",
    )
    parser.add_argument(
        "--workers", type=number(least=1), default=num_cores(), help="processes (default: cores)"
    )
    image_reader.add_max_pixels(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--overwrite", action="store_true", help="replace CSV where it exists")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    _check(options)
    image_limits.allow_pixels(options.max_pixels)
    place = places.open_place(options.images, options.output)
    paths = image_folder.image_paths(place, lambda text: print(text, file=sys.stderr))
    parent_ids = read_parents(options.source, options.origin) if options.source else {}
    columns = {"facts": _without("picture"), "pictures": fingerprints.FINGERPRINT["picture"]}
    # Which images were too large depends on the option.
    made_by = VERSION if options.max_pixels == image_limits.MAX_PIXELS else [VERSION, options.max_pixels]
    with row_cache.RowCache(options.output.with_suffix(SKETCHES), columns, made_by) as cache:
        keys = file_keys(place, paths)
        rows = add_fingerprints(cache, options, place, paths, keys)
        facts = cache.column("facts")[rows]
        hashes: dict[str, np.ndarray] = {
            part: facts["hashes"][:, row] for row, part in enumerate(fingerprints.HASHED_PARTS)
        }
        if options.run:
            hashes["features"] = feature_hashes(options, place, paths, keys, facts)
        groups = group(Thumbnails(cache, rows, facts), hashes, options.limit)
    numbers = np.array([image_folder.post_id(path) for path in paths], np.int64)
    # A booru's database names posts by number, and several files of one number are one post there.
    ids = numbers if options.source else np.array(image_folder.post_ids(paths, place), np.int64)
    groups = duplicate_groups.with_families(groups, ids, parent_ids)
    table = table_of(groups, ids, paths, parent_ids)
    # Datasets of other sources name a post by its number whatever files it has: a row for either name.
    number_of = dict(zip(map(image_folder.printable, paths), numbers.tolist(), strict=True))
    by_number = [
        (group_number, number_of[path], path, distance, parent)
        for group_number, post_id, path, distance, parent in table
        if number_of[path] != post_id
    ]
    named_rows: list[TableRow] = sorted([*table, *by_number], key=lambda row: row[0])
    require_replaceable_still(options.output, GROUPS, options.overwrite)
    csv_tables.write_rows(options.output, COLUMNS, named_rows)
    report(options, paths, facts, groups, table)
    return 0


def _check(options: argparse.Namespace) -> None:
    if (options.source is None) != (options.origin is None):
        raise UserError("--source KIND and --from PATH belong together; give both or neither")
    if options.output.suffix in (SKETCHES, FEATURES):
        raise UserError(
            f"{options.output} is the name of a folder of fingerprints, which are kept beside groups.csv; "
            "give a name that ends in .csv"
        )
    require_replaceable_file(options.output, GROUPS, options.overwrite)


def file_keys(place: places.Place, paths: list[str]) -> np.ndarray:
    """Return the keys of files in the cache, uint64 (N,), made from path, size and time of change."""
    keys = np.zeros(len(paths), np.uint64)
    for row, path in enumerate(paths):
        try:
            keys[row] = row_cache.key(path, *place.stamp(path))
        except OSError:  # it has gone since the place was listed; its fingerprint will say so
            keys[row] = row_cache.key(path)
    return keys


def _without(name: str) -> np.dtype:
    """Return the dtype of a fingerprint without one field."""
    fields = fingerprints.FINGERPRINT
    return np.dtype([(field, fields[field]) for field in fields.names or () if field != name])


def add_fingerprints(
    cache: row_cache.RowCache,
    options: argparse.Namespace,
    place: places.Place,
    paths: list[str],
    keys: np.ndarray,
) -> np.ndarray:
    """Return the row of every image in the cache, int64 (N,), having added those that were missing."""
    new = np.flatnonzero(cache.find(keys) < 0)
    starts = range(0, len(new), _IMAGES_PER_JOB)
    members = ([paths[row] for row in new[start : start + _IMAGES_PER_JOB]] for start in starts)
    jobs = ((place.part(part), part, start) for part, start in zip(members, starts, strict=True))
    workers = min(options.workers, max(1, len(new) // _IMAGES_PER_JOB))
    fingerprint = functools.partial(fingerprints.fingerprint_files, max_pixels=options.max_pixels)
    results = run(fingerprint, jobs, workers=workers)
    unit = f"x {_IMAGES_PER_JOB} images"
    for start, rows in progress(results, total=len(starts), label="fingerprints", unit=unit):
        # The thumbnails, nine tenths of the bytes, have a column of their own: only comparisons read them.
        facts = np.empty(len(rows), _without("picture"))
        for name in facts.dtype.names or ():
            facts[name] = rows[name]
        cache.append(keys[new[start : start + _IMAGES_PER_JOB]], facts=facts, pictures=rows["picture"])
    return cache.find(keys)


class Thumbnails:
    """The thumbnails of all images, read from the cache when they are compared.

    Args:
        cache: with a column of thumbnails.
        rows: (N,) the images' rows in the cache.
        facts: (N,) their fingerprints without thumbnails.
    """

    def __init__(self, cache: row_cache.RowCache, rows: np.ndarray, facts: np.ndarray) -> None:
        self._cache, self._rows, self._facts = cache, rows, facts
        self.usable = np.flatnonzero(facts["state"] == fingerprints.OK)

    def __len__(self) -> int:
        return len(self._facts)

    def _fingerprints(self, places: np.ndarray) -> np.ndarray:
        result = np.zeros(len(places), fingerprints.FINGERPRINT)
        for name in ("box", "ground"):
            result[name] = self._facts[name][places]
        result["picture"] = self._cache.read("pictures", self._rows[places])
        return result

    def distances(
        self,
        first: np.ndarray,
        second: np.ndarray,
        max_shift: float,
        plain_max_shift: float = pixel_match.MAX_SHIFT,
    ) -> np.ndarray:
        """Return the distances of images, place against place, as `pixel_match.distances` does."""
        pairs = self._fingerprints(first), self._fingerprints(second)
        return pixel_match.distances(*pairs, max_shift, plain_max_shift)


def group(thumbnails: Thumbnails, hashes: dict[str, np.ndarray], limit: float) -> Groups:
    """Return the groups of images: near hashes propose pairs, the thumbnails decide.

    Args:
        hashes: (N, B) uint8 of each kind; of the kind "features" the images may be cropped further.
    """
    max_shift, distance_of = pixel_match.MAX_SHIFT, {}
    for kind, rows in hashes.items():
        max_shift = MODEL_MAX_SHIFT if kind == "features" else pixel_match.MAX_SHIFT
        near = hash_index.near_pairs(rows[thumbnails.usable], label=f"neighbors by {kind}")
        distance_of.update(compare(thumbnails, thumbnails.usable[near], max_shift, kind))
    pairs = np.array(sorted(distance_of), np.int64).reshape(-1, 2)
    distances = np.array([distance_of[pair] for pair in map(tuple, pairs.tolist())], np.float32)

    def distances_in_group(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        # Two members may each be shifted from the leader, in opposite directions.
        return thumbnails.distances(first, second, 2 * max_shift, 2 * pixel_match.MAX_SHIFT)

    return duplicate_groups.from_pairs(len(thumbnails), pairs, distances, distances_in_group, limit)


def compare(
    thumbnails: Thumbnails, pairs: np.ndarray, max_shift: float, kind: str
) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield ``((first, second), distance)`` of the pairs (P, 2) whose distance is finite."""
    starts = range(0, len(pairs), _PAIRS)
    for start in progress(starts, label=f"compared by {kind}", unit=f"x {_PAIRS} pairs"):
        part = pairs[start : start + _PAIRS]
        distances = thumbnails.distances(part[:, 0], part[:, 1], max_shift)
        for row in np.flatnonzero(distances < np.inf):
            first, second = part[row].tolist()
            yield (first, second), float(distances[row])


def feature_hashes(
    options: argparse.Namespace,
    place: places.Place,
    paths: list[str],
    keys: np.ndarray,
    facts: np.ndarray,
) -> np.ndarray:
    """Return hashes of the inputs of a model's last layer: (N, BITS / 8) uint8, 0 for unusable images."""
    tagger, features_of = _load_model(options.run)
    folder = options.output.with_suffix(FEATURES)
    model_sha256 = sha256_of(initial_weights.find(options.run).file)
    with row_cache.RowCache(folder, {"hashes": HASH}, [VERSION, model_sha256]) as cache:
        mean_file = folder / f"middle-{model_sha256[:16]}.npy"
        missing = np.flatnonzero((cache.find(keys) < 0) & (facts["state"] == fingerprints.OK))
        for start in progress(range(0, len(missing), _BATCH), label="features", unit=f"x {_BATCH} images"):
            part = missing[start : start + _BATCH]
            features = features_of(tagger.preprocess([place.open(paths[row]) for row in part]))
            # What all images have in common says nothing about two of them. The mean of the first batch is
            # kept, because hashes around another mean could not be compared with those in the cache.
            if not mean_file.is_file():
                with replacing(mean_file) as part_file:
                    np.save(part_file, features.mean(axis=0))
            cache.append(keys[part], hashes=_sign_hash(features - arrays.read(mean_file, rank=1, kinds="f")))
        rows, hashes = cache.find(keys), np.zeros((len(paths), *HASH.shape), np.uint8)
        hashes[rows >= 0] = cache.column("hashes")[rows[rows >= 0]]
    return hashes


def _load_model(path: str) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """Return the tagger, and the function of a batch of images that gives its features, (B, D) float32."""
    prepare_backend()
    import keras

    import Models
    from Utils.release import release_folder

    tagger = Models.load(path)
    model = release_folder.released(tagger.model, np.arange(tagger.model.output_shape[-1]), embedding=True)
    model = keras.Model(model.input, model.get_layer(release_folder.EMBEDDING).output)
    return tagger, model.predict_on_batch


def _sign_hash(features: np.ndarray) -> np.ndarray:
    """Return on which sides of BITS random planes features (B, D) lie: (B, BITS / 8); Charikar, STOC 2002."""
    planes = np.random.RandomState(0).standard_normal((features.shape[1], fingerprints.BITS))
    return np.packbits(features @ planes > 0, axis=1)


def table_of(
    groups: Groups, post_ids: np.ndarray, paths: list[str], parent_ids: dict[int, int]
) -> list[TableRow]:
    """Return the rows of groups.csv: groups by their smallest post id, members by post id and path."""
    sizes = np.bincount(groups.leaders, minlength=len(paths))
    members = np.flatnonzero(sizes[groups.leaders] > 1)
    order = sorted(members.tolist(), key=lambda row: (int(post_ids[row]), paths[row]))
    number_of, table = {}, []
    for row in order:
        group_number = number_of.setdefault(int(groups.leaders[row]), len(number_of) + 1)
        distance, post_id = float(groups.distances[row]), int(post_ids[row])
        cell = "" if np.isnan(distance) else f"{distance:.4f}"
        path = image_folder.printable(paths[row])
        table.append((group_number, post_id, path, cell, parent_ids.get(post_id, "")))
    return sorted(table, key=lambda row: row[0])


def report(
    options: argparse.Namespace, paths: list[str], facts: np.ndarray, groups: Groups, table: list[TableRow]
) -> None:
    """Print how many groups there are, and which images could not be compared."""
    sizes = np.bincount([row[0] for row in table] or [0])[1:]
    broken, blank = (
        np.flatnonzero(facts["state"] == state) for state in (fingerprints.BROKEN, fingerprints.BLANK)
    )
    result = {
        "images": len(paths),
        "groups": len(sizes),
        "images_in_groups": int(sizes.sum()),
        "largest_group": int(sizes.max(initial=0)),
        "pairs_refused": groups.refused,
        "broken": [
            {"path": image_folder.printable(paths[place]), "reason": facts["reason"][place].decode()}
            for place in broken
        ],
        "blank": [image_folder.printable(paths[place]) for place in blank],
    }
    if options.json:
        print_json(result)
        return
    _print_some("cannot be read", [f"{image['path']}: {image['reason']}" for image in result["broken"]])
    _print_some("of one color, nothing to compare", result["blank"])
    if groups.refused:
        pairs = counted(groups.refused, "pair was", "pairs were")
        print(f"{pairs} alike, but not the groups that they would have joined")
    print(
        f"{counted(len(paths), 'image')}, {result['images_in_groups']:,} of them in "
        f"{counted(len(sizes), 'group')}, the largest of {result['largest_group']}: {options.output}"
    )
    place = ("--from", options.origin, "--images") if options.origin else ("--from",)
    words = *place, options.images, "--groups", options.output, "-o", "my/dataset"
    print(f"{programs.next_line('select_tags', *words)}   (keeps each group in one split)")


def _print_some(title: str, lines: list[str]) -> None:
    if not lines:
        return
    print(f"{len(lines):,} {title}:")
    print("\n".join(f"  {line}" for line in lines[:_MAX_SHOWN]))
    if len(lines) > _MAX_SHOWN:
        print(f"  and {len(lines) - _MAX_SHOWN:,} more (--json lists all)")


if __name__ == "__main__":
    sys.exit(main())
