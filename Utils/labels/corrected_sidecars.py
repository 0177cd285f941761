"""Writes decisions into the files beside pictures, each as it was written, the old one kept as ``.bak``."""

import collections
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from Utils.command.cli import UserError, progress
from Utils.command.text import counted
from Utils.data.danbooru_fields import plain_name
from Utils.data.sources.sidecar_folders import NAMESPACES, SUFFIXES
from Utils.files import json_format, locking, strict_json, text_files
from Utils.files.atomic import AnyPath, replacing
from Utils.images import image_folder, places
from Utils.images.census import warn_of_unreadable
from Utils.labels import caption_edits, record_edits
from Utils.labels.decisions import Pair
from Utils.tags import captions
from Utils.tags.captions import Splitting

Verdicts = Mapping[Pair, tuple[str, bool]]  # by post id and tag id: tag name, whether the post has it
_NOT_REWRITTEN = (
    "sidecars in archives and on other file systems are not rewritten. Unpack them once, or have the posts "
    "as JSON or Parquet: --jsonl and --parquet write a corrected copy of these"
)


@dataclasses.dataclass
class Corrections:
    """What came of the decisions on some posts."""

    added: int = 0  # labels
    removed: int = 0
    changed: list[str] = dataclasses.field(default_factory=list)  # sidecars, relative to the folder
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)  # sidecar -> reason
    posts: set[int] = dataclasses.field(default_factory=set)  # those that were there
    without_sidecar: list[str] = dataclasses.field(default_factory=list)  # pictures
    divided: list[str] = dataclasses.field(default_factory=list)  # new sidecars, of pictures that shared one
    copied: list[str] = dataclasses.field(default_factory=list)  # files of a folder that hold no posts


@dataclasses.dataclass(frozen=True)
class _Sidecar:
    """The content of a sidecar."""

    text: str
    encoding: str
    record: dict[str, Any] | None  # of JSON

    @classmethod
    def read(cls, path: pathlib.Path) -> "_Sidecar":
        """Return the content of a file; ValueError where it is no text, or no JSON object."""
        data = path.read_bytes()
        encoding = text_files.encoding_of(data)
        text = data.decode(encoding)
        record = json.loads(text) if path.suffix.lower() == ".json" else None
        if path.suffix.lower() == ".json" and not isinstance(record, dict):
            raise ValueError("no JSON object")
        if record is not None and image_folder.json_record(record) is not record:
            raise ValueError("an interface's answer, in which tags are not rewritten")
        return cls(text, encoding, record)

    def tags(self, splitting: Splitting) -> dict[str, Any]:
        """Return ``{tag name: how and where it is written}``."""
        if self.record is None:
            return caption_edits.words(self.text, NAMESPACES, splitting)
        return record_edits.fields_of(self.record)

    def edited(
        self, add: Mapping[str, Any], remove: Iterable[str], one_a_line: bool, splitting: Splitting
    ) -> "_Sidecar":
        """Return the content with tags added and removed."""
        if self.record is None:
            text = caption_edits.edit(self.text, add, list(remove), NAMESPACES, one_a_line, splitting)
            return dataclasses.replace(self, text=text)
        strict_json.loads(self.text)
        record = record_edits.edit(self.record, add, set(remove))
        return dataclasses.replace(self, text=json_format.like(self.text, record), record=record)


def by_post(verdicts: Verdicts) -> dict[int, dict[str, bool]]:
    """Return ``{post id: {tag name: whether the post has it}}``, names as the sources of posts give them.

    A tag list of another project may have spaces, entities or decomposed letters in them; no source has.
    """
    of_post: dict[int, dict[str, bool]] = {}
    for (post, _), (name, has_tag) in verdicts.items():
        of_post.setdefault(post, {})[plain_name("_".join(name.split()))] = has_tag
    return of_post


def correct(folder: AnyPath, verdicts: Verdicts, separator: str | None = None) -> Corrections:
    """Write verdicts into the sidecars of a folder of pictures; done again, nothing changes.

    The sidecar of a picture is the one that the source ``sidecars`` reads, with the same ``separator``. A new
    tag is spelled as most other sidecars of the folder spell it. Pictures without one are counted. Of those
    that share one (``a.txt`` of a.jpg and a.png) a corrected one gets its own, ``a.jpg.txt``.

    Raises UserError where the place is no folder, all pictures lie in archives, which are not rewritten, or
    another process corrects the folder.
    """
    place = places.open_place(folder)
    if not isinstance(place, places.Folder) or isinstance(place, places.RemoteFolder):
        raise UserError(f"{folder} is no folder on this machine; {_NOT_REWRITTEN}")
    root = pathlib.Path(folder)
    pictures = image_folder.image_paths(place)
    warn_of_unreadable(place)
    decided = by_post(verdicts)
    of_post = {
        post: path
        for post, path in zip(image_folder.post_ids(pictures, place), pictures, strict=True)
        if post in decided
    }
    if of_post and all(_is_in_archive(place, path) for path in of_post.values()):
        raise UserError(f"in archives: {counted(len(of_post), 'picture')} with decisions; {_NOT_REWRITTEN}")
    corrections = Corrections(posts=set(of_post))
    sidecars = _sidecars(place)
    of_stem = collections.defaultdict(list)
    for picture in pictures:
        of_stem[_stem_of(picture)].append(picture)
    added = {name for of_tag in decided.values() for name, has_tag in of_tag.items() if has_tag}
    spellings = _Spellings(root, sidecars.values(), added, separator)
    with locking.holding(root):  # of two that write one sidecar each would undo the other
        for post in progress(sorted(of_post), label="sidecars", unit="posts"):
            beside = of_stem[_stem_of(of_post[post])]
            _correct_post(root, of_post[post], beside, decided[post], sidecars, spellings, corrections)
    return corrections


def _is_in_archive(place: places.Place, path: str) -> bool:
    return place.folder_path(path.rpartition("/")[0]) is None


def _stem_of(picture: str) -> str:
    return image_folder.without_suffix(image_folder.composed(picture))


def _sidecars(place: places.Place) -> dict[str, str]:
    """Return ``{path with its suffix in lower case: path}`` of all sidecars of a place."""
    names = [name for name in place.members() if name.lower().endswith(SUFFIXES)]
    return {
        image_folder.composed(f"{name[: name.rindex('.')]}{name[name.rindex('.') :].lower()}"): name
        for name in names
    }


def _sidecar_of(
    root: pathlib.Path, picture: str, sidecars: Mapping[str, str], splitting: Splitting
) -> str | None:
    """Return the sidecar of a picture that is read: the first with a tag, else the first, else None."""
    picture = image_folder.composed(picture)
    stem = image_folder.without_suffix(picture)
    names = [f"{name}{suffix}" for suffix in SUFFIXES for name in dict.fromkeys((picture, stem))]
    candidates = [sidecars[name] for name in names if name in sidecars]
    for name in candidates:
        try:
            if _Sidecar.read(root / name).tags(splitting):
                return name
        except (ValueError, RecursionError, OSError):
            return name  # the reader stops there, too: its reason is said
    return candidates[0] if candidates else None


def _correct_post(
    root: pathlib.Path,
    picture: str,
    beside: Sequence[str],
    of_tag: Mapping[str, bool],
    sidecars: dict[str, str],
    spellings: "_Spellings",
    corrections: Corrections,
) -> None:
    """Correct the sidecar of one picture and note what changed; ``beside``: the pictures of its stem."""
    splitting = spellings.splitting
    name = _sidecar_of(root, picture, sidecars, splitting)
    if name is None:
        corrections.without_sidecar.append(picture)
        return
    try:
        before = _Sidecar.read(root / name)
        present = before.tags(splitting)
        add = {tag: None for tag, has_tag in of_tag.items() if has_tag and tag not in present}
        remove = [tag for tag, has_tag in of_tag.items() if not has_tag and tag in present]
        if not (add or remove):
            return
        is_json = before.record is not None
        spelled = {tag: spellings.of(tag, is_json, before.text) for tag in add}
        one_a_line = name.lower() == f"{picture}.txt".lower()  # as Hydrus writes them
        after = before.edited(spelled, remove, one_a_line, splitting)
        if torn := [tag for tag in add if "," in tag and tag not in after.tags(splitting)]:
            raise ValueError(f"its commas would make several tags of {torn[0]!r}")
    except NotADirectoryError:
        corrections.unreadable[name] = "it lies in an archive, which is not rewritten"
        return
    except (ValueError, RecursionError, OSError) as error:
        corrections.unreadable[name] = str(error) or type(error).__name__
        return
    others = (other for other in beside if other != picture)
    if any(_sidecar_of(root, other, sidecars, splitting) == name for other in others):
        suffix = name[name.rindex(".") :]
        name = f"{picture}{suffix}"
        sidecars[f"{image_folder.composed(picture)}{suffix.lower()}"] = name
        corrections.divided.append(name)
    _write(root / name, after)
    corrections.changed.append(name)
    corrections.added += len(add)
    corrections.removed += len(remove)


def _write(path: pathlib.Path, content: _Sidecar) -> None:
    """Write a sidecar, complete or not at all; the first old one stays as ``.bak``."""
    copy = path.with_name(f"{path.name}.bak")
    if path.exists() and not copy.exists():
        with replacing(copy) as temporary:
            shutil.copy2(path, temporary)
    with replacing(path) as temporary:
        temporary.write_bytes(content.text.encode(content.encoding))


class _Spellings:
    """How the sidecars of a folder separate their tags and spell some, and where their JSON has these."""

    def __init__(
        self, root: pathlib.Path, sidecars: Iterable[str], names: set[str], separator: str | None
    ) -> None:
        self._texts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self._fields: dict[str, collections.Counter[Any]] = collections.defaultdict(collections.Counter)
        separators, splitting = captions.SeparatorCounts(), Splitting(separator)
        for sidecar in sidecars:
            try:
                content = _Sidecar.read(root / sidecar)
            except (ValueError, RecursionError, OSError):
                continue
            if content.record is None:
                separators.add(captions.parse(content.text, NAMESPACES, splitting))
            counters = self._texts if content.record is None else self._fields
            for name, written in content.tags(splitting).items() if names else ():
                if name in names:
                    counters[name][written] += 1
        # As the source `sidecars` reads them; what is unclear has no spelling that differs from a name.
        self.splitting = dataclasses.replace(splitting, splits_unclear=separators.are_blanks)

    def of(self, name: str, is_json: bool, text: str) -> Any:
        """Return the commonest way that fits a text; None where no other sidecar has the tag."""
        ways = [way for way, _ in (self._fields if is_json else self._texts)[name].most_common()]
        if not is_json:
            # A file with underscores and one with spaces may lie in one folder.
            ways = [way for way in ways if _fits(way, text, self.splitting)] or ways
        return ways[0] if ways else None


def _fits(word: str, text: str, splitting: Splitting) -> bool:
    """Whether a spelling has spaces or underscores as the tags of a text have them."""
    words: Sequence[str] = list(caption_edits.words(text, NAMESPACES, splitting).values())
    if " " in word:
        return not any("_" in other for other in words) or any(" " in other for other in words)
    if "_" in word:
        return not any(" " in other for other in words)
    return True
