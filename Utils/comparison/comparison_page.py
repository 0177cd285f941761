"""The page of a comparison: one HTML file with tables, charts and pictures on which taggers disagree."""

import html
import json
import pathlib
import string
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from Utils.command.text import counted
from Utils.comparison import disagreements, tables, tagger_scores
from Utils.comparison.comparison import Comparison
from Utils.comparison.disagreements import Disagreement
from Utils.comparison.tagger_scores import METRICS, TaggerScores
from Utils.data import post_images
from Utils.evaluation import calibration
from Utils.report import figures, html_parts, svg_charts
from Utils.report.svg_charts import Axis, Series

TEMPLATE = pathlib.Path(__file__).with_name("comparison.html")
SIDE = 240  # of a picture, in pixels
_MOST_TAGS = 10  # of a picture that are listed


def render(result: Comparison, facts: dict[str, Any], find_pictures: post_images.ReadImages) -> str:
    """Return the comparison as one HTML document.

    Args:
        result: the comparison.
        facts: from `Utils.comparison.tables.facts`.
        find_pictures: post ids -> their encoded pictures; posts without one are shown without.
    """
    template = TEMPLATE.read_text(encoding="utf-8")
    header, rows = tables.tag_table(result)
    names = [contestant.name for contestant in result.contestants]
    values = {
        "verdict": html.escape(_verdict(facts)),
        "facts": _facts(facts),
        "legend": _legend(names),
        "headline": _headline(facts),
        "speed": _speed(facts),
        "figures": _figures(result, names),
        "differences": _differences(facts),
        "parts": _parts(facts),
        "disagreements": _disagreements(result, names, find_pictures),
        "missing": _missing(facts),
        "resamples": f"{result.resamples:,}",
        "bins": str(calibration.BINS),
        "names": _script_json(names),
        "rows": _script_json(list(_short_rows(header, rows, len(names)))),
    }
    return html_parts.page(template, _title(facts), values)


def _script_json(value: Any) -> str:
    """Return a value for a script, in which nothing is escaped: a tag named </script> must not end it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _short_rows(header: Sequence[str], rows: Iterable[list[Any]], taggers: int) -> Iterable[list[Any]]:
    """Yield name, category, positives (None: not judged), who has it, F1 and AP of every tagger."""
    first = header.index("positives") + 1
    for row in rows:
        owners = [int(bool(name)) for name in row[first : first + taggers]]
        yield [row[1], row[2], row[first - 1], owners, *(_rounded(value) for value in row[first + taggers :])]


def _rounded(value: Any) -> Any:
    return None if value is None or np.isnan(value) else round(value, 4)


def _title(facts: dict[str, Any]) -> str:
    newer = "" if facts["after_id"] is None else f" newer than post {facts['after_id']}"
    taggers, posts = counted(len(facts["taggers"]), "tagger"), counted(facts["posts"], "post")
    return f"{taggers} on {posts}{newer} and {counted(facts['tags'], 'tag')}"


def _verdict(facts: dict[str, Any]) -> str:
    """Return who is best by macro AP, and whether chance explains its lead, as a sentence."""
    ranking = facts["ranking"]
    by_name = {tagger["name"]: tagger for tagger in facts["taggers"]}
    best = by_name[ranking[0]]
    text = f"{best['name']} has the highest macro AP, {html_parts.format_value(best['macro_AP'])}"
    if len(ranking) == 1:
        return f"{text}."
    row = next(
        row
        for row in facts["differences"]
        if (row["first"], row["second"], row["metric"]) == (ranking[1], ranking[0], "macro_AP")
    )
    doubt = "" if row["distinguishable"] else ": not distinguishable from none"
    return f"{text}, {_signed(row)} more than {ranking[1]}{doubt}."


def _signed(row: dict[str, Any]) -> str:
    ends = html_parts.format_interval(
        html_parts.format_signed(row["low"]), html_parts.format_signed(row["high"])
    )
    return f"{html_parts.format_signed(row['difference'])} ({ends})"


def _facts(facts: dict[str, Any]) -> str:
    return html_parts.fact_items(
        {
            "posts": f"{facts['posts']:,}",
            "judged tags": f"{facts['tags']:,}",
            "true labels a post": f"{facts['positives'] / facts['posts']:.1f}",
            "tags that all taggers have": f"{facts['shared_tags']:,}",
            "only posts after": facts["after_id"],
        }
    )


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<li><b class="chip on s{number % 6}">{_letter(number)}</b> {html.escape(name)}</li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="facts">{items}</ul>'


def _letter(number: int) -> str:
    return string.ascii_uppercase[number % 26]


def _ranked(facts: dict[str, Any]) -> list[dict[str, Any]]:
    by_name = {tagger["name"]: tagger for tagger in facts["taggers"]}
    return [by_name[name] for name in facts["ranking"]]


def _headline(facts: dict[str, Any]) -> str:
    head = ("tagger", "macro AP", "micro F1", "macro F1", "P = R at", "published F1", "published P, R",
            "published macro F1", "ECE")  # fmt: skip
    rows = []
    for tagger in _ranked(facts):
        published = tagger["published"]
        cells = [
            (tagger[name], html_parts.format_interval(*tagger[f"{name}_interval"], between="–"))
            for name in ("macro_AP", "micro_F1", "macro_F1")
        ]
        both = ", ".join(html_parts.format_value(published[name]) for name in ("precision", "recall"))
        ece = (tagger["ECE"], f"{html_parts.format_value(tagger['ECE_above_first_bin'])} above 0.05")
        rows.append(
            (
                (tagger["name"], counted(tagger["tags"], "tag")), *cells, tagger["threshold"],
                published["micro_F1"], both, published["macro_F1"], ece,
            )
        )  # fmt: skip
    return html_parts.table(head, rows, "headline")


def _speed(facts: dict[str, Any]) -> str:
    measured = [tagger for tagger in _ranked(facts) if tagger["images_per_second"] is not None]
    head = ("tagger", "images/s, read and tagged", "images/s, the model's share", "memory, MB")
    rows = [
        (
            tagger["name"],
            f"{tagger['images_per_second']:.1f}",
            f"{tagger['model_images_per_second']:.1f}",
            None if tagger["peak_megabytes"] is None else f"{tagger['peak_megabytes']:.0f}",
        )
        for tagger in measured
    ]
    note = "Measured while the predictions were made. Memory: by how much the process grew at most."
    return html_parts.section("speed", "Speed and memory", note, html_parts.table(head, rows) if rows else "")


def _figures(result: Comparison, names: Sequence[str]) -> str:
    scored = [result.scored[name] for name in names]
    parts = (
        (
            "Scores with their intervals",
            _score_chart(scored, names),
            "Macro AP, micro F1 and macro F1, the last two where precision equals recall; 95% intervals.",
        ),
        (
            "Precision and recall",
            _precision_recall(scored, names),
            "Every threshold. Dots: where both are equal; small dots: the published thresholds.",
        ),
        (
            "Macro F1 by frequency",
            _frequency_chart(scored, names),
            "Tags by the number of judged posts on which they are true, where precision equals recall.",
        ),
        (
            "Calibration",
            _reliability_chart(scored, names),
            f"Bins {1 / calibration.BINS:g} wide. Below the diagonal a tagger is too sure.",
        ),
    )
    return "".join(html_parts.figure(*part) for part in parts)


class _NamedAxis(Axis):
    """An axis whose ticks are the scores of METRICS."""

    def ticks(self) -> list[tuple[float, str]]:
        """Return the middle of every score's place."""
        return [(place, name.replace("_", " ")) for place, name in enumerate(METRICS)]


def _score_chart(scored: Sequence[TaggerScores], names: Sequence[str]) -> str:
    series, ends = [], []
    for number, (name, each) in enumerate(zip(names, scored, strict=True)):
        offset = (number - (len(scored) - 1) / 2) * 0.7 / max(1, len(scored))
        dots = []
        for place, metric in enumerate(METRICS):
            low, high = each.interval(metric)
            value = each.value(metric)
            dots.append((place + offset, value))
            if not np.isnan(low):
                series.append(Series("", [(place + offset, low), (place + offset, high)], number % 6))
            ends += [end for end in (low, value, high) if not np.isnan(end)]
        texts = [f"{name}: {value:.4f}" for _, value in dots]
        series.append(Series(name, dots, number % 6, lines=False, large=True, texts=texts))
    axes = _NamedAxis("", -0.5, len(METRICS) - 0.5), Axis("score", *_with_margin(ends))
    return svg_charts.chart(*axes, series, "Scores of every tagger with their intervals")


def _with_margin(values: Sequence[float]) -> tuple[float, float]:
    """Return ends of an axis around values between 0 and 1."""
    margin = 0.1 * (max(values) - min(values)) or 0.05
    return max(0.0, min(values) - margin), min(1.0, max(values) + margin)


def _precision_recall(scored: Sequence[TaggerScores], names: Sequence[str]) -> str:
    series = []
    for number, (name, each) in enumerate(zip(names, scored, strict=True)):
        points, equal = figures.precision_recall_points(each.histogram)
        series.append(Series(name, points, number % 6))
        series.append(Series("", [equal], number % 6, lines=False, large=True))
        totals = each.published.counts.total()
        if totals.predicted and totals.positives:
            dot = (totals.tp / totals.positives, totals.tp / totals.predicted)
            text = f"{name} as published: P {dot[1]:.3f}, R {dot[0]:.3f}"
            series.append(Series("", [dot], number % 6, lines=False, texts=[text]))
    axes = Axis("recall", 0, 1), Axis("precision", 0, 1)
    return svg_charts.chart(*axes, series, "Precision against recall for every tagger")


class _BandAxis(Axis):
    """An axis whose ticks are bands of frequency."""

    def ticks(self) -> list[tuple[float, str]]:
        """Return the lower ends of the bands."""
        bands = enumerate(tagger_scores.FREQUENCIES)
        return [(float(place), f"from {low:,}") for place, low in bands if place <= self.high]


def _frequency_chart(scored: Sequence[TaggerScores], names: Sequence[str]) -> str:
    bands = list(tagger_scores.FREQUENCIES)
    series, highest = [], 0
    for number, (name, each) in enumerate(zip(names, scored, strict=True)):
        points, texts = [], []
        for part in each.frequencies:
            place = bands.index(int(part.name.split(" ")[0].replace(",", "")))
            points.append((place, part.macro_f1))
            texts.append(f"{name}, {part.name}: macro F1 {part.macro_f1:.3f} of {counted(part.tags, 'tag')}")
            highest = max(highest, place)
        series += [Series(name, points, number % 6), Series("", points, number % 6, lines=False, texts=texts)]
    axes = _BandAxis("posts on which the tag is true", -0.3, highest + 0.3), Axis("macro F1", 0, 1)
    return svg_charts.chart(*axes, series, "Macro F1 by the number of posts on which a tag is true")


def _reliability_chart(scored: Sequence[TaggerScores], names: Sequence[str]) -> str:
    series = [Series("calibrated", [(0, 0), (1, 1)], 5, dashed=True)]
    for number, (name, each) in enumerate(zip(names, scored, strict=True)):
        probabilities, shares = each.reliability.points()
        series.append(
            Series(name, list(zip(probabilities.tolist(), shares.tolist(), strict=True)), number % 6)
        )
    axes = Axis("probability given", 0, 1), Axis("share that is true", 0, 1)
    return svg_charts.chart(*axes, series, "Reliability: share of true labels against the probability given")


def _differences(facts: dict[str, Any]) -> str:
    pairs = dict.fromkeys((row["first"], row["second"]) for row in facts["differences"])
    by_key = {(row["first"], row["second"], row["metric"]): row for row in facts["differences"]}
    rows = []
    for first, second in pairs:
        cells = []
        for metric in ("macro_AP", "micro_F1", "macro_F1"):
            row = by_key[first, second, metric]
            value = html_parts.format_signed(row["difference"])
            ends = html_parts.format_interval(
                html_parts.format_signed(row["low"]), html_parts.format_signed(row["high"])
            )
            cells.append((value, ends if row["distinguishable"] else f"{ends}, may be chance"))
        rows.append((f"{second} − {first}", *cells))
    head = ("difference", "macro AP", "micro F1", "macro F1")
    note = (
        "On the same posts: what is hard for one tagger is so for the other. An interval of 95% that holds 0 "
        "may be chance."
    )
    body = html_parts.table(head, rows, "headline") if rows else ""
    return html_parts.section("differences", "Differences", note, body)


def _parts(facts: dict[str, Any]) -> str:
    """Return the tables by category and by frequency."""
    sections = []
    order = "Large: micro F1; below it macro F1 and macro AP."
    for key, title, note in (
        ("categories", "By category", f"Each tagger at the P = R threshold of the category. {order}"),
        ("frequencies", "By frequency", f"Tags by the number of posts on which they are true. {order}"),
    ):
        taggers = _ranked(facts)
        rows = []
        for part, values in taggers[0][key].items():
            cells = [
                (
                    tagger[key][part]["micro_F1"],
                    ", ".join(html_parts.format_value(tagger[key][part][name]) for name in METRICS[1:]),
                )
                for tagger in taggers
            ]
            rows.append(((part, counted(values["tags"], "tag")), *cells))
        head = ("", *(tagger["name"] for tagger in taggers))
        sections.append(html_parts.section(key, title, note, html_parts.table(head, rows, "headline")))
    return "".join(sections)


def _missing(facts: dict[str, Any]) -> str:
    """Return a list of what was not judged, in numbers."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in tables.remarks(facts))
    note = "Only what all taggers know can be compared; tags.csv lists every tag and who has it."
    return html_parts.section("left-out", "What is not judged", note, f"<ul>{items}</ul>" if items else "")


# Pictures


def _disagreements(result: Comparison, names: Sequence[str], find_pictures: post_images.ReadImages) -> str:
    listed = disagreements.find(result)
    shown = [*listed.disputed, *(post for posts in listed.leads.values() for post in posts)]
    pictures = find_pictures(sorted({post.post_id for post in shown})) if shown else {}
    addresses = {post: post_images.data_uri(data, SIDE) for post, data in pictures.items()}
    tags = result.shared.tags["name"].tolist()

    def cards(posts: Iterable[Disagreement]) -> str:
        return html_parts.cards(_card(post, addresses.get(post.post_id), tags, names) for post in posts)

    parts = []
    if listed.disputed:
        parts.append(f"<h3>Most tags in dispute</h3>{cards(listed.disputed)}")
    for name, posts in listed.leads.items():
        if posts:
            parts.append(f"<h3>Where {html.escape(name)} is furthest ahead</h3>{cards(posts)}")
    note = (
        "Tags that some taggers predict and others do not, each at its own P = R threshold; the true ones "
        "first, in bold. A filled letter predicts the tag. Beside the post: F1 of each tagger on it."
    )
    return html_parts.section("disagreements", "Where they disagree", note, "".join(parts))


def _card(post: Disagreement, address: str | None, tags: Sequence[str], names: Sequence[str]) -> str:
    picture = f'<img alt="post {post.post_id}" src="{address}">' if address else ""
    f1 = " ".join(
        f'<span class="f1">{_letter(number)} {"–" if np.isnan(value) else format(value, ".2f")}</span>'
        for number, value in enumerate(post.f1)
    )
    rows = "".join(_tag_row(tags[tag], is_true, said) for tag, is_true, said in post.tags[:_MOST_TAGS])
    more = len(post.tags) - _MOST_TAGS
    rows += f'<li class="soft">and {more} more</li>' if more > 0 else ""
    return (
        f'<div class="card dispute">{picture}<div><p class="soft">post {post.post_id}<br>{f1}</p>'
        f"<ul>{rows}</ul></div></div>"
    )


def _tag_row(name: str, is_true: bool, said: Sequence[bool]) -> str:
    chips = "".join(
        f'<b class="chip s{number % 6}{" on" if predicts else ""}">{_letter(number)}</b>'
        for number, predicts in enumerate(said)
    )
    spelled = html.escape(name.replace("_", " "))
    return f'<li><span class="chips">{chips}</span> {f"<b>{spelled}</b>" if is_true else spelled}</li>'
