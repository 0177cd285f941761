"""The formats of a release, each compared with the Keras model on the same images."""

import numpy as np

from Utils.release import formats
from Utils.release.verification import agreement, diagnosis, graphs, reference, runners
from Utils.release.verification.findings import FIXED_BATCH

PROBES = 8  # images of each kind that small differences are looked for in
FEW = 8  # images that are run one by one
LARGE = 128 * 128 * 10**7  # pixels times parameters, beyond which a quarter of them do


class Comparison:
    """Compares formats with the Keras model.

    Args:
        truth: the `Reference`.
        samples: (N, S, S, 3) uint8 BGR.
        labels: (N, L) or None.
        findings: where failures go.
    """

    def __init__(self, truth, samples, labels, findings):
        self.truth, self.samples, self.labels, self.findings = truth, samples, labels, findings
        self.right = diagnosis.sigmoid(truth.logits(samples))
        self.agreements = []
        large = truth.model.count_params() * truth.image_size**2 > LARGE
        self._probes = truth.probes(PROBES // 4 if large else PROBES)

    def main(self, path, graph, name="model.onnx"):
        """Check an ONNX file in float32: R4, its probabilities, what makes them differ.

        Returns its probabilities for the samples, None where it does not run.
        """
        try:
            runner = graphs.Runner(path)
            alone = runner(self.samples[:FEW], 1)[0]
        except ValueError as error:
            self.findings.fail("R2", f"{name} does not run", "a graph for onnxruntime", error)
            return None
        try:
            found = runner(self.samples, 4)[0]
        except ValueError as error:
            self.findings.fail("R4", f"{name} takes one image only", "any number", error, FIXED_BATCH)
            runner.batch = 1
            found = runner(self.samples)[0]
        if not self._is_finite(name, found):
            return None
        self._check_rows(name, alone, found[:FEW])
        traces = diagnosis.in_graph(graphs.marks(graph.model), self.truth)
        return found if self._judge(name, found, runner, traces=traces) else None

    def _is_finite(self, name, found, rule="R2"):
        wrong = int((~np.isfinite(found)).sum())
        if wrong:
            came = f"{wrong} of {found.size} are NaN or infinite"
            self.findings.fail(rule, f"{name} gives no numbers", "probabilities", came)
        return not wrong

    def _check_rows(self, name, alone, found):
        if alone.shape != found.shape:
            self.findings.fail("R4", f"{name}: the number of rows", alone.shape, found.shape)
            return
        apart = float(np.abs(alone - found).max())
        self.findings.note("R4", f"batches of 1 and 4 differ by {apart:.1e}")
        if not apart <= agreement.SAME_ROWS:
            self.findings.fail("R4", f"{name}: rows depend on the batch", agreement.SAME_ROWS, f"{apart:.2g}")

    def same(self, name, make, path):
        """Compare a format that computes the same in float32; ``make(path)`` gives its runner."""
        self._compare(name, make, path, "parity")

    def timm(self, folder):
        """Compare timm's files where timm is installed (R6); return the probabilities or None."""
        if not runners.timm_is_there():
            self.findings.warn("R6", "timm files are not compared", "torch, timm", "not installed")
            return None
        return self._compare("timm", runners.timm, folder, "R6")

    def keras(self, other):
        """Compare the release's Keras model, where another one is what is right."""
        again = reference.Reference(other, self.truth.chosen)

        def run(images):
            logits = again.logits(images)
            return diagnosis.sigmoid(logits), logits

        self._compare("extra/keras", lambda _: run, None, "parity")

    def _compare(self, name, make, path, rule):
        try:
            runner = make(path)
            found = runner(self.samples)[0]
        except ValueError as error:
            self.findings.fail(rule, f"{name} does not run", "the Keras model's probabilities", error)
            return None
        good = self._is_finite(name, found, rule) and self._judge(name, found, runner, rule)
        return found if good else None

    def _judge(self, name, found, runner, rule="parity", traces=()):
        """Compare a format and name what makes it differ; whether its outputs can be compared at all."""
        result = self._agreement(name, found, rule)
        if result is None:
            return False
        named = [*diagnosis.find(*runner(self._probes), self.truth, self._probes), *traces]
        for one in named:
            place = one.rule if rule == "parity" else rule
            self.findings.fail(place, f"{name}: {one.fault}", one.allowed, one.came, one.fault)
        if not named and not result.maximum <= agreement.EXACT:
            allowed = f"{agreement.EXACT:g} at most"
            self.findings.fail(rule, f"{name} differs from Keras", allowed, f"{result.maximum:.2g}")
        return True

    def smaller(self, name, path):
        """Compare a format that rounds; its bounds are those that it was written by."""
        try:
            found = graphs.Runner(path)(self.samples)[0]
        except ValueError as error:
            self.findings.fail("parity", f"{name} does not run", "a graph for onnxruntime", error)
            return
        if not self._is_finite(name, found, "parity") or self._agreement(name, found) is None:
            return
        judged = formats.judge(name, found, formats.Truth(self.samples, self.right, self.labels))
        allowed = ", ".join(f"{key} {value:g}" for key, value in vars(formats.FLAVORS[name].bound).items())
        if judged["why"]:  # the bounds are for real pictures
            say = self.findings.warn if self.labels is None else self.findings.fail
            say("parity", f"{name} is too far from the Keras model", allowed, judged["why"])

    def _agreement(self, name, found, rule="parity"):
        """Return the `Agreement` of a format, None where its outputs are others."""
        if found.shape != self.right.shape:
            self.findings.fail("R2" if rule == "parity" else rule, f"{name}: number of outputs",
                               self.right.shape[1], found.shape[-1])  # fmt: skip
            return None
        result = agreement.compare(name, self.right, found, self.labels)
        self.agreements.append(result)
        self.findings.note("parity", f"{len(self.samples)} images")
        return result
