"""Findings of a verification: a rule, what was wrong, what is allowed, what came."""

import dataclasses
from typing import Any

RULES = {
    "R1": "selected_tags.csv: header, ids, order",
    "R2": "model.onnx: NHWC, float32, 0..255 BGR, probabilities first",
    "R3": "one ONNX file below 2 GB, no external data",
    "R4": "any batch size gives the same rows",
    "R5": "further outputs after the first, by their names",
    "R6": "timm files together, channels stated",
    "R7": "preprocess.json, categories.json; other tables and formats under extra/",
    "R8": "file names",
    "R9": "sidecars lose nothing",
    "R10": "every client names the same tags",
    "parity": "every format gives the probabilities of the Keras model",
}
# Faults with a name of their own, because users hit them.
SHUFFLED = "shuffled CSV"
ORDER = "outputs in another order"
RGB = "RGB instead of BGR"
LOGITS = "logits instead of probabilities"
FIXED_BATCH = "fixed batch"
EXTERNAL = "external data"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that breaks a rule, or only deserves a warning."""

    rule: str
    wrong: str
    allowed: str
    came: str
    fault: str = ""  # the name of a known fault


class Findings:
    """Collects failures and warnings; a rule that was checked and has no failure has passed."""

    def __init__(self) -> None:
        self.failures: list[Finding] = []
        self.warnings: list[Finding] = []
        self._notes: dict[str, tuple[bool, str]] = {}  # rule -> whether it was checked; what was seen

    def fail(self, rule: str, wrong: str, allowed: object, came: object, fault: str = "") -> None:
        """Add a failure; a further value for the same one is joined to it."""
        for place, failure in enumerate(self.failures):
            if (failure.rule, failure.wrong, failure.fault) == (rule, wrong, fault):
                both = f"{failure.came}; {came}" if str(came) not in failure.came else failure.came
                self.failures[place] = dataclasses.replace(failure, came=both)
                return
        self.failures.append(Finding(rule, wrong, str(allowed), str(came), fault))

    def warn(self, rule: str, wrong: str, allowed: object, came: object) -> None:
        """Add a warning, which does not fail the rule; the same one is added once."""
        warning = Finding(rule, wrong, str(allowed), str(came))
        if warning not in self.warnings:
            self.warnings.append(warning)

    def note(self, rule: str, text: str, checked: bool = True) -> None:
        """Note what was seen of a rule; ``checked`` is False where nothing could be."""
        was_checked, before = self._notes.get(rule, (False, ""))
        if was_checked and checked and text != before:
            text = f"{before}; {text}"
        self._notes[rule] = (checked, text)

    def state(self, rule: str) -> str:
        """Return "failed", "passed" or "skipped"."""
        if any(failure.rule == rule for failure in self.failures):
            return "failed"
        return "passed" if self._notes.get(rule, (False, ""))[0] else "skipped"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values: rules, failures, warnings."""
        rules = {
            rule: {"state": self.state(rule), "about": about, "seen": self._notes.get(rule, (False, ""))[1]}
            for rule, about in RULES.items()
        }
        return {
            "rules": rules,
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
            "warnings": [dataclasses.asdict(warning) for warning in self.warnings],
        }
