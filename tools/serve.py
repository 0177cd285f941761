"""Tag pictures over HTTP: a page to drop a picture on, and an interface for programs.

    curl --data-binary @picture.jpg http://127.0.0.1:8000/tag
    curl -F image=@picture.jpg "http://127.0.0.1:8000/tag?threshold=0.5&spaces=1"

gives {"rating", "ratings", "tags": {category: {name: probability}}, "text"}. /tag takes threshold,
character_threshold, max_tags, spaces and escape; GET /tags lists the tags with their thresholds, GET /health
says whether it lives. Pictures of several clients are tagged together. Only this machine is answered unless
--host says otherwise; nothing is written to disk.
"""

import pathlib
import sys

from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, command
from Utils.serving import http_server, onnx_tagger, tag_selection, tagging_service


def parser():
    """Return the argument parser."""
    made, bounds = Parser(prog="serve.py", description=__doc__), tagging_service.Bounds()
    made.add_argument("model", metavar="RELEASE|RUN|FILE.keras", type=pathlib.Path)
    http_server.add_arguments(made)
    tag_selection.add_arguments(made, mcut=False)
    made.add_argument(
        "--batch-size", type=int, default=bounds.batch, help=f"pictures at a time ({bounds.batch})"
    )
    made.add_argument(
        "--wait", type=float, default=bounds.gather * 1000, metavar="MS",
        help=f"how long the first picture of a batch waits for others ({bounds.gather * 1000:g})",
    )  # fmt: skip
    made.add_argument(
        "--queue", type=int, default=bounds.waiting, metavar="N",
        help=f"pictures at once; more are answered 503 ({bounds.waiting})",
    )  # fmt: skip
    made.add_argument(
        "--timeout", type=float, default=bounds.seconds, metavar="S",
        help=f"seconds until a picture is given up ({bounds.seconds:g})",
    )  # fmt: skip
    made.add_argument(
        "--max-bytes", type=int, default=bounds.body, metavar="N", help=f"of an upload ({bounds.body})"
    )
    made.add_argument(
        "--max-pixels", type=int, default=bounds.pixels, metavar="N", help=f"of a picture ({bounds.pixels})"
    )
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    bounds = _bounds(options)
    tagger = onnx_tagger.load(options.model, deferred("Models.load"))
    chooser, source = tag_selection.of_options(
        options, tagger, lambda text: print(f"warning: {text}", file=sys.stderr)
    )
    with tagging_service.Service(tagger, chooser, bounds) as service:
        app = tagging_service.application(service, options.allow_host)
        server = http_server.listen(app, options.host, options.port, bounds.limits)
        if not http_server.is_local(options.host):
            print(f"warning: whoever reaches {options.host} can send pictures", file=sys.stderr)
        print(f"{tagger.name}: {len(tagger.tags)} tags; thresholds: {source}", file=sys.stderr)
        print(f"{http_server.address(server)} until Ctrl-C", flush=True)
        http_server.run(server)
    return 0


def _bounds(options):
    """Return the Bounds that options ask for; UserError for one that is not above 0."""
    for name in ("batch_size", "queue", "timeout", "max_bytes", "max_pixels"):
        if not getattr(options, name) > 0:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} must be above 0; got {getattr(options, name)}")
    if not 0 <= options.wait <= 1000:
        raise UserError(f"--wait is 0 to 1000 milliseconds; got {options.wait:g}")
    return tagging_service.Bounds(
        body=options.max_bytes,
        pixels=options.max_pixels,
        waiting=options.queue,
        seconds=options.timeout,
        batch=options.batch_size,
        gather=options.wait / 1000,
    )


if __name__ == "__main__":
    sys.exit(main())
