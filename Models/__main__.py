"""List the zoo, or print the table of one model: ``python -m Models``, ``python -m Models ConvNext/T``.

Models are built without weights, which takes no memory. GFLOPs are 1e9 multiply-adds for one image, as papers
count them; --image-size 224 --num-labels 1000 gives the figures of papers.
"""

import argparse
import dataclasses
import sys
from typing import Any

import keras

import Models
from Models import summary
from Utils.command.cli import Parser, UserError, assignment, command, print_json
from Utils.command.text import counted

LINE = "  {:<34} {:>12} {:>8}  {}"
TABLE = "{:<24} {:<24} {:<18} {:>12} {:>10}"


@command
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = _parser().parse_args(argv)
    overrides = dict(assignment("--set", text) for text in args.set)
    if args.model is None and overrides:
        raise UserError("--set needs a model, for example ConvNext/T")
    if args.model and "/" in args.model:
        _show_model(args, overrides)
    else:
        _show_zoo(args, [args.model] if args.model else Models.available())


def _parser() -> Parser:
    parser = Parser(prog="python -m Models", description=__doc__)
    parser.add_argument("model", nargs="?", help="Family/Variant for its table, Family for its variants")
    parser.add_argument("--image-size", type=int, default=448, help="side of the image (448)")
    parser.add_argument("--num-labels", type=int, default=2380, help="outputs (2380)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace a field")
    parser.add_argument("--layers", action="store_true", help="every layer in the table, not every block")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def outline(name: str, image_size: int, num_labels: int, **overrides: Any) -> keras.Model:
    """Return a model whose weights have shapes but no values: it costs no memory and cannot run.

    Keras leaves such variables registered in the process, so that no other model should be used in it.
    """
    with keras.StatelessScope(initialize_variables=False):
        return Models.build(name, image_size=image_size, num_labels=num_labels, **overrides)


def _show_zoo(args: argparse.Namespace, families: list[str]) -> None:
    rows = []
    _say(args, f"at {args.image_size} px, {counted(args.num_labels, 'label')}")
    _say(args, LINE.format("model", "parameters", "GFLOPs", "source of the variant"))
    for family in families:
        _say(args, f"{family} ({Models.family(family).PAPER})")
        figures: dict[Any, dict[str, Any]] = {}
        for variant, spec in Models.variants(family).items():
            if variant.endswith("test"):
                continue
            try:
                # Variants of one Spec differ only in the image size that they were published for.
                if spec not in figures:
                    figures[spec] = _figures(f"{family}/{variant}", args)
            except UserError as error:  # the variant cannot take this size
                _say(args, LINE.format(f"{family}/{variant}", "-", "-", error))
                continue
            row = {"model": f"{family}/{variant}", **figures[spec], "source": spec.source}
            parameters, gflops = f"{row['parameters']:,}", f"{row['gflops']:.2f}"
            _say(args, LINE.format(row["model"], parameters, gflops, row["source"]))
            rows.append(row)
    if args.json:
        print_json({"image_size": args.image_size, "num_labels": args.num_labels, "models": rows})


def _say(args: argparse.Namespace, line: str) -> None:
    if not args.json:
        print(line, flush=True)


def _figures(name: str, args: argparse.Namespace) -> dict[str, Any]:
    model = outline(name, args.image_size, args.num_labels)
    return {
        "parameters": model.count_params(),
        "gflops": round(summary.total_macs(model) / 1e9, 3),
        "paper": Models.family(name).PAPER,
    }


def _show_model(args: argparse.Namespace, overrides: dict[str, Any]) -> None:
    spec = dataclasses.asdict(Models.spec(args.model, **overrides))
    model = outline(args.model, args.image_size, args.num_labels, **overrides)
    rows = summary.layers(model) if args.layers else summary.blocks(model)
    parameters, macs = model.count_params(), summary.total_macs(model)
    if args.json:
        table = [dataclasses.asdict(row) for row in rows]
        print_json({"model": args.model, "parameters": parameters, "macs": macs, "spec": spec, "rows": table})
        return
    paper = Models.family(args.model).PAPER
    print(f"{args.model} at {args.image_size} px, {counted(args.num_labels, 'label')} ({paper})")
    print(", ".join(f"{name}={value!r}" for name, value in spec.items()), end="\n\n")
    print(TABLE.format("layer", "kind", "output", "parameters", "GFLOPs"))
    for row in rows:
        shape = " x ".join(map(str, row.shape))
        print(TABLE.format(row.name, row.kind, shape, f"{row.parameters:,}", f"{row.macs / 1e9:.3f}"))
    print(TABLE.format("total", "", "", f"{parameters:,}", f"{macs / 1e9:.3f}"))


if __name__ == "__main__":
    sys.exit(main())
