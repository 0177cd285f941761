"""Names of shared layers' weights in files of the original zoo, for the ``IMPORT_RULES`` of families.

A family's ``IMPORT_RULES`` are tuples ``(our layer, the original's layer, renamed weights)``:

- our layer: a regex for the whole name of a layer with weights; its groups may be used on the right;
- the original's layer: the name of its group in an ``.h5`` file. Keras numbered unnamed layers in forward
  order: ``{k}`` becomes "" for the first layer that the rule matches, then "_1", "_2";
- renamed weights: ``{our path below the layer: (name in .h5 below the layer, attribute in a checkpoint)}``;
  weights that are not listed keep their name in both. ``{2k}`` and ``{2k+1}`` count two for each layer.

In a TF checkpoint ``layer_with_weights-N`` counts the layers of ``model.layers`` that have weights. Values
keep their order; shapes differ only in axes of length 1 and in the split of a width into heads, so that a
reshape converts them.
"""

ECA = {"kernel": ("conv2d{k}/kernel", "attn_conv/kernel")}
SE = {
    "squeeze/kernel": ("dense{2k}/kernel", "dense_squeeze/kernel"),
    "squeeze/bias": ("dense{2k}/bias", "dense_squeeze/bias"),
    "excite/kernel": ("dense{2k+1}/kernel", "dense_excite/kernel"),
    "excite/bias": ("dense{2k+1}/bias", "dense_excite/bias"),
}
SCALE = {"scale": ("skip", "skip")}
DEPTHWISE = {"kernel": ("depthwise_kernel", "depthwise_kernel")}
POSITIONS = {"table": ("pos_embed", "pos_embed")}
SELF_ATTENTION = {
    f"{ours}/{weight}": (f"{h5}/{weight}", f"_{ours}_dense/{weight}")
    for ours, h5 in (("query", "query"), ("key", "key"), ("value", "value"), ("output", "attention_output"))
    for weight in ("kernel", "bias")
}
