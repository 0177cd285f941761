"""List the zoo, or draw the table of one model: ``python -m Models``, ``python -m Models ConvNext/T``.

Nothing is allocated: models are built without values. GFLOPs are 1e9 multiply-adds for one image, as papers
count them; for the figures in papers take --image-size 224 --num-labels 1000.
"""

import dataclasses
import sys

import keras

import Models
from Models import summary
from Utils.command.cli import Parser, UserError, assignment, command, print_json

LINE = "  {:<34} {:>12} {:>8}  {}"
TABLE = "{:<24} {:<24} {:<18} {:>12} {:>10}"


@command
def main(argv=None):
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    overrides = dict(assignment("--set", text) for text in args.set)
    if args.model is None and overrides:
        raise UserError("--set needs a model, such as ConvNext/T")
    if args.model and "/" in args.model:
        _show_model(args, overrides)
    else:
        _show_zoo(args, [args.model] if args.model else Models.available())


def _parser():
    parser = Parser(prog="python -m Models", description=__doc__)
    parser.add_argument("model", nargs="?", help="Family/Variant for its table, Family for its variants")
    parser.add_argument("--image-size", type=int, default=448, help="side of the image (448)")
    parser.add_argument("--num-labels", type=int, default=2380, help="outputs (2380)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace a field")
    parser.add_argument("--layers", action="store_true", help="every layer in the table, not every block")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def outline(name, image_size, num_labels, **overrides):
    """Return the model without values of its weights: nothing is allocated or drawn, nothing can be run."""
    with keras.StatelessScope(initialize_variables=False):
        return Models.build(name, image_size=image_size, num_labels=num_labels, **overrides)


def _show_zoo(args, families):
    rows = []
    _say(args, f"at {args.image_size} px, {args.num_labels} labels")
    _say(args, LINE.format("model", "parameters", "GFLOPs", "source of the variant"))
    for family in families:
        _say(args, f"{family} ({Models.family(family).PAPER})")
        for variant, spec in Models.variants(family).items():
            if variant.endswith("test"):
                continue
            try:
                row = _figures(f"{family}/{variant}", spec, args)
            except UserError as error:  # a size that this one cannot take
                _say(args, LINE.format(f"{family}/{variant}", "-", "-", error))
                continue
            count, work = f"{row['parameters']:,}", f"{row['gflops']:.2f}"
            _say(args, LINE.format(row["model"], count, work, row["source"]))
            rows.append(row)
    if args.json:
        print_json({"image_size": args.image_size, "num_labels": args.num_labels, "models": rows})


def _say(args, line):
    if not args.json:
        print(line, flush=True)


def _figures(name, spec, args):
    model = outline(name, args.image_size, args.num_labels)
    return {
        "model": name,
        "parameters": model.count_params(),
        "gflops": round(summary.total_macs(model) / 1e9, 3),
        "paper": Models.family(name).PAPER,
        "source": spec.source,
    }


def _show_model(args, overrides):
    spec = dataclasses.asdict(Models.spec(args.model, **overrides))
    model = outline(args.model, args.image_size, args.num_labels, **overrides)
    rows = summary.layers(model) if args.layers else summary.blocks(model)
    count, work = model.count_params(), summary.total_macs(model)
    if args.json:
        table = [dataclasses.asdict(row) for row in rows]
        print_json({"model": args.model, "parameters": count, "macs": work, "spec": spec, "rows": table})
        return
    paper = Models.family(args.model).PAPER
    print(f"{args.model} at {args.image_size} px, {args.num_labels} labels ({paper})")
    print(", ".join(f"{name}={value!r}" for name, value in spec.items()), end="\n\n")
    print(TABLE.format("layer", "kind", "output", "parameters", "GFLOPs"))
    for row in rows:
        shape = " x ".join(map(str, row.shape))
        print(TABLE.format(row.name, row.kind, shape, f"{row.parameters:,}", f"{row.macs / 1e9:.3f}"))
    print(TABLE.format("total", "", "", f"{count:,}", f"{work / 1e9:.3f}"))


if __name__ == "__main__":
    sys.exit(main())
