"""images/s of tools/tag_images.py, beside the model alone, decoding alone and one picture at a time.

All sides take turns in one process on the same cores, on the same JPEGs. The command is run as it is, on few
pictures and on many: the difference leaves out what it does once, such as loading the model. On an
accelerator it can be as fast as the slower of the model and decoding; where both share the cores, their
times add up.
"""

import argparse
import concurrent.futures
import contextlib
import io
import itertools
import pathlib
import runpy
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tools.bench_parts import serve
from Utils.bench import timing
from Utils.command.cli import Parser, number
from Utils.images import image_reader
from Utils.serving import onnx_tagger, tag_selection
from Utils.tags import sidecars

COMMAND = pathlib.Path(__file__).parents[1] / "tag_images.py"
MAX_TAGS = 32  # of a picture; fresh weights would select a thousand
SIDES = ("model", "decode", "one by one", "tag")
MIN_BATCHES = 4  # of the many pictures, beyond the few
MIN_SHARE = 0.05  # of the command's time that its pictures take, however small they are


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", default="ResNet/18", metavar="RELEASE|FAMILY/VARIANT", help="(ResNet/18)")
    add("--image-size", type=number(above=0), help="of FAMILY/VARIANT (64); a release has its own")
    add("--num-labels", type=number(above=0), help="of FAMILY/VARIANT (2380); a release has its own")
    add("--batch-size", type=number(above=0), default=8, help="of the command and the model's limit (8)")
    add("--picture-size", type=number(above=0), default=512, help="side of the JPEGs (512)")
    add(
        "--device-ms",
        type=number(float, least=0),
        metavar="MS",
        help="wait so long for a picture's probabilities",
    )
    add("--rounds", type=number(above=0), default=3, help="rounds; every side runs once in each (3)")
    add("--seconds", type=number(float, above=0), default=4.0, help="seconds per side and round (4)")
    add("--threads", type=number(above=0), default=timing.num_cores(), help="cores (all)")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the images/s of all sides in turns."""
    with contextlib.ExitStack() as stack:
        release = serve.open_release(stack, options, image_size=64)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        arguments = (release, folder, options.batch_size, options.picture_size, options.device_ms)
        process = stack.enter_context(timing.TimedProcess(options.threads, _sides, *arguments))
        counts = {side: _count(process, side, options) for side in SIDES}
        few = options.batch_size
        rates: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(options.rounds):
            for side in SIDES:
                seconds = process.seconds(1, side, counts[side])[0]
                if side == "tag":
                    seconds -= process.seconds(1, side, few)[0]
                images = counts[side] - (few if side == "tag" else 0)
                rates[side].append(images / seconds)
    return _result(process.facts[0], rates, options)


def _count(process: timing.TimedProcess, side: str, options: argparse.Namespace) -> int:
    """Return how many pictures take about the seconds of a round: whole batches."""
    few = options.batch_size
    first = process.seconds(1, side, few)[0]
    many = process.seconds(1, side, few * MIN_BATCHES)[0]
    # A difference of two times may be noise, or below zero: it never counts as less than a share of the time.
    more = max(many - first, MIN_SHARE * many) if side == "tag" else many
    batches = round(options.seconds * MIN_BATCHES / more)
    return few * (max(MIN_BATCHES, batches) + 1)


def _result(
    facts: dict[str, Any], rates: dict[str, list[float]], options: argparse.Namespace
) -> dict[str, Any]:
    speed = {side: float(np.median(values)) for side, values in rates.items()}
    setup = facts | {
        name: getattr(options, name) for name in ("batch_size", "picture_size", "threads", "device_ms")
    }
    figures = {
        "tag_images": speed["tag"],
        "limit: the model alone": speed["model"],
        "limit: decoding alone": speed["decode"],
        "one picture at a time": speed["one by one"],
    }
    # Where decoding and the model share all cores, their times add up.
    both = 1 / (1 / speed["model"] + 1 / speed["decode"])
    ratios = {
        "of the model alone": speed["tag"] / speed["model"],
        "of decoding alone": speed["tag"] / speed["decode"],
        "of both on the same cores": speed["tag"] / both,
        "of one at a time": speed["tag"] / speed["one by one"],
    }
    return {"part": "tag", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}


# In a process of its own


def _sides(
    release: str, folder: str, batch_size: int, picture_size: int, device_ms: float | None = None
) -> tuple[Callable[[str, int], Any], dict[str, Any]]:
    """Return a function ``(side, number of pictures) -> the work``, and facts."""
    random = np.random.default_rng(0)
    encoded = [timing.draw_jpeg(random, picture_size) for _ in range(8)]
    if device_ms is not None:
        _wait_for_models(device_ms / 1000)
    tagger = onnx_tagger.open_release(release)
    thresholds, _ = tag_selection.release_thresholds(tagger.folder, tagger.tags)
    selector = tag_selection.TagSelector(tagger.tags, thresholds, max_tags=MAX_TAGS)
    shape = (batch_size, tagger.image_size, tagger.image_size, 3)
    prepared = random.integers(0, 256, shape, np.uint8)
    kind, style = sidecars.KINDS["txt"], sidecars.Style()
    pool = concurrent.futures.ThreadPoolExecutor(timing.num_cores())
    main = runpy.run_path(str(COMMAND))["main"]
    outputs = (pathlib.Path(folder, f"sidecars-{call}") for call in itertools.count())

    def pictures(count: int) -> pathlib.Path:
        """Return a folder of so many JPEGs, made once."""
        place = pathlib.Path(folder, str(count))
        if not place.is_dir():
            place.mkdir()
            for row in range(count):
                (place / f"{row}.jpg").write_bytes(encoded[row % len(encoded)])
        return place

    def prepare(path: pathlib.Path) -> np.ndarray:
        return tagger.prepare(image_reader.read_bytes(path), None)

    def do_work(side: str, count: int) -> Any:
        if side == "model":
            return [tagger.probabilities(prepared) for _ in range(0, count, batch_size)]
        paths = sorted(pictures(count).glob("*.jpg"))
        if side == "decode":
            return sum(image.size for image in pool.map(prepare, paths))
        # A folder for every call: where files were deleted just before, ext4 is slow to make new ones.
        output = next(outputs)
        if side == "one by one":
            for path in paths:
                row = tagger.probabilities(prepare(path)[None])[0]
                words = kind.words(selector.select(row), style)
                sidecars.write(output / f"{path.stem}.txt", words, kind)
            return None
        words = [release, pictures(count), "-o", output, "--batch-size", batch_size, "--max-tags", MAX_TAGS]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            if main([str(word) for word in words]):
                raise RuntimeError(said.getvalue())
        return None

    facts = {"model": tagger.name, "image_size": tagger.image_size, "num_labels": len(tagger.tags)}
    return do_work, facts


def _wait_for_models(seconds: float) -> None:
    """Let every later tagger of this process wait instead of computing, but for a batch size's first call."""
    compute, computed = onnx_tagger._run, {}

    def wait(*arguments: Any) -> np.ndarray:
        size = len(arguments[-1])
        if size in computed:
            time.sleep(seconds * size)
        else:
            computed[size] = compute(*arguments)
        return computed[size]

    # An accelerator runs one batch after another.
    onnx_tagger._run, onnx_tagger.PARALLEL_RUNS = wait, 1
