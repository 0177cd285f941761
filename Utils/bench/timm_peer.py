"""timm's models on torch, the peer of our models in tools/bench.py; torch and timm need not be installed."""

import copy
import importlib
import importlib.util
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.command.cli import UserError
from Utils.command.machine import num_cores

# Models of timm of the same shape as ours. Its NFNet L0 has ECA (--set attention=eca), its F0 squeeze-excite.
TIMM_NAMES = {
    "ConvNext/A": "convnext_atto",
    "ConvNext/F": "convnext_femto",
    "ConvNext/P": "convnext_pico",
    "ConvNext/N": "convnext_nano",
    "ConvNext/T": "convnext_tiny",
    "ConvNext/S": "convnext_small",
    "ConvNext/B": "convnext_base",
    "ConvNext/L": "convnext_large",
    "ConvNext/V2-T": "convnextv2_tiny",
    "DINOv3/S16": "vit_small_patch16_dinov3",
    "DINOv3/B16": "vit_base_patch16_dinov3",
    "DINOv3/L16": "vit_large_patch16_dinov3",
    "MetaFormer/CAFormer-S18": "caformer_s18",
    "MetaFormer/CAFormer-B36": "caformer_b36",
    "MetaFormer/ConvFormer-S18": "convformer_s18",
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
    "ViT/B16-SigLIP": "vit_base_patch16_siglip_224",
}


def model_name(model: str, peer: str) -> str:
    """Return the name of timm's model; UserError if it, timm or torch is missing.

    Args:
        model: ``"Family/Variant"`` of ours.
        peer: "timm" for the model of the same shape, or "timm:NAME".
    """
    library, _, name = peer.partition(":")
    if library != "timm":
        raise UserError(f"--peer is timm or timm:NAME, of infer also onnxruntime; got {peer!r}")
    missing = [package for package in ("torch", "timm") if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"--peer timm needs torch and timm; not installed: {', '.join(missing)}. Install them with "
            "pip install torch timm, or leave --peer out"
        )
    if not name and model not in TIMM_NAMES:
        raise UserError(
            f"no model of timm is known for {model}, only for {', '.join(TIMM_NAMES)}; use timm:NAME"
        )
    return name or TIMM_NAMES[model]


def training_step(
    name: str,
    rates: dict[str, float],
    batch: tuple[np.ndarray, np.ndarray],
    learning_rate: float,
    dtype: str = "float32",
    is_compiled: bool = False,
) -> tuple[Callable[[], float], str]:
    """Return a training step in the faster of torch's two memory formats, and what it is.

    Args:
        name: of timm's model.
        rates: ``drop_rate`` and ``drop_path_rate``.
        batch: images (B, S, S, 3), 0..255, and labels (B, num_labels), float32.
        learning_rate: of SGD with Nesterov momentum 0.9.
        dtype: "bfloat16" computes under torch's autocast.
        is_compiled: whether by torch.compile.
    """

    def make(torch: Any, memory_format: Any) -> Callable[[], float]:
        return _training_step(torch, memory_format, name, rates, batch, learning_rate, dtype, is_compiled)

    step, memory_format = _faster(make)
    texts = [memory_format, *(["compiled"] if is_compiled else []), dtype]
    return step, f"peer: timm {name} ({', '.join(texts)})"


def inference(
    name: str, image_size: int, num_labels: int, batch_size: int
) -> tuple[Callable[[int], np.ndarray], str, int]:
    """Return a function ``batch_size -> probabilities`` of timm's model, what it is, and its parameters.

    It runs in the memory format of torch that is faster at ``batch_size``. Images (B, S, S, 3), 0..255,
    float32, come from NumPy and probabilities go there, as with our models.
    """
    import_torch()
    import timm  # pyright: ignore[reportMissingImports]  # optional

    model = timm.create_model(name, num_classes=num_labels, **_size_argument(name, image_size)).eval()

    def make(torch: Any, memory_format: Any) -> Callable[[int], np.ndarray]:
        return _inference(torch, memory_format, model, image_size, batch_size)

    step, memory_format = _faster(make, batch_size)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return step, f"timm {name} ({memory_format})", parameters


def _faster(make: Callable[..., Callable[..., Any]], *arguments: Any) -> tuple[Callable[..., Any], str]:
    """Return the faster of the functions ``make(torch, memory_format)`` for both formats, and its format."""
    torch = import_torch()
    torch.set_num_threads(num_cores())
    steps, seconds = {}, {}
    for memory_format in ("contiguous_format", "channels_last"):
        step = steps[memory_format] = make(torch, getattr(torch, memory_format))
        step(*arguments)  # warm-up
        seconds[memory_format] = min(timeit.repeat(lambda step=step: step(*arguments), number=1, repeat=2))
    best = min(seconds, key=lambda memory_format: seconds[memory_format])
    return steps[best], best


def _inference(
    torch: Any, memory_format: Any, model: Any, image_size: int, batch_size: int
) -> Callable[[int], np.ndarray]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = copy.deepcopy(model).to(device, memory_format=memory_format)
    images = torch.rand((batch_size, image_size, image_size, 3)).numpy() * 255

    def step(count: int) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(images[:count]).to(device) / 127.5 - 1.0
            batch = batch.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)  # (B, 3, S, S)
            return model(batch).sigmoid().cpu().numpy()

    return step


def _size_argument(name: str, image_size: int) -> dict[str, int]:
    return {"img_size": image_size} if name.startswith("vit") else {}


def import_torch() -> Any:
    """Return torch, after timm could be imported.

    A torchvision that was built for another version of torch fails at its import, because its operators are
    not declared. timm uses none of them, so that empty declarations are enough.
    """
    import torch  # pyright: ignore[reportMissingImports]  # optional

    try:
        importlib.import_module("timm")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d"):
            for operator in (name, f"_{name}_backward"):
                library.define(f"{operator}(Tensor x) -> Tensor")
        torch.operators_of_torchvision = library  # operators stay declared as long as it lives
        importlib.import_module("timm")
    return torch


def _training_step(
    torch: Any,
    memory_format: Any,
    name: str,
    rates: dict[str, float],
    batch: tuple[np.ndarray, np.ndarray],
    learning_rate: float,
    dtype: str,
    is_compiled: bool,
) -> Callable[[], float]:
    import timm  # pyright: ignore[reportMissingImports]  # optional

    images, labels = (torch.from_numpy(array) for array in batch)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = _size_argument(name, images.shape[1])
    model = timm.create_model(name, num_classes=labels.shape[1], **rates, **size).train()
    model = model.to(device, memory_format=memory_format)
    model = torch.compile(model) if is_compiled else model
    optimizer = torch.optim.SGD(model.parameters(), learning_rate, momentum=0.9, nesterov=True)
    images = (images / 127.5 - 1.0).permute(0, 3, 1, 2).to(device).contiguous(memory_format=memory_format)
    labels = labels.to(device)

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = model(images)
        logits = logits.float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        (loss / len(images)).backward()
        optimizer.step()
        return loss.item()

    return step
