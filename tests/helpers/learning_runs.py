"""Folders as Utils/bench/learning.py leaves them of finished training runs."""

import numpy as np
import pandas as pd

from Utils.evaluation import predictions


def finished_run(folder, seed, better=0.0, images=40, tags=6):
    """A run's folder whose predictions are random, ``better`` times nearer to the truth."""
    labels = (np.random.default_rng(0).random((images, tags)) < 0.3).astype(np.uint8)
    noise = np.random.default_rng(seed).random((images, tags))
    frame = pd.DataFrame(
        {"tag_id": range(tags), "name": [f"t{i}" for i in range(tags)], "category": 0, "count": 9}
    )
    folder.mkdir()
    with predictions.writing(folder / "dump", frame) as writer:
        probabilities = (noise * (1 - better) + better * labels).astype(np.float32)
        writer.add(probabilities, np.arange(images), labels)
    rows = [f"{epoch},{32 * epoch},{3 / epoch},{0.1 * epoch},{0.05 * epoch},{10 * epoch}" for epoch in (1, 2)]
    text = "\n".join(["epoch,images,loss,f1,macro_f1,cpu_seconds", *rows, ""])
    (folder / "curve.csv").write_text(text)
    return folder
