"""The table of compiled steps: rows of answers, the file, and what the pages show."""

import pytest

from Utils.bench import compiled_steps
from Utils.command.cli import UserError

KEY = {
    "recipe": "convnext_b", "topology": "v5e:2x4", "image_size": 448, "num_labels": 5500,
    "batch_size_per_device": 32, "dtype": "bfloat16", "rematerialize": "none", "effort": "low",
}  # fmt: skip
ANSWER = {
    "device_kind": "TPU v5 lite", "devices": 8, "memory_limit_bytes": 16 * 2**30, "memory_bytes": 12 * 2**30,
    "argument_bytes": 10**9, "temporary_bytes": 10**9, "fits": True, "flops": 197e11, "matrix_flops": 98.5e11,
    "bytes_accessed": 819e8, "collectives": {"all-reduce": 350_000_000}, "compile_seconds": 100.04,
}  # fmt: skip
VERSIONS = {"jax": "0.10.2", "libtpu": "0.0.42"}
ROW = compiled_steps.row(KEY, ANSWER, VERSIONS)
LACKS = {
    "fits": False, "memory_bytes": 20 * 2**30, "flops": None, "bytes_accessed": None, "collectives": {},
}  # fmt: skip
TOO_LARGE = compiled_steps.row(KEY | {"topology": "v3:2x2"}, ANSWER | LACKS, VERSIONS)
WITH_BLOCKS = compiled_steps.row(
    KEY | {"topology": "v3:2x2", "rematerialize": "blocks"}, ANSWER | {"memory_bytes": 3 * 2**30}, VERSIONS
)


def test_the_file_gives_back_what_was_written(tmp_path):
    rows = [ROW, TOO_LARGE, WITH_BLOCKS]
    compiled_steps.write(tmp_path / "steps.csv", rows)
    assert compiled_steps.read(tmp_path / "steps.csv") == rows
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="recipe"):
        compiled_steps.read(tmp_path / "other.csv")


def test_the_overview_says_what_fits_and_how():
    text = compiled_steps.overview([ROW, TOO_LARGE, WITH_BLOCKS])
    assert text.splitlines() == [
        "| recipe | v5e:2x4, 16.0 GiB | v3:2x2, 16.0 GiB |",
        "| :-- | :-- | :-- |",
        "| convnext_b | 12.00 | 20.00, **does not fit**; 3.00 with blocks rematerialized |",
        "",
        "Compiled by jax 0.10.2, libtpu 0.0.42, low effort.",
    ]


def test_a_step_that_was_not_compiled_is_said_to_be_missing():
    other = ROW | {"recipe": "vit_b16", "topology": "v4:2x2x1"}
    assert "| vit_b16 | not compiled | 12.00 |" in compiled_steps.overview([ROW, other])


def test_the_details_hold_figures_against_the_chips_peaks():
    known, unknown = compiled_steps.details([ROW, TOO_LARGE]).splitlines()[2:]
    assert known == (
        "| convnext_b | 448 | v5e:2x4 | none | 12.00 (75%) | 19.7 | 50% | 0.1 | 81.9 | 0.1 | 320 | 350 |"
    )
    assert unknown == "| convnext_b | 448 | v3:2x2 | none | 20.00 (125%) |  |  |  |  |  |  |  |"
