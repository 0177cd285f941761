"""A whole release: every rule, every format, every client, one after the other."""

import dataclasses
import pathlib

import numpy as np

from Utils.command import cli
from Utils.files.atomic import read_json
from Utils.release import formats, release_folder
from Utils.release.verification import (
    agreement,
    clients,
    folder,
    format_checks,
    graphs,
    reference,
    runners,
    sidecars,
)
from Utils.release.verification.findings import Findings
from Utils.tags import tag_list

SAMPLES = 8


@dataclasses.dataclass(frozen=True)
class Given:
    """What a release is verified with.

    Args:
        model: the Keras model that is right, None where there is none.
        tags: its tag list.
        pictures: (N, S, S, 3) uint8 BGR, prepared; None to draw some.
        labels: (N, L) of the columns of ``tags``, None where nobody labeled the pictures.
        other: the Keras model of the release where another one is right, else None.
        broken: why the Keras model of the release cannot be loaded; empty where it can, or is not there.
    """

    model: object = None
    tags: object = None
    pictures: np.ndarray | None = None
    labels: np.ndarray | None = None
    other: object = None
    broken: str = ""


class Verification:
    """Verifies a release folder; ``findings`` and ``agreements`` hold what came out."""

    def __init__(self, release, given):
        self.release, self.given = pathlib.Path(release), given
        self.findings, self.agreements = Findings(), []
        said = self._said()
        self.layout = said.get("layout") if said.get("layout") in ("wd", "full") else "wd"
        self._digest = said.get("tags_digest")

    def _said(self):
        path = self.release / "release.json"
        try:
            said = read_json(path) if path.is_file() else {}
        except cli.UserError as error:
            self.findings.fail("R8", "release.json cannot be read", "JSON", error)
            return {}
        return said if isinstance(said, dict) else {}

    def run(self):
        """Check everything; return self."""
        folder.check_names(self.release, self.findings)
        frame = graph = None
        if (self.release / folder.TABLE).is_file():
            frame = folder.check_table(self.release, self.layout, self._digest, self.findings)
        if (self.release / folder.MODEL).is_file():
            graph = self._graph(self.release / folder.MODEL, None if frame is None else len(frame))
        folder.check_descriptions(self.release, frame, graph and graph.image_size, self.findings)
        folder.check_thresholds(self.release, frame, self.findings)
        has_timm = folder.check_timm_files(self.release, self.findings)
        if self.given.broken:
            self.findings.fail("parity", "extra/keras does not load", "a Keras model", self.given.broken)
        if graph is not None and self.given.model is None:
            self.findings.warn("parity", "nothing to compare with", "extra/keras/, or --run", "neither")
        elif graph is not None:
            self._compare(frame, graph, has_timm)
        return self

    def _graph(self, path, num_tags):
        """Check an ONNX file as it is written; return its `Graph`, None where it cannot be run."""
        try:
            graph = graphs.read(path)
        except ValueError as error:
            self.findings.fail("R2", f"{path.name} cannot be read", "an ONNX file", error)
            return None
        graphs.check_interface(graph, num_tags, self.findings)
        return graph if graphs.check_file(graph, self.findings) else None

    def _columns(self, layout):
        """Return which outputs of the Keras model a layout has, None where it cannot have it."""
        try:
            return release_folder.columns(self.given.tags, layout)
        except cli.UserError as error:
            self.findings.fail(
                "R1", "the layout wd needs the four ratings", ", ".join(tag_list.RATINGS), error
            )
            return None

    def _compare(self, frame, graph, has_timm):
        """Compare with the Keras model, format after format."""
        chosen = self._columns(self.layout)
        if chosen is None:
            return
        wanted = self.given.tags.iloc[chosen].reset_index(drop=True)
        if frame is not None:
            folder.check_against(frame, wanted, self.findings)
        truth = reference.Reference(self.given.model, chosen)
        if graph.image_size is not None and graph.image_size != truth.image_size:
            self.findings.fail("R2", "side of the image", truth.image_size, graph.image_size)
            return
        compared = self._comparison(truth, chosen)
        found = compared.main(self.release / folder.MODEL, graph)
        computed = {"wdv3": compared.timm(self.release)} if has_timm else {}
        if found is not None and frame is not None:
            self._check_clients(wanted, compared, {"": found, **computed})
        self._others(compared)
        self.agreements = compared.agreements

    def _comparison(self, truth, chosen):
        given = self.given
        samples = given.pictures
        if samples is None:
            samples = reference.samples(truth.image_size, SAMPLES)
        labels = None if given.labels is None else given.labels[:, chosen]
        return format_checks.Comparison(truth, samples, labels, self.findings)

    def _check_clients(self, wanted, compared, computed):
        """R9 and R10, with the probabilities that each client computes."""
        computed = {name: found[:SAMPLES] for name, found in computed.items() if found is not None}
        samples, right = compared.samples[:SAMPLES], compared.right[:SAMPLES]
        clients.check(self.release, wanted, self.layout, samples, right, computed, self.findings)
        sidecars.check(wanted, right[:2], agreement.gap(right), self.findings)

    def _others(self, compared):
        """Compare what lies under extra/."""
        makers = {"saved_model": runners.saved_model, "litert": runners.litert}
        for name, flavor in formats.FLAVORS.items():
            path = self.release / flavor.path
            if name in makers and path.exists():
                compared.same(name, makers[name], path)
            elif flavor.labels and path.is_file():
                compared.smaller(name, path)
                self._check_copy(name, path.with_name(folder.TABLE))
        full = self.release / "extra" / "full"
        if (full / folder.MODEL).is_file():
            self._full(full, compared)
        if self.given.other is not None:
            compared.keras(self.given.other)

    def _check_copy(self, name, path):
        """R1: a tag list beside another flavor is that of the release."""
        first = self.release / folder.TABLE
        if path.is_file() and first.is_file() and path.read_bytes() != first.read_bytes():
            self.findings.fail("R1", f"the tag list of {name}", "that of the release", "another one")

    def _full(self, path, compared):
        """Check the flavor with all tags: its list and its model."""
        chosen = self._columns("full")
        frame = folder.check_table(path, "full", None, self.findings)
        graph = self._graph(path / folder.MODEL, None if frame is None else len(frame))
        if frame is None or graph is None:
            return
        folder.check_against(frame, self.given.tags.iloc[chosen].reset_index(drop=True), self.findings)
        whole = self._comparison(reference.Reference(self.given.model, chosen), chosen)
        whole.main(path / folder.MODEL, graph, "full/model.onnx")
        compared.agreements += whole.agreements
