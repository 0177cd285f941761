"""tools/bench_parts/peers/timm_training.py: what can be tested without torch: its schedule and its scores."""

import importlib.util
import pathlib
import sys
import types

import numpy as np
import pytest

from Utils.evaluation import scores as project_scores
from Utils.evaluation import thresholds
from Utils.training.schedules import WarmupCosine

PATH = pathlib.Path(__file__).resolve().parents[3] / "tools/bench_parts/peers/timm_training.py"


@pytest.fixture
def peer(monkeypatch):
    """The module, with empty modules for torch, torchvision and timm."""
    torch = types.ModuleType("torch")
    torch.utils = types.SimpleNamespace(data=types.SimpleNamespace(Dataset=object))
    timm, optim = types.ModuleType("timm"), types.ModuleType("timm.optim")
    optim.create_optimizer_v2 = None
    torchvision = types.ModuleType("torchvision")
    torchvision.transforms = None
    for module in (torch, timm, optim, torchvision):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location("timm_training", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_learning_rate_is_ours_at_every_step(peer):
    options = {"warmup_start": 0.1, "floor": 0.01}
    ours = WarmupCosine(3e-3, 20, 100, warmup_start=0.1, floor=0.01)
    steps = range(100)
    theirs = [3e-3 * peer.rate(step, 100, 20, options) for step in steps]
    np.testing.assert_allclose(theirs, [float(ours(step)) for step in steps], rtol=2e-6)


def test_its_scores_are_ours(peer):
    random = np.random.default_rng(0)
    labels = random.random((50, 7)) < 0.2
    labels[:, 6] = False  # a tag that is never true does not count in the macro mean
    logits = random.normal(size=(50, 7)).astype(np.float32) + 2 * labels
    point = thresholds.p_equals_r(logits, int(labels.sum()))
    counts = project_scores.count(logits, labels.astype(np.uint8), point.threshold)
    micro, macro = peer.scores(logits, labels)
    assert micro == pytest.approx(float(project_scores.f_beta(counts.total())))
    assert macro == pytest.approx(project_scores.macro_f1(counts))
