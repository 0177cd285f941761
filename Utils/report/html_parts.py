"""Parts of an HTML page: tables, facts, cards with images. Text from outside is escaped."""

import html
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STYLE = pathlib.Path(__file__).with_name("page.css")  # of every page: colors, tables, figures, cards
OPENING = pathlib.Path(__file__).with_name("opening.html")  # of every page, up to rules of style of its own


def filled(template: str, values: Mapping[str, str]) -> str:
    """Replace every ``{{name}}`` of a template, but not within values: a tag may have such a name."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def page(template: str, title: str, values: Mapping[str, str]) -> str:
    """Return a page: of a template that begins with ``{{opening}}``; ``{{nav}}`` links to its sections."""
    style = STYLE.read_text(encoding="utf-8").rstrip("\n")
    opening = filled(OPENING.read_text(encoding="utf-8"), {"title": html.escape(title), "style": style})
    values = {**values, "title": html.escape(title), "opening": opening.rstrip("\n"), "nav": ""}
    # Which sections there are is known once the others are filled in.
    return filled(template, values | {"nav": section_links(filled(template, values))})


def fact_items(facts: Mapping[str, Any]) -> str:
    """Return a list item for every fact ``{name: value}``; those of None are left out."""
    present = ((name, value) for name, value in facts.items() if value is not None)
    return "".join(
        f"<li>{html.escape(name)} <b>{html.escape(str(value))}</b></li>" for name, value in present
    )


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], css_class: str = "") -> str:
    """Return a table; a cell is text, a number, None (a dash), or ``(cell, small text under it)``."""
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(_cell(value, is_first=i == 0) for i, value in enumerate(row))}</tr>" for row in rows
    )
    attribute = f' class="{css_class}"' if css_class else ""
    return (
        f'<div class="wide"><table{attribute}><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any, is_first: bool) -> str:
    value, small = value if isinstance(value, tuple) else (value, None)
    under = f"<small>{html.escape(small)}</small>" if small else ""
    return f"<td{' class=name' if is_first else ''}>{html.escape(format_value(value))}{under}</td>"


def format_value(value: Any) -> str:
    """Return a value as the page shows it: scores with four digits, counts whole, None and NaN as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def format_signed(value: float) -> str:
    """Return a difference with its sign; NaN as a dash."""
    return "–" if math.isnan(value) else f"{value:+.4f}"


def format_interval(low: Any, high: Any, between: str = " to ") -> str:
    """Return both ends of an interval as text."""
    return f"{format_value(low)}{between}{format_value(high)}"


def figure(title: str, svg: str, note: str) -> str:
    """Return a titled chart with a note under it."""
    return f"<figure><h3>{html.escape(title)}</h3>{svg}<figcaption>{html.escape(note)}</figcaption></figure>"


def card(title: str, note: str, pictures: Iterable[tuple[str | None, str, int]]) -> str:
    """Return a card with pictures ``(data address, caption, post id)``; None for no address."""
    shots = "".join(
        f'<figure><img alt="post {post_id}" loading="lazy" src="{address}" data-post="{post_id}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for address, caption, post_id in pictures
        if address is not None
    )
    shots = f'<div class="shots">{shots}</div>' if shots else ""
    about = f'<h3>{html.escape(title)}</h3><p class="soft">{html.escape(note)}</p>'
    return f'<div class="card">{about}{shots}</div>'


def cards(parts: Iterable[str]) -> str:
    """Return cards side by side."""
    return f'<div class="cards">{"".join(parts)}</div>'


def section(anchor: str, title: str, note: str, body: str) -> str:
    """Return a section with a title and an anchor; without a body an empty string."""
    top = f'<h2 id="{anchor}">{html.escape(title)}</h2><p class="soft">{html.escape(note)}</p>'
    return f"{top}{body}" if body else ""


def section_links(page: str) -> str:
    """Return a link to every section with a title in a page or template, in order."""
    titles = re.findall(r'<h2 id="([\w-]+)">([^<]*)</h2>', page)
    return "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in titles)
