"""Turn weights of the original zoo, or of timm, into a .keras file of this one.

SOURCE is a Keras 2 .h5 file, a TensorFlow checkpoint prefix, a folder with variables/variables.index, or a
timm folder (config.json and model.safetensors), which says by itself what it is.

The original's norms get its epsilon, 1e-3; other options of the model are given with --set, for example
  python tools/import_weights.py NFNetL0 -o nfnet.keras --model NFNet/L0 --image-size 320 --num-labels 2380 \\
    --set attention=eca --set compensate_avgpool_var=true
The model takes BGR. Of a timm model that takes RGB the first kernel is turned around. Which it takes is said
by input_order in its config or by means that differ between the channels (RGB); else it is BGR, as WD's
taggers. --source-order overrules.
"""

import sys

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, assignment, command
from Utils.files.atomic import replacing, require_absent

ORIGINAL_EPSILON = 1e-3  # Keras 2's default, which the original never changed


def parser():
    """Return the command line's parser."""
    words = Parser(prog="tools/import_weights.py", description=__doc__)
    words.add_argument("source", metavar="SOURCE")
    words.add_argument("-o", "--output", required=True, metavar="OUT.keras")
    words.add_argument(
        "--model", metavar="FAMILY/VARIANT", help="python -m Models lists them; timm folders say it"
    )
    words.add_argument("--image-size", type=int, metavar="S")
    words.add_argument("--num-labels", type=int, metavar="N")
    words.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="FIELD=VALUE",
        help="an option of the model, as often as needed: attention=eca, activation=silu, norm=batchnorm",
    )  # fmt: skip
    words.add_argument("--source-order", choices=("bgr", "rgb"), help="channels a timm model takes")
    words.add_argument("--overwrite", action="store_true", help="replace OUT.keras where it exists")
    return words


@command
def main(argv=None):
    """Read, assign, save; the report says what was assigned and what was skipped."""
    args = parser().parse_args(argv)
    if not args.output.endswith(".keras"):
        raise UserError(f"the output must end in .keras; got {args.output}")
    require_absent(args.output, args.overwrite)
    settings = dict(assignment("--set", text) for text in args.settings)
    prepare_backend()

    from Models.porting import timm_folder

    read = _from_timm if timm_folder.is_folder(args.source) else _from_original
    model, name, count, source, remark = read(args, settings)
    with replacing(args.output) as beside:
        model.save(beside)
    size = f"{model.count_params():,} parameters, {count} arrays"
    print(f"{args.output}: {name}, {size} from {source.path}{remark}")
    if source.skipped:
        print(f"skipped {len(source.skipped)} entries that are not the model's:")
        print("\n".join(f"  {name}" for name in source.skipped))


def _from_original(args, settings):
    """Return the model with the original's weights, its name, how many arrays, the source and a remark."""
    wanted = {"--model": args.model, "--image-size": args.image_size, "--num-labels": args.num_labels}
    missing = [flag for flag, value in wanted.items() if value is None]
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


def _from_timm(args, settings):
    """The same for a folder of timm's; --set replaces what the folder says."""
    import Models
    from Models.porting import timm_folder

    source, families = timm_folder.read(args.source), Models.timm_families()
    found = timm_folder.describe(source.config, families, Models.spec, args.source_order)
    for flag, given, said in (
        ("--model", args.model, found.name),
        ("--image-size", args.image_size, found.image_size),
        ("--num-labels", args.num_labels, found.num_labels),
    ):
        if given not in (None, said):
            raise UserError(f"{args.source} says by itself that it is {said}; got {flag} {given}")
    fields = {**found.fields, **settings}
    model = Models.build(found.name, image_size=found.image_size, num_labels=found.num_labels, **fields)
    spec = Models.spec(found.name, **fields)
    count = timm_folder.assign(model, spec, families[found.name.split("/")[0]], source, found.order)
    remark = f"\nits channels are {found.order.upper()}, {found.order_from}; {args.output} takes BGR"
    return model, found.name, count, source, remark


if __name__ == "__main__":
    sys.exit(main())
