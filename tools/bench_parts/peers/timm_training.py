"""Trains a model of timm on pictures with tags, as a user of timm writes it: the peer of `bench.py learn`.

    python tools/bench_parts/peers/timm_training.py PICTURES.npz OPTIONS.json OUT

It needs torch, torchvision and timm, and nothing of this project, so any Python that has them can run it. It
writes OUT/curve.csv, a row an epoch, and OUT/probabilities.npy of the validation pictures after the last one.
"""

import csv
import io
import json
import math
import pathlib
import sys
import time

import numpy as np
import timm  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
from PIL import Image
from timm.optim import create_optimizer_v2  # pyright: ignore[reportMissingImports]
from torchvision import transforms  # pyright: ignore[reportMissingImports]

COLUMNS = ("epoch", "images", "loss", "f1", "macro_f1", "cpu_seconds")


class Pictures(torch.utils.data.Dataset):
    """JPEGs in memory and their tags."""

    def __init__(self, arrays, split, num_labels, transform):
        self.data, self.ends = arrays[f"{split}_bytes"], arrays[f"{split}_ends"]
        self.labels, self.label_ends = arrays[f"{split}_labels"], arrays[f"{split}_label_ends"]
        self.num_labels, self.transform = num_labels, transform

    def __len__(self):
        return len(self.ends)

    def __getitem__(self, row):
        start = self.ends[row - 1] if row else 0
        label_start = self.label_ends[row - 1] if row else 0
        picture = Image.open(io.BytesIO(self.data[start : self.ends[row]].tobytes())).convert("RGB")
        target = torch.zeros(self.num_labels)
        target[self.labels[label_start : self.label_ends[row]]] = 1.0
        return self.transform(picture), target


def main(pictures, options, out):
    """Train with the options of `bench_parts/learn.py`, evaluate after every epoch."""
    torch.set_num_threads(options["threads"])  # else idle threads of torch spin
    torch.manual_seed(options["seed"])
    arrays = dict(np.load(pictures).items())
    size, low, high = options["image_size"], *options["crop"]
    normalize = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    crop = transforms.RandomResizedCrop(size, scale=(low**2, high**2), ratio=(1.0, 1.0))
    flips = [transforms.RandomHorizontalFlip()] if options["flip"] else []
    train = Pictures(arrays, "train", options["num_labels"], transforms.Compose([crop, *flips, *normalize]))
    resize = transforms.Resize((size, size))
    validation = Pictures(
        arrays, "validation", options["num_labels"], transforms.Compose([resize, *normalize])
    )
    order = torch.Generator().manual_seed(options["seed"])
    batch_size = options["batch_size"]
    loader = torch.utils.data.DataLoader(train, batch_size, shuffle=True, drop_last=True, generator=order)
    evaluation = torch.utils.data.DataLoader(validation, 128)

    model = timm.create_model(
        options["model"], num_classes=options["num_labels"], **options["model_arguments"]
    ).to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(
        model, options["optimizer"], lr=options["learning_rate"], weight_decay=options["weight_decay"]
    )
    total, warmup = options["epochs"] * options["steps_per_epoch"], options["warmup_steps"]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, total, warmup, options))

    batches = endless(loader)
    rows, logits = [], np.zeros((0, options["num_labels"]), np.float32)
    for epoch in range(options["epochs"]):
        model.train()
        losses = []
        for _ in range(options["steps_per_epoch"]):
            images, targets = next(batches)
            logits = model(images.contiguous(memory_format=torch.channels_last))
            # Summed over the tags, as ours: Adam's epsilon is not far below a mean over 1,000 tags.
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
            loss = loss / len(images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        logits, labels = evaluate(model, evaluation)
        images = (epoch + 1) * options["steps_per_epoch"] * batch_size
        micro, macro = scores(logits, labels)
        rows.append([epoch + 1, images, float(np.mean(losses)), micro, macro, time.process_time()])
        print(f"epoch {epoch + 1}: loss {rows[-1][2]:.3f}, F1 {micro:.4f}, macro {macro:.4f}", flush=True)
    np.save(out / "probabilities.npy", 1.0 / (1.0 + np.exp(-logits)))
    with (out / "curve.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


def endless(loader):
    """Yield batches, pass after pass."""
    while True:
        yield from loader


def rate(step, total, warmup, options):
    """Return the learning rate of a step as a share of its peak: linear warm-up, then a cosine."""
    if step < warmup:
        return options["warmup_start"] + (1.0 - options["warmup_start"]) * step / warmup
    share = (step - warmup) / max(total - warmup - 1, 1)
    return options["floor"] + (1.0 - options["floor"]) * 0.5 * (1.0 + math.cos(math.pi * share))


def evaluate(model, loader):
    """Return logits (N, L) float32 and labels (N, L) bool."""
    model.eval()
    logits, labels = [], []
    with torch.inference_mode():
        for images, targets in loader:
            logits.append(model(images.contiguous(memory_format=torch.channels_last)).numpy())
            labels.append(targets.numpy() > 0.5)
    return np.concatenate(logits), np.concatenate(labels)


def scores(logits, labels):
    """Return micro and macro F1 where as many tags are predicted as are true; macro over the true tags."""
    number = int(labels.sum())
    cut = np.partition(logits, logits.size - number, axis=None)[logits.size - number]
    predicted = logits >= cut
    hits, positives = (predicted & labels).sum(axis=0), labels.sum(axis=0)
    micro = 2.0 * hits.sum() / (predicted.sum() + number)
    by_tag = 2.0 * hits / np.maximum(predicted.sum(axis=0) + positives, 1)
    return float(micro), float(by_tag[positives > 0].mean())


if __name__ == "__main__":
    place = pathlib.Path(sys.argv[3])
    main(sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text()), place)
