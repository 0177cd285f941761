"""Convert weights of the original zoo or of timm to a .keras file of this zoo.

SOURCE is a Keras 2 .h5 file, a TensorFlow checkpoint prefix, a folder with variables/variables.index, or a
timm folder (config.json and model.safetensors), which states its model itself; also a model on the hub,
owner/name or hf://owner/name@revision.

Beside OUT.keras come the tag list, categories.json and thresholds of SOURCE, as they are, and OUT.json: which
model it is with which options, and where it came from. So it can be exported, tagged with and fine-tuned.

Norms of the original zoo get its epsilon, 1e-3; --set gives other options of the model, for example
  python tools/import_weights.py NFNetL0 -o nfnet.keras --model NFNet/L0 --image-size 320 --num-labels 2380 \\
    --set attention=eca --set compensate_avgpool_var=true
The written model takes BGR. For a timm model that takes RGB the channels of the first kernel are reversed.
A timm model takes what input_order in its config says, else RGB if the means of its channels differ, else BGR
if a selected_tags.csv lies beside it, as in the WD taggers. Where nothing tells it, --source-order must;
it overrules the rest.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd

from Utils.command import programs
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, assignment, command, print_json
from Utils.command.text import counted
from Utils.files import hub, model_description, model_files
from Utils.files.atomic import sha256_of
from Utils.files.exchange import put_back, replacing_together
from Utils.files.model_description import ModelDescription
from Utils.files.output_files import require_replaceable_file
from Utils.tags import tag_list

ORIGINAL_EPSILON = 1e-3  # Keras 2's default, which the original never changed
# What goes along with a model: its name beside OUT.keras, where it lies in the source.
CARRIED = (
    (tag_list.FILE, (tag_list.FILE,)),
    ("categories.json", ("categories.json",)),
    ("thresholds.csv", ("thresholds.csv", "extra/thresholds.csv")),
)


def parser() -> Parser:
    """Return the parser of the command line."""
    command_line = Parser(prog="tools/import_weights.py", description=__doc__)
    add = command_line.add_argument
    add("source", metavar="SOURCE")
    add("-o", "--output", required=True, metavar="OUT.keras")
    add("--model", metavar="FAMILY/VARIANT", help="python -m Models lists them; timm folders state it")
    add("--image-size", type=int, metavar="S")
    add("--num-labels", type=int, metavar="N")
    add(
        "--set", action="append", default=[], dest="settings", metavar="FIELD=VALUE",
        help="an option of the model, any number of times: attention=eca, activation=silu, norm=batchnorm",
    )  # fmt: skip
    add("--source-order", choices=("bgr", "rgb"), help="the channels that the timm model takes")
    add("--json", action="store_true", help="print one JSON object")
    add("--overwrite", action="store_true", help="replace an existing OUT.keras")
    return command_line


@command
def main(argv: list[str] | None = None) -> None:
    """Read, assign and save weights; report what was assigned and what was skipped."""
    args = parser().parse_args(argv)
    if not args.output.endswith(".keras"):
        raise UserError(f"the output must end in .keras; got {args.output}")
    output = pathlib.Path(args.output)
    if put_back(output):
        print(f"{output}: an import was killed while it replaced this one, which is back", file=sys.stderr)
    require_replaceable_file(output, model_files.IMPORTED, args.overwrite)
    settings = dict(assignment("--set", text) for text in args.settings)
    _require_own_description(output)
    prepare_backend()

    from Models.porting import timm_folder

    place = hub.local(args.source)
    convert = _from_timm if timm_folder.is_folder(place) else _from_original
    model, description, count, skipped, remark = convert(args, place, settings)
    tags = _tags(place, model.output_shape[-1])
    copies = _files_beside(place, args, tags)
    with replacing_together([output, model_description.path_beside(output), *copies]) as places:
        model.save(places[0])
        model_description.write(places[0], description)
        for path, content in zip(places[2:], copies.values(), strict=True):
            path.write_bytes(content)
    if args.json:
        facts = {"parameters": model.count_params(), "arrays": count, "skipped": list(skipped)}
        names = [str(path) for path in copies]
        print_json({"model": args.output, "architecture": description.model, **facts, "copied": names})
        return
    size = f"{model.count_params():,} parameters, {count} arrays"
    print(f"{args.output}: {description.model}, {size} from {args.source}{remark}")
    if copies:
        print(f"beside it: {', '.join(path.name for path in copies)} of {args.source}")
    if stays := [
        name for name, _ in CARRIED if (path := output.with_name(name)).exists() and path not in copies
    ]:
        print(f"beside it stays what was there and {args.source} does not have: {', '.join(stays)}")
    if skipped:
        print(f"skipped {len(skipped)} entries that are not the model's:")
        print("\n".join(f"  {name}" for name in skipped))
    if tags is None:
        print("no tag list came with it: put its selected_tags.csv beside, or its outputs have no names")
    words = "finetune", "--dataset", "DATASET", "--init-from", output, "--run-dir", "runs/mine"
    print(programs.next_line("train", *words))


def _require_own_description(output: pathlib.Path) -> None:
    """Raise UserError where the place of OUT.json has a file that is no description of a model."""
    path = model_description.path_beside(output)
    if path.exists() and model_description.read(output) is None:
        raise UserError(f"{path} exists, where the description of {output} goes; give another output")


Imported = tuple[Any, ModelDescription, int, Sequence[str], str]  # model, what it is, arrays, skipped, remark


def _from_original(args: argparse.Namespace, place: pathlib.Path, settings: dict[str, Any]) -> Imported:
    """Read weights of the original zoo."""
    required = {"--model": args.model, "--image-size": args.image_size, "--num-labels": args.num_labels}
    missing = [flag for flag, value in required.items() if value is None]
    import Models
    from Models.porting import original_zoo

    source = original_zoo.read(place)
    if missing:
        raise UserError(f"files of the original zoo do not say what they are: give {', '.join(missing)}")
    if args.source_order is not None:
        raise UserError("--source-order is for timm folders; the original zoo takes BGR")
    rules = getattr(Models.family(args.model), "IMPORT_RULES", None)
    if rules is None:
        raise UserError(f"the original zoo has no family {args.model.split('/')[0]}")
    if "epsilon" in vars(Models.spec(args.model)):
        settings = {"epsilon": ORIGINAL_EPSILON, **settings}
    model = Models.build(args.model, image_size=args.image_size, num_labels=args.num_labels, **settings)
    count = original_zoo.assign(model, rules, source)
    description = ModelDescription(args.model, settings, _identity(args.source, {}))
    return model, description, count, source.skipped, ""


def _from_timm(args: argparse.Namespace, place: pathlib.Path, settings: dict[str, Any]) -> Imported:
    """Read a folder of timm; --set replaces options that the folder states."""
    from Models import loading

    described = loading.describe_timm(place, args.source_order)
    loading.require_classifier(args.source, described)
    for flag, option, stated in (
        ("--model", args.model, described.name),
        ("--image-size", args.image_size, described.image_size),
        ("--num-labels", args.num_labels, described.num_labels),
    ):
        if option not in (None, stated):
            raise UserError(f"{args.source} says by itself that it is {stated}; got {flag} {option}")
    model, described, source = loading.import_timm(place, args.source_order, settings)
    remark = f"\nits channels are {described.order.upper()}, {described.order_from}; {args.output} takes BGR"
    if described.uncovered:
        theirs = described.image_size + described.uncovered
        remark += (
            f"\nits size is {described.image_size} px: of timm's {theirs} the last {described.uncovered}, "
            "at the right and below, are in no patch"
        )
    facts = {"config": source.config, "sha256": sha256_of(place / "model.safetensors")}
    description = ModelDescription(described.name, described.fields, _identity(args.source, facts))
    return model, description, count_of(model), source.skipped, remark


def count_of(model: Any) -> int:
    """Return how many weights a model has, states of random generators apart."""
    from Models.porting import timm_folder

    return sum(1 for _ in timm_folder.weights(model))


def _identity(source: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return where weights came from: the hub's id, or the name of a file or folder here without its path."""
    return {"from": source if hub.is_id(source) else pathlib.Path(source).name, **facts}


def _tags(place: pathlib.Path, num_labels: int) -> pd.DataFrame | None:
    """Return the tag list in a folder of weights; UserError where it has another length than the outputs."""
    file = place / tag_list.FILE
    if not place.is_dir() or not file.is_file():
        return None
    tags = tag_list.read_beside_model(file)
    if len(tags) != num_labels:
        raise UserError(f"{file} has {counted(len(tags), 'tag')}, but the model gives {num_labels} outputs")
    return tags


def _files_beside(
    place: pathlib.Path, args: argparse.Namespace, tags: pd.DataFrame | None
) -> dict[pathlib.Path, bytes]:
    """Return the files that go along, by where they go: byte for byte as they lie in the source.

    Raises UserError where the output's folder has other ones, which may be another model's; --overwrite
    replaces those that an import of the same output has written.
    """
    folder, is_ours = pathlib.Path(args.output).parent, False
    if args.overwrite:
        is_ours = model_description.read(pathlib.Path(args.output)) is not None
    names = CARRIED if tags is not None else CARRIED[1:]
    copies = {}
    for name, places in names:
        file = next((place / path for path in places if (place / path).is_file()), None)
        if not place.is_dir() or file is None:
            continue
        target, content = folder / name, file.read_bytes()
        if target.resolve() == file.resolve():
            continue
        if target.exists() and target.read_bytes() != content and not is_ours:
            raise UserError(
                f"{target} is there and differs from that of {args.source}: it may belong to another model. "
                "Give an output in a folder of its own"
            )
        copies[target] = content
    return copies


if __name__ == "__main__":
    sys.exit(main())
