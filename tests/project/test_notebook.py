"""notebooks/models.ipynb runs from the top to the end on a run folder, and is kept without outputs."""

import pathlib
import re

import nbclient
import nbformat
import numpy as np
import pytest
from helpers import jpeg

import Models

NOTEBOOK = pathlib.Path(__file__).resolve().parents[2] / "notebooks" / "models.ipynb"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    model = Models.build("ConvNext/test", image_size=32, num_labels=3)
    model.get_layer("head_logits").set_weights([np.zeros((16, 3)), np.array([9.0, 0.0, -9.0])])
    model.save(folder / "best.keras")
    rows = "1,certain,0,9\n2,undecided,0,8\n3,absent,0,7\n"
    (folder / "selected_tags.csv").write_text("tag_id,name,category,count\n" + rows)
    return folder


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)


@pytest.mark.slow
# The kernel's own doing: sockets without a selector thread on some systems, the event loop it closes.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_it_runs_and_tags(run, tmp_path, monkeypatch):
    image = tmp_path / "image.jpg"
    image.write_bytes(jpeg(0, 48))
    monkeypatch.setenv("MODELZOO_RUN", str(run))
    monkeypatch.setenv("MODELZOO_IMAGE", str(image))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, startup_timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert "ConvNext" in text
    accuracies = re.findall(r"accuracy[a-z ]* (\d\.\d\d)", text)
    assert len(accuracies) == 2 and min(map(float, accuracies)) > 0.8, "both examples of fit have learned"
    assert "64 pictures, tags ['blue', 'green', 'red']" in text
    assert "32 px, 3 tags" in text
    assert text.endswith("1.000 certain\n0.500 undecided\n")
    assert any("image/jpeg" in output.get("data", {}) for output in outputs)
