"""Compare taggers of any origin on the same posts: who finds more of the tags that all of them know.

Each tagger prepares the pictures in its own way, as its own description says. The tags that all taggers have
are judged, matched by name in any spelling, by aliases and by id. F1 is that at the threshold at which the
tagger's own precision equals its recall, and at the thresholds it was published with; AP needs none.
Intervals of 95% are over the posts, the same resamples for all taggers (macro scores: the jackknife).

OUT has comparison.csv, differences.csv (all pairs), parts.csv (by category and by frequency), tags.csv (every
tag, and who has it), comparison.json, report.html, and predictions/, dumps that are used again when the same
tagger meets the same pictures. Interrupted work continues. A dump may stand for a tagger.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import gc
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from Utils.command import machine, programs
from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, command, number, print_json, progress
from Utils.command.text import counted
from Utils.comparison import (
    comparison,
    comparison_page,
    judged_posts,
    tables,
    tagger_predictions,
)
from Utils.comparison.comparison import Contestant
from Utils.comparison.judged_posts import JudgedPosts
from Utils.data import dataset_folder, id_lists, picture_contents, tag_exports
from Utils.data.post_images import ReadImages
from Utils.evaluation import bootstrap, duplicate_groups, predictions
from Utils.files import hub
from Utils.files.atomic import to_path
from Utils.files.locking import sole_writer
from Utils.files.output_folders import replacing_folder, require_replaceable_folder
from Utils.images import image_folder, image_limits, image_reader, places
from Utils.images.census import warn_of_unreadable
from Utils.images.places import Place
from Utils.serving import dump_predictions, onnx_tagger, tag_selection
from Utils.tags import tag_matching


def parser() -> Parser:
    """Return the command's parser."""
    command_line = Parser(prog="compare_taggers.py", description=__doc__)
    add = command_line.add_argument
    add("taggers", metavar="TAGGER", nargs="+", type=hub.argument, help="folders, hub ids, runs or dumps")
    add("--images", required=True, metavar="PLACE", help="the posts' pictures: a folder; tar, zip ... files")
    labels = command_line.add_mutually_exclusive_group(required=True)
    labels.add_argument("--dataset", type=to_path, metavar="D", help="the labels of this dataset's --split")
    labels.add_argument(
        "--labels", metavar="L", help="or any source of posts: JSON, CSV, captions, a database"
    )
    add("--split", nargs="+", metavar="S", help="splits of --dataset (validation)")
    add("-o", "--output", required=True, type=pathlib.Path, metavar="OUT", help="folder to write")
    add("--after-id", type=number(least=0), metavar="N", help="only posts with greater ids, which are newer")
    add("--aliases", type=pathlib.Path, metavar="FILE", help="export of aliases of tags")
    add("--tags", type=pathlib.Path, metavar="FOLDER", help="a folder of e621's exports, for their aliases")
    add(
        "--only-labeled", action="store_true",
        help="judge no tag that --labels never names; by default nobody gave such a tag to a post",
    )  # fmt: skip
    add(
        "--trained", nargs="+", default=[], metavar="TAGGER=POSTS",
        help="what a tagger was trained on: a dataset (its train split), or a list of ids (.txt, .npy)",
    )  # fmt: skip
    add("--groups", type=pathlib.Path, metavar="CSV", help="near-duplicates, from find_duplicates.py")
    add("--batch-size", type=number(least=1), default=8, help="pictures at a time (8)")
    add(
        "--resamples", type=number(least=bootstrap.MIN_RESAMPLES), default=1000,
        help="resamples of the posts (1000)",
    )  # fmt: skip
    add("--seed", type=number(least=0), default=0, help="of the resamples (0)")
    image_reader.add_max_pixels(command_line)
    add("--overwrite", action="store_true", help="replace an existing comparison; its predictions stay")
    add("--json", action="store_true", help="print one JSON object, in full precision")
    return command_line


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    _check(options)
    image_limits.allow_pixels(options.max_pixels)
    place = places.open_place(options.images, options.output)
    trained = _trained(options)
    groups = None if options.groups is None else duplicate_groups.read(options.groups)
    posts = _posts(options, place)
    taggers = _Taggers(options, place, posts)
    shared = comparison.share_tags(
        taggers.contestants, posts, _aliases(options, taggers.contestants, posts), options.only_labeled
    )
    _say(
        f"{counted(len(shared.judged), 'tag')} that each of {counted(len(taggers.contestants), 'tagger')} "
        f"has, {counted(len(posts), 'post')}"
    )
    with sole_writer(options.output):
        dumps = taggers.predict()
        result = comparison.compare(
            taggers.contestants, dumps, posts, shared, trained, groups, options.resamples, options.seed
        )
        facts = tables.facts(result, dumps, options.after_id, options.seed)
        with replacing_folder(options.output, tables.COMPARISON, options.overwrite) as folder:
            tables.write(folder, result, facts)
            page = comparison_page.render(result, facts, _picture_reader(place, result.posts))
            (folder / "report.html").write_text(page, encoding="utf-8")
            taggers.store.place_into(folder, taggers.made(dumps))
        taggers.store.remove()
    if options.json:
        print_json(facts)
    else:
        print(tables.text(facts))
        print(f"\nreport: {options.output / 'report.html'}")
        best = next(tagger for tagger in facts["taggers"] if tagger["name"] == facts["ranking"][0])
        print(f"best by macro AP: {best['name']}, {best['macro_AP']:.4f}")
        print(programs.next_line("tag_images", best["source"], "PICTURES"))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    if options.split and options.dataset is None:
        raise UserError("--split belongs to --dataset; --labels has no splits")
    if options.groups is not None and not options.trained:
        raise UserError("--groups needs --trained TAGGER=POSTS, which says what a tagger has trained on")
    if options.only_labeled and options.dataset is not None:
        raise UserError("--only-labeled belongs to --labels: the tags that a dataset has are in its list")
    require_replaceable_folder(options.output, tables.COMPARISON, options.overwrite)


def _posts(options: argparse.Namespace, place: Place) -> JudgedPosts:
    """Return the posts to judge, and say how many were left out and why."""
    if options.dataset is not None:
        posts = judged_posts.of_dataset(options.dataset, options.split or ["validation"], place)
    else:
        posts, notes = judged_posts.of_source(options.labels, place)
        for note in notes:
            _say(note)
    warn_of_unreadable(place)
    if options.after_id is not None:
        return judged_posts.newer_than(posts, options.after_id)
    _say("without --after-id taggers may have trained on some of these posts")
    return posts


def _picture_reader(place: Place, posts: JudgedPosts) -> ReadImages:
    path_of = dict(zip(posts.ids.tolist(), posts.paths, strict=True))
    return lambda ids: {post: place.open(path_of[post]) for post in ids}


def _aliases(
    options: argparse.Namespace, contestants: Sequence[Contestant], posts: JudgedPosts
) -> dict[str, str]:
    """Return the aliases that concern the tags of all lists."""
    if options.aliases is None and options.tags is None:
        return {}
    exports = tag_exports.read(aliases=options.aliases, tags=options.tags)
    lists = [posts.tags, *(contestant.tags for contestant in contestants)]
    names = {name for frame in lists for name in frame["name"]}
    rules, notes = exports.rules_for(sorted(names | {tag_matching.spelling(name) for name in names}))
    for note in (*exports.notes, *notes):
        _say(note)
    return rules.aliases


def _trained(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return the ids of the posts that taggers were trained on, by the name of the tagger."""
    trained = {}
    for word in options.trained:
        name, equals, path = word.partition("=")
        if not equals or name not in map(str, options.taggers):
            allowed = ", ".join(map(str, options.taggers))
            raise UserError(f"--trained takes TAGGER=POSTS with one of {allowed}; got {word!r}")
        trained[name] = _post_ids(to_path(path))
    return {
        name: trained[str(tagger)]
        for name, tagger in _names(options.taggers).items()
        if str(tagger) in trained
    }


def _post_ids(path: Any) -> np.ndarray:
    if path.is_dir():
        return dataset_folder.load(path).post_ids("train")
    names = id_lists.read(path)
    return np.array(
        [image_folder.post_id(name) if isinstance(name, str) else name for name in names], np.int64
    )


class _Taggers:
    """The taggers of a command line: opened one after another, so that only one is in memory at a time."""

    def __init__(self, options: argparse.Namespace, place: Place, posts: JudgedPosts) -> None:
        self._options, self._place, self._posts = options, place, posts
        self.store = tagger_predictions.PredictionStore(options.output)
        self._pictures = posts.digest(place)
        self._names = _names(options.taggers)
        self._keys: dict[str, str] = {}  # by name; a dump has none
        self._dumps: dict[str, predictions.Dump] = {}
        self.contestants = [
            self._contestant(name, source)
            for name, source in progress(self._names.items(), label="open", unit="taggers")
        ]

    def _contestant(self, name: str, source: Any) -> Contestant:
        if not hub.is_id(source) and (pathlib.Path(source) / predictions.PROBABILITIES).is_file():
            dump = self._dumps[name] = predictions.load(source)
            self._report_changed(dump)
            published = tag_selection.release_thresholds(dump.folder, dump.tags)
            return Contestant(name, str(source), dump.tags, published)
        tagger = self._open(source)
        self._keys[name] = tagger_predictions.key_of(tagger, self._pictures)
        published = tagger.published or tag_selection.release_thresholds(tagger.folder, tagger.tags)
        return Contestant(name, str(source), tagger.tags, published)

    def _report_changed(self, dump: predictions.Dump) -> None:
        """Say how many pictures have other sizes than those that a dump is of: perhaps they are others."""
        id_of = dict(zip(self._posts.paths, self._posts.ids.tolist(), strict=True))
        if count := len(dump_predictions.changed(dump, self._place, id_of)):
            _say(
                f"{dump.folder}: {count:,} of {counted(len(id_of), 'picture')} have other sizes than those "
                f"that were predicted ({predictions.PICTURES}): {picture_contents.CHANGED_OR_OTHERS}"
            )

    def _open(self, source: Any) -> onnx_tagger.ServingTagger:
        return onnx_tagger.load(source, deferred("Models.load"))

    def predict(self) -> list[predictions.Dump]:
        """Return the predictions of every tagger, those that are there and those that are made now."""
        return [self._predict(name, source) for name, source in self._names.items()]

    def _predict(self, name: str, source: Any) -> predictions.Dump:
        if name in self._dumps:
            return self._dumps[name]
        dump = self.store.find(self._keys[name])
        if dump is not None:
            _say(f"{name}: predictions of these pictures are there already")
            return dump
        gc.collect()
        memory = machine.MemoryGrowth()
        tagger = self._open(source)
        return self.store.make(
            self._keys[name], tagger, self._place, self._posts, self._options.batch_size, memory
        )

    def made(self, dumps: Iterable[predictions.Dump]) -> list[tuple[str, predictions.Dump]]:
        """Return ``(file name, dump)`` of the predictions that belong to the output."""
        folders = tables.file_names(self._names)
        pairs = zip(self._names, dumps, strict=True)
        return [(folders[name], dump) for name, dump in pairs if name not in self._dumps]


def _names(taggers: Sequence[Any]) -> dict[str, Any]:
    """Return ``{name: tagger}``: hub ids, names of folders, or paths as typed where those are equal."""
    names = [hub.name_of(tagger) for tagger in taggers]
    named = {}
    for name, tagger in zip(names, taggers, strict=True):
        named[name if names.count(name) == 1 else str(tagger)] = tagger
    if len(named) < len(taggers):
        raise UserError("a tagger is named twice")
    return named


if __name__ == "__main__":
    sys.exit(main())
