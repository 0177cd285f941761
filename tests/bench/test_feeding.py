"""Cores that feed a device: from the roofline of a compiled step and the images that a core makes."""

import pytest

from Utils.bench import feeding
from Utils.command.cli import UserError

# Half a second of v5e's bandwidth, one of its FLOPs; on an H200 819 / 4800 / 2 and 197 / 989.5 seconds.
ROW = {
    "recipe": "convnext_b", "topology": "v5e:2x4", "image_size": 448, "batch_size_per_device": 32,
    "fits": True, "flops": 197e12, "bytes_accessed": 819e9 / 2, "matrix_flops": 197e12,
}  # fmt: skip
RATES = {448: {"host": 10.0, "device": 16.0}}


def test_cores_are_the_images_at_the_chips_peaks_by_those_of_a_core():
    slower = ROW | {"bytes_accessed": 819e9 * 8}
    unknown = ROW | {"topology": "v4:2x2x1", "flops": None, "bytes_accessed": None}
    too_large = ROW | {"topology": "v3:2x2", "fits": False}
    small = ROW | {"recipe": "demo", "image_size": 64}
    moving = ROW | {"recipe": "vit_b16", "bytes_accessed": 4800e9}
    assert feeding.table([ROW, slower, unknown, too_large, small, moving], RATES).splitlines() == [
        "| recipe | px | v5e:2x4 | v4:2x2x1 | H200, bytes as on a TPU |",
        "| :-- | :-- | :-- | :-- | :-- |",
        "| convnext_b | 448 | 32: 4, 2 | unknown | 161: 17, 11 |",
        "| vit_b16 | 448 | 5: 1, 1 | not compiled | 32: 4, 2 |",
    ]


def test_rates_are_read_by_size_and_place(tmp_path):
    file = tmp_path / "host.csv"
    file.write_text(f"{','.join(feeding.HEADER)}\n448,host,10.0,CPU\n448,device,16.0,CPU\n", encoding="utf-8")
    assert feeding.read_rates(file) == RATES
    file.write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(UserError, match="image_size"):
        feeding.read_rates(file)
