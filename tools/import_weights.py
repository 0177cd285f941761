"""Convert weights of the original zoo or of timm to a .keras file of this zoo.

SOURCE is a Keras 2 .h5 file, a TensorFlow checkpoint prefix, a folder with variables/variables.index, or a
timm folder (config.json and model.safetensors), which states its model itself.

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
import sys
from typing import Any

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, assignment, command
from Utils.files import model_files
from Utils.files.atomic import replacing
from Utils.files.outputs import require_replaceable_file

ORIGINAL_EPSILON = 1e-3  # Keras 2's default, which the original never changed


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
    add("--overwrite", action="store_true", help="replace an existing OUT.keras")
    return command_line


@command
def main(argv: list[str] | None = None) -> None:
    """Read, assign and save weights; report what was assigned and what was skipped."""
    args = parser().parse_args(argv)
    if not args.output.endswith(".keras"):
        raise UserError(f"the output must end in .keras; got {args.output}")
    require_replaceable_file(args.output, model_files.IMPORTED, args.overwrite)
    settings = dict(assignment("--set", text) for text in args.settings)
    prepare_backend()

    from Models.porting import timm_folder

    convert = _from_timm if timm_folder.is_folder(args.source) else _from_original
    model, name, count, source, remark = convert(args, settings)
    with replacing(args.output) as beside:
        model.save(beside)
    size = f"{model.count_params():,} parameters, {count} arrays"
    print(f"{args.output}: {name}, {size} from {source.path}{remark}")
    if source.skipped:
        print(f"skipped {len(source.skipped)} entries that are not the model's:")
        print("\n".join(f"  {name}" for name in source.skipped))


def _from_original(args: argparse.Namespace, settings: dict[str, Any]) -> tuple[Any, str, int, Any, str]:
    """Return the model, its name, the number of arrays assigned, the source and a remark."""
    required = {"--model": args.model, "--image-size": args.image_size, "--num-labels": args.num_labels}
    missing = [flag for flag, value in required.items() if value is None]
    import Models
    from Models.porting import original_zoo

    source = original_zoo.read(args.source)
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
    return model, args.model, original_zoo.assign(model, rules, source), source, ""


def _from_timm(args: argparse.Namespace, settings: dict[str, Any]) -> tuple[Any, str, int, Any, str]:
    """Return the same of a folder of timm; --set replaces options that the folder states."""
    import Models
    from Models.porting import timm_folder

    source, families = timm_folder.read(args.source), Models.timm_families()
    is_tagger = timm_folder.has_tag_list(args.source)
    described = timm_folder.describe(source.config, families, Models.spec, args.source_order, is_tagger)
    for flag, option, stated in (
        ("--model", args.model, described.name),
        ("--image-size", args.image_size, described.image_size),
        ("--num-labels", args.num_labels, described.num_labels),
    ):
        if option not in (None, stated):
            raise UserError(f"{args.source} says by itself that it is {stated}; got {flag} {option}")
    fields = {**described.fields, **settings}
    model = Models.build(
        described.name, image_size=described.image_size, num_labels=described.num_labels, **fields
    )
    spec = Models.spec(described.name, **fields)
    count = timm_folder.assign(model, spec, families[described.name.split("/")[0]], source, described.order)
    remark = f"\nits channels are {described.order.upper()}, {described.order_from}; {args.output} takes BGR"
    return model, described.name, count, source, remark


if __name__ == "__main__":
    sys.exit(main())
