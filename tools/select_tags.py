"""Select the tags and posts of a dataset: pictures with tags, or a booru, go in; a dataset folder comes out.

    python tools/select_tags.py --from pictures -o my/dataset
    python tools/select_tags.py my.toml --from pictures -o my/dataset
    python tools/select_tags.py 2021_0000_0899 --source fire-eggs --from danbooru.db --images 512px -o dataset

Without a definition the rules fit the number of posts; they are printed with their reasons and written to
DATASET/definition.toml. To change them, edit that file, give it as the first argument, and add --overwrite.

Writes selected_tags.csv, posts.parquet, rejected.csv (files that are left out, and why), definition.toml,
dataset.json, tag_splits.csv (posts of every tag in every split) and dropped_tags.csv (the rule that dropped
each tag, without tags of other categories); tools/write_records.py adds the images.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, print_json
from Utils.command.text import counted, join_names
from Utils.data import (
    dataset_folder,
    dataset_selection,
    dataset_writer,
    default_definition,
    folder_tags,
    selection_report,
    sources,
    tag_exports,
    tag_rules,
)
from Utils.data.dataset_selection import Pictures, Selection
from Utils.data.default_definition import QUALITY_WORDS
from Utils.data.definition import Definition, definition_from_dict, read_definition
from Utils.data.selection_report import Outcome
from Utils.data.sources.detection import Detected
from Utils.data.sources.stream import Source
from Utils.evaluation import duplicate_groups
from Utils.files import atomic, text_files
from Utils.files.atomic import git_commit, to_path
from Utils.files.output_folders import replacing_folder, require_replaceable_folder
from Utils.images import image_folder, picture_index, places
from Utils.tags import captions, tag_categories, tag_list

FOLDERS = "folders"  # kind of source: pictures without texts, with --folder-tags
EXPORTS = {
    "aliases": "antecedent_name is written as consequent_name",
    "implications": "a post with antecedent_name has consequent_name too",
    "deprecated": "tags that are dropped (name, is_deprecated)",
    "tags": "categories and ids (name, category, id, is_deprecated), for sources that lack them; also a "
    "selected_tags.csv",
}


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/select_tags.py", description=__doc__)
    parser.add_argument(
        "definition", nargs="?", help="definition.toml, or a folder that holds one (default: fits the posts)"
    )
    parser.add_argument(
        "--source", choices=sorted(sources.SOURCES), help="kind of source (default: told from PATH)"
    )
    parser.add_argument(
        "--from",
        required=True,
        dest="origin",
        metavar="PATH",
        help="a folder of pictures with captions beside them, a booru's database, or files of posts",
    )
    parser.add_argument(
        "--images", metavar="PLACE", help="a folder; tar, zip or Parquet files (default: PATH)"
    )
    parser.add_argument(
        "--extension", nargs="+", metavar=".EXT", default=[],
        help="endings of the texts beside pictures, the preferred first (default: .txt .tags .caption .json)",
    )  # fmt: skip
    parser.add_argument(
        "--separator",
        choices=captions.SEPARATORS,
        help="what separates the tags of texts beside pictures; blank: of those without commas "
        "(default: told from the texts)",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DATASET", help="dataset folder to make")
    parser.add_argument(
        "--groups", metavar="CSV", help="groups of near-duplicates (group,post_id,...): one split each"
    )
    parser.add_argument(
        "--write-lists", action="store_true", help="also write train.txt ...: the files of each split"
    )
    for name, what in EXPORTS.items():
        parser.add_argument(f"--{name}", metavar="FILE", help=f"Danbooru's export (CSV, JSON lines): {what}")
    parser.add_argument(
        "--folder-tags",
        action="store_true",
        help="the name of a picture's folder is a tag, too; of kohya's 10_name it is name",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--overwrite", action="store_true", help="replace DATASET where it exists")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_replaceable_folder(options.output, dataset_folder.DATASET, options.overwrite)
    definition = read_definition(options.definition) if options.definition else None
    text, reasons = definition_to_keep(options), None
    groups = duplicate_groups.read(options.groups) if options.groups else None
    rules = tag_exports.read(**{name: getattr(options, name) for name in EXPORTS})
    for note in rules.notes:
        print(note, file=sys.stderr)
    source, pictures, place = open_source(options)
    notes = notes_on(source, pictures)
    for note in notes:
        print(note, file=sys.stderr)
    if repeated := tag_list.describe_repeated(source.tags):
        print(f"warning: {source.path} has {repeated}", file=sys.stderr)
    source, tag_steps, dropped = tag_rules.apply(source, rules)
    if definition is None:
        name = to_path(atomic.absolute(to_path(options.output))).name
        definition, reasons = dataset_selection.default_for(source, pictures, name)
        text = default_definition.to_toml(definition, reasons)
    selected = dataset_selection.select(
        definition, source, tag_steps, dropped, pictures, groups, keep_unrated=reasons is not None
    )
    rejected = [*selected.rejected, *image_folder.unreadable_rows(place)]
    selected = dataclasses.replace(selected, rejected=rejected)
    unlisted: list[str] = []
    with replacing_folder(options.output, dataset_folder.DATASET, options.overwrite) as folder:
        made = provenance(options)
        splits, images = dataset_writer.write(folder, source, pictures, selected, made, text)
        if options.write_lists:
            unlisted = dataset_writer.write_lists(folder)
    if unlisted:
        print(
            f"in none of the lists: {counted(len(unlisted), 'picture')} with a line break in the name: "
            f"{join_names(map(repr, unlisted), 3)}",
            file=sys.stderr,
        )
    outcome = Outcome(
        dataset=str(to_path(options.output)),
        selected=selected,
        splits=splits,
        images=images,
        notes=notes_after(options, definition, source, selected, groups),
        reasons=reasons,
        next_command=programs.line("write_records", to_path(options.output)),
    )
    if options.json:
        print_json(selection_report.summary(outcome))
    else:
        print(selection_report.report(outcome))
    return 0


def definition_to_keep(options: argparse.Namespace) -> str | None:
    """Return the text of the definition where it lies in the folder that is replaced, else None.

    Raises UserError where another one lies there that was edited since the dataset was selected.
    """
    there = pathlib.Path(options.output) / "definition.toml"
    if options.definition:
        path = pathlib.Path(options.definition).resolve()
        path = path / "definition.toml" if path.is_dir() else path
        if path == there.resolve():
            return text_files.read_text(path, "a definition")
    if there.is_file() and is_edited(there):
        raise UserError(
            f"{there} was edited since its dataset was selected, and would be lost: give it as the first "
            "argument to select by it, or move it away"
        )
    return None


def is_edited(path: pathlib.Path) -> bool:
    """Whether the definition.toml of a dataset holds other rules than its dataset.json has."""
    manifest = atomic.read_json(path.with_name(dataset_folder.MANIFEST), {"definition": dict})
    try:
        definitions = read_definition(path), definition_from_dict(manifest["definition"])
    except UserError:  # not even a definition any more
        return True
    # The place of a split file is relative to where the command was run.
    there, recorded = (dataclasses.replace(definition, split_file=None) for definition in definitions)
    return there != recorded


def open_source(options: argparse.Namespace) -> tuple[Source, Pictures, places.Place]:
    """Return the source, its pictures and their place."""
    kind, path = options.source, options.origin
    if kind is None:
        detected = detect(options)
        kind, path = detected.kind, detected.path
        print(f"{path}: {detected}", file=sys.stderr)
    is_folders = kind == FOLDERS
    if options.folder_tags and not (is_folders or kind in sources.FINDS_PICTURES):
        raise UserError(f"--folder-tags is for folders of pictures; the source is {kind}")
    # The place first: that it does not exist is said at once, not after reading millions of posts.
    options.images = options.images or (path if is_folders else sources.default_pictures(kind, path))
    place = places.open_place(options.images, beside=options.output)
    if is_folders or kind in sources.FINDS_PICTURES:
        return read_pictures(options, kind, path, place), Pictures(None, place.open), place
    require_no_text_options(options, f"got --source {kind}")
    source = sources.read(kind, path, place)
    # Posts of other sources than fire-eggs have an MD5 or a name, and their files may be named by it.
    files = picture_index.index(place, kind != "fire-eggs", source.has_names)
    return source, Pictures(files, place.open), place


def notes_on(source: Source, pictures: Pictures) -> list[str]:
    """Return what is said before the work: what was recognized at PATH, what is passed by."""
    passed_by = pictures.files.census.passed_by() if pictures.files else source.passed_by
    return [*source.notes, *([passed_by] if passed_by else [])]


def require_no_text_options(options: argparse.Namespace, received: str) -> None:
    """Raise UserError where an option is given that only sources of texts beside pictures take."""
    for option in ("extension", "separator"):
        if getattr(options, option):
            kinds = " and ".join(sources.FINDS_PICTURES)
            raise UserError(f"--{option} is for texts beside pictures ({kinds}); {received}")


def detect(options: argparse.Namespace) -> Detected:
    """Return the kind of source at PATH.

    Pictures whose texts only --extension names are one, and pictures without a text where folders are tags.
    """
    folder = pathlib.Path(options.origin)
    if all((folder / name).is_file() for name in ("dataset.json", dataset_folder.TAGS)):
        raise UserError(
            f"{folder} is a dataset that was selected already; tools/write_records.py {folder} goes on with "
            "it. --from takes what it was selected from: pictures with texts, or posts"
        )
    try:
        detected = sources.detect(options.origin, options.images is not None)
        if detected.kind not in sources.FINDS_PICTURES:
            require_no_text_options(options, f"{options.origin}: {detected}")
        return detected
    except UserError as error:
        has_pictures, has_others = _pictures_and_others(options.origin) if folder.is_dir() else (False, False)
        if has_pictures:
            if options.extension:
                endings = join_names(options.extension)
                return Detected("sidecars", options.origin, f"pictures with texts, which end in {endings}")
            if options.folder_tags:
                return Detected(FOLDERS, options.origin, "pictures, whose folders are their tags")
            raise UserError(
                f"the pictures in {options.origin} have no tags: no text of their name lies beside them "
                "(1.jpg and 1.txt, .caption, .tags or .json). tools/tag_images.py RELEASE PATH writes such "
                "texts by a released tagger; --extension .EXT takes texts of another ending, --folder-tags "
                "the names of folders as tags"
                f"{f'. Apart from pictures, {error}' if has_others else ''}"
            ) from error
        raise


def _pictures_and_others(path: str) -> tuple[bool, bool]:
    """Return whether pictures are in a folder, and whether other files are."""
    census = image_folder.Census()
    folders = list(image_folder.walk_pictures(path, census))
    has_others = any(len(names) > len(pictures) for _, names, pictures in folders)
    return any(pictures for *_, pictures in folders), has_others or bool(census.unreadable_archives)


def read_pictures(options: argparse.Namespace, kind: str, path: str, place: places.Place) -> Source:
    """Return the pictures of a place with the tags of their sidecars, of their folders, or of both."""
    if kind == FOLDERS:
        passed_by: list[str] = []
        paths = image_folder.image_paths(place, passed_by.append)
        ids = image_folder.post_ids(paths, place)
        source = folder_tags.add(folder_tags.without_sidecars(paths, ids, path))
        return dataclasses.replace(source, passed_by="\n".join(passed_by))
    suffixes = [f".{ending.lower().lstrip('.')}" for ending in options.extension]
    given = {"suffixes": suffixes} if suffixes else {}
    source = sources.SOURCES[kind](path, place, separator=options.separator, **given)
    return folder_tags.add(source) if options.folder_tags else folder_tags.with_hint(source)


def notes_after(
    options: argparse.Namespace,
    definition: Definition,
    source: Source,
    selected: Selection,
    groups: pd.DataFrame | None,
) -> list[str]:
    """Return what is said of groups and tags that somebody named and of categories that nobody did."""
    notes = []
    if groups is not None and len(groups):
        posts = groups["post_id"]
        if not any(posts.isin(block.ids).any() for block in selected.blocks):
            notes.append(
                f"warning: none of the {posts.nunique():,} posts of {options.groups} is in the dataset, so "
                "it keeps nothing together: it is of other pictures, or find_duplicates saw them below "
                "another folder, where ids made from paths are others"
            )
    known = set(source.tags["name"])
    for key in ("exclude_tags", "include_tags"):
        names = [name for name in getattr(definition, key) or () if name not in QUALITY_WORDS]
        unknown = [name for name in names if name not in known]
        if unknown:
            notes.append(
                f"{key} names {counted(len(unknown), 'tag')} that no post has, for instance {unknown[0]}"
            )
    is_general = (selected.tags["category"] == tag_categories.CODES["general"]).all()
    if is_general and not options.tags:
        notes.append(
            f"{counted(len(selected.tags), 'tag counts', 'tags count')} as general, as no category is named; "
            "--tags selected_tags.csv (of a released tagger, or an export of tags) tells characters and "
            "copyrights"
        )
    return notes


def _absolute(place: str) -> str:
    return place if "://" in place else os.path.abspath(place)  # noqa: PTH100  links stay as they are


def provenance(options: argparse.Namespace) -> dict[str, Any]:
    """Return how the dataset is made, for its manifest; write_records finds the pictures by it."""
    return {
        "tool": "tools/select_tags.py",
        "git": git_commit(),
        "images": _absolute(str(options.images)),
        "groups": options.groups,
        **{name: getattr(options, name) for name in EXPORTS if getattr(options, name)},
    }


if __name__ == "__main__":
    sys.exit(main())
