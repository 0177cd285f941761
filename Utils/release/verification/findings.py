"""What was found wrong with a release, rule by rule."""

import dataclasses

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
# What is named where it is recognized.
SHUFFLED = "shuffled CSV"
RGB = "RGB instead of BGR"
LOGITS = "logits instead of probabilities"
SOFTMAX = "a softmax instead of a sigmoid"
FIXED_BATCH = "fixed batch"
EXTERNAL = "external data"
EPSILON = "a wrong epsilon"
TANH = "a tanh GELU for an exact one"
EXACT = "an exact GELU for a tanh one"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that breaks a rule, or only deserves a warning."""

    rule: str
    wrong: str
    allowed: str
    came: str
    fault: str = ""  # the name of a known fault


class Findings:
    """Collects failures and warnings; a rule that was looked at and has no failure has passed."""

    def __init__(self):
        self.failures, self.warnings = [], []
        self.notes = {}  # of rules that were looked at: what was seen, or why nothing could be

    def fail(self, rule, wrong, allowed, came, fault=""):
        """Add a failure; what is said twice of one thing is joined."""
        for place, one in enumerate(self.failures):
            if (one.rule, one.wrong, one.fault) == (rule, wrong, fault):
                said = f"{one.came}; {came}" if str(came) not in one.came else one.came
                self.failures[place] = dataclasses.replace(one, came=said)
                return
        self.failures.append(Finding(rule, wrong, str(allowed), str(came), fault))

    def warn(self, rule, wrong, allowed, came):
        """Add a warning, which leaves the rule passed; said once."""
        one = Finding(rule, wrong, str(allowed), str(came))
        if one not in self.warnings:
            self.warnings.append(one)

    def note(self, rule, text, looked=True):
        """Say what was looked at; ``looked`` is False where nothing could be."""
        before = self.notes.get(rule, (False, ""))
        if before[0] and looked and text != before[1]:
            text = f"{before[1]}; {text}"
        self.notes[rule] = (looked, text)

    def state(self, rule):
        """Return "failed", "passed" or "skipped"."""
        if any(one.rule == rule for one in self.failures):
            return "failed"
        return "passed" if self.notes.get(rule, (False, ""))[0] else "skipped"

    def to_dict(self):
        """Return everything as plain values."""
        rules = {
            rule: {"state": self.state(rule), "about": about, "seen": self.notes.get(rule, (False, ""))[1]}
            for rule, about in RULES.items()
        }
        parts = {"failures": self.failures, "warnings": self.warnings}
        return {"rules": rules} | {
            name: [dataclasses.asdict(one) for one in found] for name, found in parts.items()
        }
