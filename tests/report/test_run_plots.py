"""Utils/report/run_plots.py: the plots of a run exist and show its numbers."""

import cv2
import numpy as np
import pytest

from Utils.report import run_plots

pytestmark = pytest.mark.draws

ROWS = [
    {"epoch": 1, "loss": 3.0, "val_loss": 3.5, "val_f1": 0.2, "learning_rate": 1e-3},
    {"epoch": 2, "loss": 2.0, "val_loss": "", "val_f1": 0.5, "learning_rate": 5e-4},
    {"epoch": 3, "loss": 1.5, "val_loss": 2.8, "val_f1": 0.4, "learning_rate": 0.0},
]


@pytest.fixture
def figures(monkeypatch):
    """The figures that would be written."""
    written = []
    monkeypatch.setattr(run_plots, "_write", lambda figure, path: written.append(figure))
    return written


def test_curves_are_the_numbers_of_the_history(figures):
    run_plots.plot_history(ROWS, "curves.png")
    loss, score, rate = figures[0].axes
    training, validation = loss.lines
    assert training.get_xydata().tolist() == [[1, 3.0], [2, 2.0], [3, 1.5]]
    assert validation.get_xydata().tolist() == [[1, 3.5], [3, 2.8]]  # an epoch without one is left out
    assert score.get_title() == "Validation F1 at P = R, best 0.5000"
    assert rate.lines[0].get_ydata().tolist() == [1e-3, 5e-4, 0.0]


def test_curves_are_drawn_without_validation_or_epochs_too(figures):
    run_plots.plot_history([{"epoch": 1, "loss": 3.0}], "curves.png")
    run_plots.plot_history([], "curves.png")
    assert [figure.axes[1].get_title() for figure in figures] == ["No validation split"] * 2
    assert figures[0].axes[0].lines[0].get_marker() == "o"  # a line of one point cannot be seen


def test_a_batch_is_shown_in_true_colors_with_its_tags(figures):
    images = np.zeros((5, 8, 8, 3), np.float32)
    images[0, ..., 0] = 255  # blue, in BGR
    labels = np.array([[1, 0, 0], [0.25, 0.75, 0], [0, 0, 0], [0, 0, 1], [1, 1, 1]])
    run_plots.plot_batch(images, labels, ["hat", "a$b$", "bow"], "batch.png", most=4)
    shown = [axes for axes in figures[0].axes if axes.get_visible()]
    assert len(shown) == 4
    assert shown[0].images[0].get_array()[0, 0].tolist() == [0, 0, 255]
    assert [axes.get_title() for axes in shown] == ["hat", r"a\$b\$ .75, hat .25", "no tags", "bow"]


def test_a_long_caption_is_wrapped_and_cut():
    names = [f"a_rather_long_tag_{i}" for i in range(20)]
    caption = run_plots._caption(np.ones(20), names)
    assert caption.endswith("and 6 more")
    assert max(map(len, caption.split("\n"))) < 70
    assert caption.count("a_rather_long_tag") == 14


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_are_no_lines_of_the_training(tmp_path):
    images = np.zeros((1, 8, 8, 3), np.uint8)
    run_plots.plot_batch(images, np.ones((1, 1)), ["\U0001f9ff日本語"], tmp_path / "batch.png")
    assert (tmp_path / "batch.png").is_file()


def test_plots_are_written(tmp_path):
    run_plots.plot_history(ROWS, tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image.shape == (374, 1210, 3)
    assert image.std() > 5
