"""Write a release folder that the clients of WD's taggers load unchanged.

RELEASE holds model.onnx (NHWC, float32, 0..255 BGR; probabilities first), selected_tags.csv in the order that
clients cut by position, preprocess.json, categories.json, release.json, and config.json with
model.safetensors where timm can express the model of a run. Under extra/ lie the Keras model, other formats
and, where the layout wd leaves tags out, the flavor with all of them. An ONNX file is compared with the Keras
model before.
"""

import pathlib
import sys

import numpy as np

from Utils import startup, tags
from Utils.commands import Parser, UserError, command
from Utils.files import provenance, replacing_folder, require_absent, require_file, write_json

FORMATS = ("onnx", "saved_model", "litert")
LAYOUTS = ("wd", "full")


def parser():
    """Return the command line's parser."""
    words = Parser(prog="tools/export_model.py", description=__doc__)
    words.add_argument("model", metavar="RUN|FILE.keras", type=pathlib.Path)
    words.add_argument("-o", "--output", required=True, metavar="RELEASE", type=pathlib.Path)
    words.add_argument("--tags", type=pathlib.Path, help="tag list of a model that has none beside it")
    words.add_argument("--thresholds", type=pathlib.Path, help="thresholds.csv of find_thresholds.py")
    words.add_argument("--formats", nargs="+", choices=FORMATS, default=["onnx"], help="what to write (onnx)")
    words.add_argument("--layout", choices=LAYOUTS, default="wd", help="which tags, in which order (wd)")
    words.add_argument("--embedding", action="store_true", help="a second output: what the last layer sees")
    words.add_argument("--which", choices=("best", "last"), default="best", help="model of a run (best)")
    words.add_argument("--overwrite", action="store_true", help="replace an existing release")
    return words


@command
def main(argv=None):
    """Check everything, then write everything."""
    args = parser().parse_args(argv)
    require_absent(args.output, args.overwrite)
    for path in filter(None, (args.tags, args.thresholds)):
        require_file(path, "a table")

    startup.tensorflow()
    import Models
    from Utils import releases

    formats = list(dict.fromkeys(["onnx", *args.formats]))
    releases.require(formats)
    tagger = Models.load(args.model, which=args.which)
    frame = tagger.tags if args.tags is None else tags.read(args.tags)
    _check(frame, tagger.model.output_shape[-1], args)
    chosen = releases.columns(frame, args.layout)
    with replacing_folder(args.output, args.overwrite) as folder:
        facts = _write(folder, tagger, frame, chosen, formats, args)
        write_json(folder / "release.json", facts)
    print(f"{args.output}: {len(chosen)} tags at {tagger.image_size} px, layout {args.layout}")
    print(
        f"model.onnx differs from the Keras model by {facts['onnx_difference']:.1e} at most; {facts['timm']}"
    )


def _check(frame, outputs, args):
    if frame is None:
        raise UserError(f"{args.model} has no selected_tags.csv beside it; give its list with --tags")
    if len(frame) != outputs:
        raise UserError(f"{args.tags} has {len(frame)} tags, but the model gives {outputs} probabilities")


def _write(folder, tagger, frame, chosen, formats, args):
    """Write all files but release.json; return what that says."""
    from Utils import releases

    extra = folder / "extra"
    extra.mkdir()
    facts = {"onnx_difference": _write_flavor(folder, tagger, frame, chosen, args)}
    if len(chosen) < len(frame):
        full = extra / "full"
        full.mkdir()
        _write_flavor(full, tagger, frame, releases.columns(frame, "full"), args)
    again = extra / "keras"  # for --init-from and Models.load: all outputs, in the model's own order
    again.mkdir()
    tagger.model.save(again / "model.keras")
    tags.write(frame, again / "selected_tags.csv")
    model = releases.released(tagger.model, chosen)
    if "saved_model" in formats:
        releases.write_saved_model(model, extra / "saved_model")
    if "litert" in formats:
        releases.write_litert(model, extra / "model.tflite")
    if args.thresholds is not None:
        (extra / "thresholds.csv").write_bytes(args.thresholds.read_bytes())
    write_json(folder / "preprocess.json", releases.preprocessing(tagger.image_size))
    write_json(folder / "categories.json", releases.categories(frame.iloc[chosen]))
    facts["timm"] = _write_timm(folder, tagger, chosen, args)
    described = {"layout": args.layout, "image_size": tagger.image_size, "num_labels": len(chosen)}
    digest = {"tags_digest": tags.digest(frame.iloc[chosen]), "parameters": model.count_params()}
    return {**described, **digest, **facts, "formats": formats, **provenance()}


def _write_flavor(folder, tagger, frame, chosen, args):
    """Write model.onnx and its tag list; return the largest difference from the Keras model."""
    from Utils import releases

    model = releases.released(tagger.model, chosen, args.embedding)
    releases.write_onnx(model, folder / "model.onnx")
    tags.write(frame.iloc[chosen].reset_index(drop=True), folder / "selected_tags.csv")
    side = tagger.image_size
    images = np.random.default_rng(0).integers(0, 256, (5, side, side, 3)).astype("float32")
    return releases.check_onnx(folder / "model.onnx", model, images)


def _write_timm(folder, tagger, chosen, args):
    """Write config.json and model.safetensors where timm can express a run; return a sentence on it."""
    if not (args.model / "recipe.json").is_file():
        return "no timm files: only a run says which model it is"
    import Models
    from Utils import config, releases, timm_export

    recipe = config.from_dict(config.read(args.model / "recipe.json")[1])
    spec = Models.spec(recipe.model, **recipe.model_overrides())
    model = releases.with_columns(tagger.model, chosen)
    try:
        beside = folder / "timm"
        name = timm_export.export(model, beside, recipe.model, spec, Models.timm_families(), Models.spec)
    except UserError as error:
        return f"no timm files: {error}"
    for file in beside.iterdir():
        file.rename(folder / file.name)
    beside.rmdir()
    return f"config.json and model.safetensors are timm's {name}"


if __name__ == "__main__":
    sys.exit(main())
