"""Tag images over HTTP: a page to drop images on, and an interface for programs.

    curl --data-binary @picture.jpg http://127.0.0.1:8000/tag
    curl -F image=@picture.jpg "http://127.0.0.1:8000/tag?threshold=0.5&spaces=1"

return {"rating", "ratings", "tags": {category: {name: probability}}, "text"}. /tag takes threshold,
character_threshold, max_tags, spaces, escape, and raw, which leaves out --replace, --aliases, --implications
and --max-tags (GET /rules has them); POST /map?tag=NAME is a PNG of where the image shows a tag. GET /tags
lists the tags with their thresholds, GET /health tells whether the service is up, /metrics counts for
Prometheus, /openapi.json the interface. Of several models /tag?model=NAME chooses one; GET /models lists
them. Programs that call the original's /api/gettags/, the webui's /tagger/v1/interrogate or
danbooru/autotagger's /evaluate are answered too. Images of several clients are tagged together. Only this
machine is answered unless --host names a wider address; nothing is written to disk.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import contextlib
import sys
from typing import Any

from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, command, number
from Utils.command.text import counted
from Utils.files import hub
from Utils.images import image_limits
from Utils.serving import execution_providers, http_server, onnx_tagger, tag_selection, tagging_service


def parser() -> Parser:
    """Return the command's parser."""
    defaults = tagging_service.ServiceLimits()
    command_line = Parser(prog="serve.py", description=__doc__)
    add = command_line.add_argument
    add("models", metavar="RELEASE|RUN|FILE.keras|TIMM|HUB_ID", type=hub.argument, nargs="+")
    add("--name", nargs="+", default=[], help="a name for each model (its folder's, or its name on the hub)")
    http_server.add_arguments(command_line)
    add("--json", action="store_true", help="print the address and the models as one JSON object")
    tag_selection.add_arguments(command_line, mcut=False)
    execution_providers.add_device(command_line)
    add("--batch-size", type=number(above=0), default=defaults.batch_size,
        help=f"images that the model gets at a time ({defaults.batch_size})")  # fmt: skip
    add("--wait", type=number(float, least=0, most=1000), default=defaults.batch_wait * 1000, metavar="MS",
        help=f"wait of a batch's first image for others ({defaults.batch_wait * 1000:g})")  # fmt: skip
    add("--queue", type=number(above=0, most=4096), default=defaults.max_images, metavar="N",
        help=f"images at a time; further ones get a 503 ({defaults.max_images})")  # fmt: skip
    add("--timeout", type=number(float, above=0, most=86400), default=defaults.timeout, metavar="S",
        help=f"seconds after which an image gets a 503, a map after 10 S ({defaults.timeout:g})")  # fmt: skip
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
    image_limits.allow_pixels(max(options.max_pixels, image_limits.MAX_PIXELS))
    names = _names(options)
    with contextlib.ExitStack() as stack:
        services, sentences = {}, []
        for name, model in zip(names, options.models, strict=True):
            service, about = _service(options, name, model, limits)
            services[name] = stack.enter_context(service)
            sentences += about
        app = tagging_service.make_app(services, options.allow_host)
        server = http_server.listen(app, options.host, options.port, limits.server_limits)
        for sentence in sentences:
            _say(sentence)
        if not http_server.is_local(options.host):
            _say(f"warning: whoever reaches {options.host} can send pictures")
        http_server.announce(server, {"models": list(services)} if options.json else None)
        http_server.run(server)
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _names(options: argparse.Namespace) -> list[str]:
    """Return a name for every model. Raises UserError where they are too few, too many, alike or no text."""
    names = options.name or [hub.name_of(model) for model in options.models]
    if len(names) != len(options.models) or len(set(names)) != len(names) or not all(names):
        raise UserError(
            f"--name needs a name for each of the {len(options.models)} models, all different; got "
            f"{', '.join(names)}"
        )
    if unprintable := [name for name in names if not name.isprintable()]:
        raise UserError(f"a model's name has no line breaks and controls; got {unprintable[0]!r}: --name")
    return names


def _service(
    options: argparse.Namespace, name: str, model: Any, limits: tagging_service.ServiceLimits
) -> tuple[tagging_service.TaggingService, list[str]]:
    """Return the service of a model, and sentences about it."""
    tagger = onnx_tagger.load(model, deferred("Models.load"), device=options.device).named(name)
    selector, source = tag_selection.selector_from_options(
        options, tagger, lambda text: _say(f"warning: {text}")
    )
    about = [f"{tagger.name}: {counted(len(tagger.tags), 'tag')}; thresholds: {source}"]
    about += [f"  {sentence}" for sentence in tagger.evidence]
    return tagging_service.TaggingService(tagger, selector, limits), about


if __name__ == "__main__":
    sys.exit(main())
