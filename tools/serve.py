"""Tag images over HTTP: a page to drop an image on, and an interface for programs.

    curl --data-binary @picture.jpg http://127.0.0.1:8000/tag
    curl -F image=@picture.jpg "http://127.0.0.1:8000/tag?threshold=0.5&spaces=1"

return {"rating", "ratings", "tags": {category: {name: probability}}, "text"}. /tag takes threshold,
character_threshold, max_tags, spaces and escape; GET /tags lists the tags with their thresholds, GET /health
tells whether the service is up. Images of several clients are tagged together. Only this machine is answered
unless --host names a wider address; nothing is written to disk.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import sys

from Utils.command.backend import deferred
from Utils.command.cli import Parser, command, number
from Utils.files import hub
from Utils.images import codec
from Utils.serving import http_server, onnx_tagger, tag_selection, tagging_service


def parser() -> Parser:
    """Return the command's parser."""
    defaults = tagging_service.ServiceLimits()
    command_line = Parser(prog="serve.py", description=__doc__)
    add = command_line.add_argument
    add("model", metavar="RELEASE|RUN|FILE.keras|TIMM|HUB_ID", type=hub.argument)
    http_server.add_arguments(command_line)
    tag_selection.add_arguments(command_line, mcut=False)
    add("--batch-size", type=number(above=0), default=defaults.batch_size,
        help=f"images that the model gets at a time ({defaults.batch_size})")  # fmt: skip
    add("--wait", type=number(float, least=0, most=1000), default=defaults.batch_wait * 1000, metavar="MS",
        help=f"wait of a batch's first image for others ({defaults.batch_wait * 1000:g})")  # fmt: skip
    add("--queue", type=number(above=0), default=defaults.max_images, metavar="N",
        help=f"images at a time; further ones get a 503 ({defaults.max_images})")  # fmt: skip
    add("--timeout", type=number(float, above=0), default=defaults.timeout, metavar="S",
        help=f"seconds after which an image gets a 503 ({defaults.timeout:g})")  # fmt: skip
    add("--max-bytes", type=number(above=0), default=defaults.max_bytes, metavar="N",
        help=f"largest upload ({defaults.max_bytes})")  # fmt: skip
    add("--max-pixels", type=number(above=0), default=defaults.max_pixels, metavar="N",
        help=f"largest image ({defaults.max_pixels})")  # fmt: skip
    return command_line


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    limits = tagging_service.ServiceLimits(
        max_bytes=options.max_bytes,
        max_pixels=options.max_pixels,
        max_images=options.queue,
        timeout=options.timeout,
        batch_size=options.batch_size,
        batch_wait=options.wait / 1000,
    )
    codec.allow_pixels(max(options.max_pixels, codec.MAX_PIXELS))
    tagger = onnx_tagger.load(options.model, deferred("Models.load"))
    selector, source = tag_selection.selector_from_options(
        options, tagger, lambda text: print(f"warning: {text}", file=sys.stderr)
    )
    with tagging_service.TaggingService(tagger, selector, limits) as service:
        app = tagging_service.make_app(service, options.allow_host)
        server = http_server.listen(app, options.host, options.port, limits.server_limits)
        if not http_server.is_local(options.host):
            print(f"warning: whoever reaches {options.host} can send pictures", file=sys.stderr)
        print(f"{tagger.name}: {len(tagger.tags)} tags; thresholds: {source}", file=sys.stderr)
        for sentence in tagger.evidence:
            print(f"  {sentence}", file=sys.stderr)
        print(f"{http_server.url_of(server)} until Ctrl-C", flush=True)
        http_server.run(server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
