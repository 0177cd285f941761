"""Parts of a page as HTML: tables, facts, cards with pictures. Everything a user wrote is escaped."""

import html
import math
import re


def facts(pairs):
    """Return list items ``name value`` of a dict, those of None left out."""
    known = ((name, value) for name, value in pairs.items() if value is not None)
    return "".join(f"<li>{html.escape(name)} <b>{html.escape(str(value))}</b></li>" for name, value in known)


def table(head, rows, kind=""):
    """Return a table; a cell is text, a number, None (a dash), or ``(cell, small text under it)``."""
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(_cell(value, first=i == 0) for i, value in enumerate(row))}</tr>" for row in rows
    )
    name = f' class="{kind}"' if kind else ""
    return f'<div class="wide"><table{name}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value, first):
    value, small = value if isinstance(value, tuple) else (value, None)
    under = f"<small>{html.escape(small)}</small>" if small else ""
    return f"<td{' class=name' if first else ''}>{html.escape(shown(value))}{under}</td>"


def shown(value):
    """Return a number as the page shows it: scores to four digits, counts whole, nothing as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def signed(value):
    """Return a difference with its sign."""
    return "–" if math.isnan(value) else f"{value:+.4f}"


def interval(low, high, between=" to "):
    """Return two ends as text."""
    return f"{shown(low)}{between}{shown(high)}"


def figure(title, svg, note):
    """Return a titled chart with a note under it."""
    return f"<figure><h3>{html.escape(title)}</h3>{svg}<figcaption>{html.escape(note)}</figcaption></figure>"


def card(title, note, pictures):
    """Return a card; pictures are ``(data address or None, caption)``, one without an address is left out."""
    shots = "".join(
        f'<figure><img alt="" loading="lazy" src="{address}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for address, caption in pictures
        if address is not None
    )
    shots = f'<div class="shots">{shots}</div>' if shots else ""
    about = f'<h3>{html.escape(title)}</h3><p class="soft">{html.escape(note)}</p>'
    return f'<div class="card">{about}{shots}</div>'


def cards(parts):
    """Return cards side by side."""
    return f'<div class="cards">{"".join(parts)}</div>'


def section(name, title, note, body):
    """Return a titled section with the anchor ``name``; an empty string where there is no body."""
    top = f'<h2 id="{name}">{html.escape(title)}</h2><p class="soft">{html.escape(note)}</p>'
    return f"{top}{body}" if body else ""


def links(page):
    """Return a link to every titled section of a page or template, in order."""
    found = re.findall(r'<h2 id="([\w-]+)">([^<]*)</h2>', page)
    return "".join(f'<a href="#{name}">{title}</a>' for name, title in found)
