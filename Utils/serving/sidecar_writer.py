"""Writes the sidecars of tagged pictures: new ones, instead of those that are there, or adding to them."""

import pathlib
from collections.abc import Sequence

from Utils.serving.tag_selection import Selection
from Utils.tags import sidecars
from Utils.tags.sidecars import SidecarFormat, Style


class SidecarWriter:
    """Writes one sidecar after another.

    Args:
        kind: of the sidecars.
        style: how tags are spelled.
        names: of all tags of the model.
        edited_names: names that edits of tags may add (`TagEdits.names`).
        replaces: write anew where a sidecar is there; one with words that are no such names is kept as .bak.
        appends: add the missing words where a sidecar is there.

    Attributes:
        num_kept: how many old sidecars were kept as ``.bak``.

    Raises UserError where a tag's name holds the separator of ``kind``.
    """

    def __init__(
        self,
        kind: SidecarFormat,
        style: Style,
        names: Sequence[str],
        edited_names: Sequence[str] = (),
        *,
        replaces: bool,
        appends: bool,
    ) -> None:
        sidecars.require_separable(names, kind)
        self.kind, self.style, self.replaces, self.appends = kind, style, replaces, appends
        self._known = {sidecars.spelling_key(name) for name in (*names, *edited_names, style.prefix) if name}
        self.num_kept = 0

    def write(self, path: pathlib.Path, selection: Selection) -> None:
        """Write the sidecar of a picture; raise OSError or UserError where that is impossible."""
        words = self.kind.words(selection, self.style)
        if self.replaces and path.exists() and sidecars.has_other_words(path, self.kind, self._known):
            sidecars.keep_copy(path)
            self.num_kept += 1
        sidecars.write(path, words, self.kind, self.appends)
