"""The peer that tools/bench.py measures models beside: timm's on torch, where installed."""

import importlib.util
import os
import timeit

from Utils.command.cli import UserError

# Our models and timm's of the same shape: its NFNet L0 has ECA (--set attention=eca), its F0 squeeze-excite.
TIMM = {
    "ConvNext/A": "convnext_atto",
    "ConvNext/F": "convnext_femto",
    "ConvNext/P": "convnext_pico",
    "ConvNext/N": "convnext_nano",
    "ConvNext/T": "convnext_tiny",
    "ConvNext/S": "convnext_small",
    "ConvNext/B": "convnext_base",
    "ConvNext/L": "convnext_large",
    "ConvNext/V2-T": "convnextv2_tiny",
    "NFNet/F0": "dm_nfnet_f0",
    "NFNet/L0": "eca_nfnet_l0",
    "NFNet/L1": "eca_nfnet_l1",
    "NFNet/L2": "eca_nfnet_l2",
    "NFResNet/50": "nf_resnet50",
    "NFResNet/101": "nf_resnet101",
    "ResNet/18": "resnet18",
    "ResNet/34": "resnet34",
    "ResNet/50": "resnet50",
    "ResNet/101": "resnet101",
    "ResNet/152": "resnet152",
    "ViT/Ti16": "vit_tiny_patch16_224",
    "ViT/S16": "vit_small_patch16_224",
    "ViT/B16": "vit_base_patch16_224",
    "ViT/B32": "vit_base_patch32_224",
    "ViT/L16": "vit_large_patch16_224",
}


def name(model, peer):
    """Return the name of the peer's model; UserError where it, timm or torch is not there.

    ``peer`` is "timm" for the model of the same shape as ours, called ``model``, or "timm:NAME".
    """
    library, _, wanted = peer.partition(":")
    if library != "timm":
        raise UserError(f"--peer is timm or timm:NAME, of infer also onnxruntime; got {peer!r}")
    missing = [package for package in ("torch", "timm") if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"--peer timm needs torch and timm; not installed: {', '.join(missing)}. Install them with "
            "pip install torch timm, or leave --peer out"
        )
    if not wanted and model not in TIMM:
        raise UserError(f"no model of timm is known for {model}, only for {', '.join(TIMM)}; use timm:NAME")
    return wanted or TIMM[model]


def training_step(name, rates, batch, learning_rate):
    """Return a training step in the faster of torch's two memory formats, and what it is.

    Args:
        name: of timm's model.
        rates: ``drop_rate`` and ``drop_path_rate``.
        batch: images (B, S, S, 3), 0..255, and labels (B, num_labels), float32.
        learning_rate: of SGD with Nesterov momentum 0.9.
    """
    torch = import_torch()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    steps, took = {}, {}
    for form in ("contiguous_format", "channels_last"):
        steps[form] = _step_in(form, torch, name, rates, batch, learning_rate)
        steps[form]()
        took[form] = min(timeit.repeat(steps[form], number=1, repeat=2))
    best = min(took, key=took.get)
    return steps[best], f"peer: timm {name} ({best})"


def inference(name, image_size, num_labels, batch_size):
    """Return a function ``batch_size -> probabilities`` of timm's model, what it is, and its parameters.

    In the memory format of torch that is faster at ``batch_size``. Images (B, S, S, 3), 0..255, float32, come
    from and probabilities go to NumPy, as with our models.
    """
    torch = import_torch()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    steps, took = {}, {}
    for form in ("contiguous_format", "channels_last"):
        steps[form], params = _inference_in(form, torch, name, image_size, num_labels, batch_size)
        steps[form](batch_size)
        took[form] = min(timeit.repeat(lambda form=form: steps[form](batch_size), number=1, repeat=2))
    best = min(took, key=took.get)
    return steps[best], f"timm {name} ({best})", params


def _inference_in(form, torch, name, image_size, num_labels, batch_size):
    import timm

    device, form = "cuda" if torch.cuda.is_available() else "cpu", getattr(torch, form)
    model = timm.create_model(name, num_classes=num_labels, **_size_argument(name, image_size)).eval()
    model = model.to(device, memory_format=form)
    images = torch.rand((batch_size, image_size, image_size, 3)).numpy() * 255

    def step(count):
        with torch.inference_mode():
            batch = torch.from_numpy(images[:count]).to(device) / 127.5 - 1.0
            batch = batch.permute(0, 3, 1, 2).contiguous(memory_format=form)
            return model(batch).sigmoid().cpu().numpy()

    return step, sum(parameter.numel() for parameter in model.parameters())


def _size_argument(name, image_size):
    return {"img_size": image_size} if name.startswith("vit") else {}


def import_torch():
    """Return torch, after timm could be imported.

    A torchvision built for another torch fails at its import, because nobody declared its operators; timm
    uses none of them, so that declarations are enough.
    """
    import torch

    try:
        importlib.import_module("timm")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d"):
            for operator in (name, f"_{name}_backward"):
                library.define(f"{operator}(Tensor x) -> Tensor")
        torch.operators_of_torchvision = library  # declared as long as it lives
        importlib.import_module("timm")
    return torch


def _step_in(form, torch, name, rates, batch, learning_rate):
    import timm

    images, labels = (torch.from_numpy(array) for array in batch)
    device, form = "cuda" if torch.cuda.is_available() else "cpu", getattr(torch, form)
    size = _size_argument(name, images.shape[1])
    model = timm.create_model(name, num_classes=labels.shape[1], **rates, **size).train()
    model = model.to(device, memory_format=form)
    optimizer = torch.optim.SGD(model.parameters(), learning_rate, momentum=0.9, nesterov=True)
    images = (images / 127.5 - 1.0).permute(0, 3, 1, 2).to(device).contiguous(memory_format=form)
    labels = labels.to(device)

    def step():
        optimizer.zero_grad()
        logits = model(images)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        (loss / len(images)).backward()
        optimizer.step()
        return loss.item()

    return step
