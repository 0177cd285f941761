"""Turn weights of the original zoo into a .keras file of this one.

SOURCE is a Keras 2 .h5 file, a TensorFlow checkpoint prefix, or a folder with variables/variables.index.
Norms get the original's epsilon, 1e-3; other options of the model are given with --set, for example
  python tools/import_weights.py NFNetL0 -o nfnet.keras --model NFNet/L0 --image-size 320 --num-labels 2380 \\
    --set attention=eca --set compensate_avgpool_var=true
"""

import sys

from Utils.commands import Parser, UserError, assignment, command
from Utils.files import replacing, require_absent

ORIGINAL_EPSILON = 1e-3  # Keras 2's default, which the original never changed


def parser():
    """Return the command line's parser."""
    words = Parser(prog="tools/import_weights.py", description=__doc__)
    words.add_argument("source", metavar="SOURCE")
    words.add_argument("-o", "--output", required=True, metavar="OUT.keras")
    words.add_argument("--model", required=True, metavar="FAMILY/VARIANT", help="python -m Models lists them")
    words.add_argument("--image-size", type=int, required=True, metavar="S")
    words.add_argument("--num-labels", type=int, required=True, metavar="N")
    words.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="FIELD=VALUE",
        help="an option of the model, as often as needed: attention=eca, activation=silu, norm=batchnorm",
    )  # fmt: skip
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

    import Models
    from Utils import weights

    source = weights.read(args.source)
    if "epsilon" in vars(Models.spec(args.model)):
        settings.setdefault("epsilon", ORIGINAL_EPSILON)
    model = Models.build(args.model, image_size=args.image_size, num_labels=args.num_labels, **settings)
    count = weights.assign(model, Models.family(args.model).IMPORT_RULES, source)
    with replacing(args.output) as beside:
        model.save(beside)
    print(
        f"{args.output}: {args.model}, {model.count_params():,} parameters, {count} arrays from {source.path}"
    )
    if source.skipped:
        print(f"skipped {len(source.skipped)} entries that are not the model's:")
        print("\n".join(f"  {name}" for name in source.skipped))


if __name__ == "__main__":
    sys.exit(main())
