"""Models/summary.py: parameters and multiply-adds, counted by hand for every kind of layer."""

from helpers import zoo

from Models import summary


def test_multiply_adds_of_every_kind_of_layer():
    model = zoo.build_small("NFNet/test", attention="se")
    rows = {row.name: row for row in summary.layers(model)}
    assert rows["stem_conv1"].macs == 3 * 3 * 3 * 16 * 16 * 16
    assert rows["stage0_block0_conv2"].macs == 3 * 3 * 4 * 8 * 8 * 8  # 2 groups of 4 channels
    assert rows["stage0_block0_se"].macs == 2 * 16 * 8
    assert rows["head_logits"].macs == 48 * zoo.LABELS
    attention = {row.name: row for row in summary.layers(zoo.build_small("ViT/test"))}["block0_attention"]
    assert attention.macs == 4 * 16 * 16 * 16 + 2 * 16 * 16 * 16
    assert sum(row.macs for row in summary.blocks(model)) == summary.total_macs(model)


def test_blocks_are_the_sum_of_their_layers():
    model = zoo.build_small("NFNet/test")
    blocks = {row.name: row for row in summary.blocks(model)}
    assert sum(row.parameters for row in blocks.values()) == model.count_params()
    layers = [row for row in summary.layers(model) if row.name.startswith("stage1_block0_")]
    block = blocks["stage1_block0"]
    assert block.macs == sum(row.macs for row in layers)
    assert (block.kind, block.shape) == (f"{len(layers)} layers", layers[-1].shape)
