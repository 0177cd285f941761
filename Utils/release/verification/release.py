"""Verification of a whole release: every rule, every format, every client, one after the other."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import cli
from Utils.files.atomic import AnyPath, read_json
from Utils.release import release_folder
from Utils.release.format_table import FORMATS
from Utils.release.verification import (
    agreement,
    clients,
    folder,
    graphs,
    runners,
    sidecars,
)
from Utils.release.verification.findings import Findings
from Utils.release.verification.format_checks import FormatChecks
from Utils.release.verification.reference import Reference, drawn_images
from Utils.tags import tag_list

NUM_DRAWN = 8  # images where none are given; clients get so many of any


@dataclasses.dataclass(frozen=True)
class ReferenceModel:
    """The Keras model that a release is compared with.

    Args:
        model: the Keras model that is right, or None.
        tags: its tag list, L rows.
        images: (N, S, S, 3) uint8 BGR, prepared; None to draw some.
        labels: (N, L) of the rows of ``tags``, see `agreement.compare`; None where the images have none.
        released_model: the Keras model of the release where another one is right, else None.
        load_error: why the Keras model of the release cannot be loaded; empty where it can, or is absent.
    """

    model: Any = None
    tags: pd.DataFrame | None = None
    images: np.ndarray | None = None
    labels: np.ndarray | None = None
    released_model: Any = None
    load_error: str = ""


class Verification:
    """Verifies a release folder; ``findings`` and ``agreements`` hold the results of `run`."""

    def __init__(self, release: AnyPath, reference: ReferenceModel) -> None:
        self.release, self.reference = pathlib.Path(release), reference
        self.findings = Findings()
        self.agreements: list[agreement.Agreement] = []
        facts = self._release_facts()
        self.layout: str = facts["layout"] if facts.get("layout") in ("wd", "full") else "wd"
        self._digest: str | None = facts.get("tags_digest")

    def _release_facts(self) -> dict[str, Any]:
        path = self.release / "release.json"
        try:
            facts = read_json(path) if path.is_file() else {}
        except cli.UserError as error:
            self.findings.fail("R8", "release.json cannot be read", "JSON", error)
            return {}
        return facts if isinstance(facts, dict) else {}

    def run(self) -> "Verification":
        """Check everything; return self."""
        folder.check_names(self.release, self.findings)
        tags = graph = None
        if (self.release / folder.TABLE).is_file():
            tags = folder.check_table(self.release, self.layout, self._digest, self.findings)
        if (self.release / folder.MODEL).is_file():
            graph = self._check_graph(self.release / folder.MODEL, None if tags is None else len(tags))
        folder.check_descriptions(self.release, tags, graph.image_size if graph else None, self.findings)
        folder.check_thresholds(self.release, tags, self.findings)
        has_timm = folder.check_timm_files(self.release, self.findings)
        # The rules above need only the files; what follows needs a Keras model to compare with.
        if self.reference.load_error:
            self.findings.fail(
                "parity", "extra/keras does not load", "a Keras model", self.reference.load_error
            )
        if graph is not None and self.reference.model is None:
            self.findings.warn("parity", "nothing to compare with", "extra/keras/, or --run", "neither")
        elif graph is not None:
            self._compare(tags, graph, has_timm)
        return self

    def _check_graph(self, path: pathlib.Path, num_tags: int | None) -> graphs.Graph | None:
        """Check an ONNX file as it is written; return it, None where it cannot be run."""
        try:
            graph = graphs.read(path)
        except ValueError as error:
            self.findings.fail("R2", f"{path.name} cannot be read", "an ONNX file", error)
            return None
        graphs.check_interface(graph, num_tags, self.findings)
        return graph if graphs.check_file(graph, self.findings) else None

    def _columns(self, layout: str) -> np.ndarray | None:
        """Return which outputs of the Keras model a layout has, None where it cannot have it."""
        try:
            return release_folder.columns(self._model_tags(), layout)
        except cli.UserError as error:
            self.findings.fail(
                "R1", "the layout wd needs the four ratings", ", ".join(tag_list.RATINGS), error
            )
            return None

    def _model_tags(self) -> pd.DataFrame:
        if self.reference.tags is None:
            raise ValueError("a reference model needs its tag list")
        return self.reference.tags

    def _compare(self, tags: pd.DataFrame | None, graph: graphs.Graph, has_timm: bool) -> None:
        """Compare with the Keras model, format after format."""
        columns = self._columns(self.layout)
        if columns is None:
            return
        expected_tags = self._model_tags().iloc[columns].reset_index(drop=True)
        if tags is not None:
            folder.check_against(tags, expected_tags, self.findings)
        reference = Reference(self.reference.model, columns)
        if graph.image_size is not None and graph.image_size != reference.image_size:
            self.findings.fail("R2", "side of the image", reference.image_size, graph.image_size)
            return  # images of one size cannot be given to both
        checks = self._format_checks(reference, expected_tags)
        outputs = checks.check_onnx(self.release / folder.MODEL)
        timm_outputs = checks.check_timm(self.release) if has_timm else None
        if outputs is not None and tags is not None:
            computed = {"": outputs} if timm_outputs is None else {"": outputs, "wdv3": timm_outputs}
            self._check_clients(expected_tags, checks, computed)
        self._check_other_formats(checks)
        self.agreements = checks.agreements

    def _format_checks(self, reference: Reference, tags: pd.DataFrame) -> FormatChecks:
        images, labels = self.reference.images, self.reference.labels
        # Drawn images are the same on every machine; only formats that round need labeled ones.
        if images is None:
            images = drawn_images(reference.image_size, NUM_DRAWN)
        if labels is not None:
            labels = labels[:, reference.columns]
        return FormatChecks(reference, tags["name"].tolist(), images, labels, self.findings)

    def _check_clients(
        self, tags: pd.DataFrame, checks: FormatChecks, computed: dict[str, np.ndarray]
    ) -> None:
        """R9 and R10, with the probabilities that each client computes."""
        # A few images suffice: a client that misreads the table does so for every image.
        computed = {name: outputs[:NUM_DRAWN] for name, outputs in computed.items()}
        images, expected = checks.images[:NUM_DRAWN], checks.expected[:NUM_DRAWN]
        clients.check(self.release, tags, self.layout, images, expected, computed, self.findings)
        sidecars.check(tags, expected[:2], agreement.threshold_in_gap(expected), self.findings)

    def _check_other_formats(self, checks: FormatChecks) -> None:
        """Compare what lies under extra/."""
        makers = {"saved_model": runners.saved_model, "litert": runners.litert}
        for name, row in FORMATS.items():
            path = self.release / row.path
            if name in makers and path.exists():
                checks.check_float32(name, makers[name], path)
            elif row.needs_labels and path.is_file():
                checks.check_rounded(name, path)
                self._check_copied_table(name, path.with_name(folder.TABLE))
        full = self.release / "extra" / "full"
        if (full / folder.MODEL).is_file():
            self._check_full(full, checks)
        if self.reference.released_model is not None:
            checks.check_keras(self.reference.released_model)

    def _check_copied_table(self, name: str, path: pathlib.Path) -> None:
        """R1: a tag list beside another format is that of the release."""
        first = self.release / folder.TABLE
        if path.is_file() and first.is_file() and path.read_bytes() != first.read_bytes():
            self.findings.fail("R1", f"the tag list of {name}", "that of the release", "another one")

    def _check_full(self, path: pathlib.Path, checks: FormatChecks) -> None:
        """Check the model with all tags: its list and its graph."""
        columns = release_folder.columns(self._model_tags(), "full")
        tags = folder.check_table(path, "full", None, self.findings)
        graph = self._check_graph(path / folder.MODEL, None if tags is None else len(tags))
        if tags is None or graph is None:
            return
        expected_tags = self._model_tags().iloc[columns].reset_index(drop=True)
        folder.check_against(tags, expected_tags, self.findings)
        full_checks = self._format_checks(Reference(self.reference.model, columns), expected_tags)
        full_checks.check_onnx(path / folder.MODEL, "full/model.onnx")
        checks.agreements += full_checks.agreements
