"""The formats of a release, each compared with the Keras model on the same images."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.release.format_table import FORMATS
from Utils.release.formats import ReferenceOutputs, compare_format
from Utils.release.onnx_runner import OnnxRunner
from Utils.release.verification import agreement, diagnosis, runners
from Utils.release.verification.agreement import Agreement
from Utils.release.verification.findings import FIXED_BATCH, Findings
from Utils.release.verification.reference import Reference

NUM_SINGLE = 8  # images that are run one by one


class FormatChecks:
    """Compares formats with the Keras model.

    Args:
        reference: the Keras model.
        tags: names of its outputs, L.
        images: (N, S, S, 3) uint8 BGR.
        labels: (N, L), see `agreement.compare`; or None.
        findings: where failures go.
    """

    def __init__(
        self,
        reference: Reference,
        tags: list[str],
        images: np.ndarray,
        labels: np.ndarray | None,
        findings: Findings,
    ) -> None:
        self.reference, self.tags, self.images, self.labels = reference, tags, images, labels
        self.findings = findings
        self.expected = reference.probabilities(images)
        self.agreements: list[Agreement] = []

    def check_onnx(self, path: pathlib.Path, name: str = "model.onnx") -> np.ndarray | None:
        """Check an ONNX file in float32: R4, its probabilities, and what makes them differ.

        Returns its outputs for the images; None where it does not run or gives something else.
        """
        try:
            runner = OnnxRunner(path)
            single = runner(self.images[:NUM_SINGLE], 1)
        except ValueError as error:
            self.findings.fail("R2", f"{name} does not run", "a graph for onnxruntime", error)
            return None
        try:
            outputs = runner(self.images)
        except ValueError as error:
            self.findings.fail("R4", f"{name} takes one image only", "any number", error, FIXED_BATCH)
            outputs = runner(self.images, 1)
        if not self._is_finite(name, outputs):
            return None
        self._check_rows(name, single, outputs[:NUM_SINGLE])
        return outputs if self._check_same(name, outputs) else None

    def _is_finite(self, name: str, outputs: np.ndarray, rule: str = "R2") -> bool:
        num_wrong = int((~np.isfinite(outputs)).sum())
        if num_wrong:
            came = f"{num_wrong} of {outputs.size} are NaN or infinite"
            self.findings.fail(rule, f"{name} gives no numbers", "probabilities", came)
        return not num_wrong

    def _check_rows(self, name: str, single: np.ndarray, batched: np.ndarray) -> None:
        if single.shape != batched.shape:
            self.findings.fail("R4", f"{name}: the number of rows", single.shape, batched.shape)
            return
        apart = float(np.abs(single - batched).max())
        self.findings.note("R4", f"batches of 1 and 4 differ by {apart:.1e}")
        if not apart <= agreement.SAME_ROWS:
            self.findings.fail("R4", f"{name}: rows depend on the batch", agreement.SAME_ROWS, f"{apart:.2g}")

    def check_timm(self, folder: pathlib.Path) -> np.ndarray | None:
        """Compare timm's files where timm is installed (R6); return their probabilities or None."""
        if not runners.timm_is_installed():
            self.findings.warn("R6", "timm files are not compared", "torch, timm", "not installed")
            return None
        return self.check_float32("timm", runners.timm, folder, "R6")

    def check_keras(self, model: Any) -> None:
        """Compare the release's Keras model, where another one is the reference."""
        released = Reference(model, self.reference.columns)
        self.check_float32("extra/keras", lambda _: released.probabilities, pathlib.Path(), "parity")

    def check_float32(
        self,
        name: str,
        make_runner: Callable[[pathlib.Path], runners.Runner],
        path: pathlib.Path,
        rule: str = "parity",
    ) -> np.ndarray | None:
        """Compare a format that computes the same in float32; return its outputs or None."""
        try:
            outputs = make_runner(path)(self.images)
        except ValueError as error:
            self.findings.fail(rule, f"{name} does not run", "the Keras model's probabilities", error)
            return None
        return (
            outputs
            if self._is_finite(name, outputs, rule) and self._check_same(name, outputs, rule)
            else None
        )

    def _check_same(self, name: str, outputs: np.ndarray, rule: str = "parity") -> bool:
        """Compare outputs and name what makes them differ; return whether they can be compared at all."""
        result = self._agreement(name, outputs, rule)
        if result is None:
            return False
        if result.maximum <= agreement.SAME:
            return True
        diagnosed = diagnosis.diagnose(outputs, self.expected, self.images, self.reference)
        for fault in diagnosed.faults:
            self.findings.fail(
                fault.rule if rule == "parity" else rule,
                f"{name}: {fault.name}", fault.allowed, fault.came, fault.name,
            )  # fmt: skip
        if not diagnosed.difference <= agreement.SAME:
            image, output = diagnosed.worst_place()
            allowed = f"{agreement.SAME:g} at most"
            came = f"{diagnosed.difference:.2g}, at sample {image} and output {output}, {self.tags[output]}"
            self.findings.fail(rule, f"{name} differs from Keras", allowed, came)
        return True

    def check_rounded(self, name: str, path: pathlib.Path) -> None:
        """Compare a format that rounds, by the tolerance that it was written with."""
        try:
            outputs = OnnxRunner(path)(self.images)
        except ValueError as error:
            self.findings.fail("parity", f"{name} does not run", "a graph for onnxruntime", error)
            return
        if not self._is_finite(name, outputs, "parity") or self._agreement(name, outputs) is None:
            return
        result = compare_format(name, outputs, ReferenceOutputs(self.images, self.expected, self.labels))
        if result["why"]:
            allowed = ", ".join(f"{key} {value:g}" for key, value in vars(FORMATS[name].tolerance).items())
            # Drawn pictures are no photographs of the training set: only labeled ones decide.
            report = self.findings.warn if self.labels is None else self.findings.fail
            report("parity", f"{name} is too far from the Keras model", allowed, result["why"])

    def _agreement(self, name: str, outputs: np.ndarray, rule: str = "parity") -> Agreement | None:
        """Return the `Agreement` of a format, None where the number of its outputs is another."""
        if outputs.shape != self.expected.shape:
            self.findings.fail(
                "R2" if rule == "parity" else rule,
                f"{name}: number of outputs", self.expected.shape[1], outputs.shape[-1],
            )  # fmt: skip
            return None
        result = agreement.compare(name, self.expected, outputs, self.labels)
        self.agreements.append(result)
        self.findings.note("parity", f"{len(self.images)} images")
        return result
