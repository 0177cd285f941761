"""The page of a report: report.html with the numbers, charts and images of a `Utils.report.report.Report`.

It is one file without outside parts, so that it opens anywhere and can be sent to others.
"""

import html
import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from Utils.command.text import counted
from Utils.evaluation import leakage, predictions, results_table, scores
from Utils.report import examples, figures, html_parts, run_history
from Utils.report import report as reporting

TEMPLATE = pathlib.Path(__file__).with_name("report.html")


def render(report: reporting.Report, maps: str = "") -> str:
    """Return the report as one HTML document; ``maps`` is a section of `Utils.report.map_cards`."""
    template = TEMPLATE.read_text(encoding="utf-8")
    rows = json.dumps([[_rounded(value) for value in row] for row in report.rows()], ensure_ascii=False)
    values = {
        "name": html.escape(report.dump.name),
        "verdict": html.escape(_verdict(report)),
        "facts": _facts(report.dump),
        "headline": _headline(report.headline),
        "resamples": f"{reporting.NUM_RESAMPLES:,}",
        "figures": _figures(report),
        "gallery": _gallery(report.examples),
        "maps": maps,
        "history": _history(report),
        "paddings": _paddings(report),
        "leaks": _leaks(report.leaks),
        "worst": _worst(report),
        "confused": _confused(report),
        "threshold": f"{report.threshold:.4f}",
        "head": json.dumps(report.columns),
        # Inside a script nothing is escaped: a tag named </script> must not end it.
        "rows": rows.replace("<", "\\u003c"),
        "pictures": json.dumps(_pictures(report.examples)),
    }
    return html_parts.page(template, _title(report), values)


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _title(report: reporting.Report) -> str:
    """Return what was scored and how well, in one line."""
    dump, model = report.dump, report.headline[0]["model"]
    where = " ".join(str(dump.info[name]) for name in ("dataset", "split") if dump.info.get(name))
    on = counted(len(dump.probabilities), "image") + (f" of {where}" if where else "")
    return f"{dump.name}: F1 {html_parts.format_value(model['F1'])} on {on}"


def _verdict(report: reporting.Report) -> str:
    """Return the headline as sentences for somebody who knows no F1."""
    top = report.headline[0]
    model, frequencies = top["model"], top["frequencies"]
    if not model["P"] > 0:
        return "No tag that is predicted is true."
    right, named = 100 * model["P"], 100 * model["R"]
    text = (
        f"Of 100 tags that the model names {right:.0f} are right, and of 100 true ones it names {named:.0f}. "
    )
    if not math.isnan(frequencies["F1"]):
        text += f"Without looking at the images F1 would be {frequencies['F1']:.2f}"
        ceiling = model["ceiling"]
        text += (
            "." if math.isnan(ceiling) else f"; a perfect tagger reaches {ceiling:.2f} against these labels."
        )
    return text


def _pictures(chosen: examples.Examples) -> list[list[Any]]:
    """Return [post id, address, [[column, probability, verdict], ...]] of every picture."""
    return [
        [
            picture.post_id,
            picture.address,
            [[tag.column, _rounded(tag.probability), tag.verdict] for tag in picture.tags],
        ]
        for picture in chosen.pictures
    ]


def _gallery(chosen: examples.Examples) -> str:
    if not chosen.num_gallery:
        return ""
    note = (
        "Drawn by lot. Green is right, red is wrong, gray was missed; the likeliest first. "
        "A picture opens large, with its post id and all its tags."
    )
    return html_parts.section(
        "gallery",
        "Ordinary predictions",
        note,
        f'<div id="pictures" data-first="{chosen.num_gallery}"></div>',
    )


def _history(report: reporting.Report) -> str:
    if not report.history:
        return ""
    charts = "".join(html_parts.figure(*part) for part in run_history.charts(report.history))
    seconds = sum(row.get("seconds", 0.0) for row in report.history)
    note = f"{counted(len(report.history), 'epoch')}, {seconds / 60:.1f} minutes."
    return html_parts.section("history", "History of the run", note, f'<div class="figures">{charts}</div>')


def _facts(dump: predictions.Dump) -> str:
    info, params = dump.info, dump.number("params")
    labels_per_image = scores.positives(dump.labels).sum() / max(1, len(dump.probabilities))
    more = {name.replace("_", " "): info.get(name) for name in ("image_size", "dataset", "split", "padding")}
    return html_parts.fact_items(
        {
            "images": f"{len(dump.probabilities):,}",
            "tags": f"{len(dump.tags):,}",
            "true labels an image": f"{labels_per_image:.1f}",
            "model": info.get("definition_name"),
            "parameters": results_table.params_human(params)
            if (params := dump.number("params")) > 0
            else None,
            **more,
        }
    )


def _headline(rows: Iterable[Mapping[str, Any]]) -> str:
    head = ["category", "model F1", "frequencies only F1", "P", "R", "macro F1", "MCC", "threshold"]
    rows, cells = list(rows), []
    has_ceiling = not all(math.isnan(row["model"]["ceiling"]) for row in rows)
    head[2:2] = ["perfect tagger F1"] if has_ceiling else []
    for row in rows:
        model = row["model"]
        f1 = (
            (side["F1"], html_parts.format_interval(side["F1_low"], side["F1_high"], "–"))
            for side in (model, row["frequencies"])
        )
        category = (row["category"], counted(row["tags"], "tag"))
        macro = html_parts.format_interval(model["macro_F1_low"], model["macro_F1_high"], "–")
        others = (model["P"], model["R"], (model["macro_F1"], macro), model["MCC"], model["thres"])
        model_f1, frequencies_f1 = f1
        ceiling = (model["ceiling"],) if has_ceiling else ()
        cells.append((category, model_f1, *ceiling, frequencies_f1, *others))
    return html_parts.table(head, cells, "headline")


def _figures(report: reporting.Report) -> str:
    """Return the four charts with their titles and notes."""
    edges = scores.bucket_values(report.dump.probabilities.dtype)
    parts = (
        (
            "Precision and recall",
            figures.precision_recall_curves(report.histograms),
            "Every threshold, from strict (left) to generous (right). Dots: where both are equal.",
        ),
        (
            "The threshold",
            figures.scores_by_threshold(report.histograms["all"], edges, report.threshold),
            "Scores of all tags at other thresholds. The dot is the threshold where precision equals recall.",
        ),
        (
            "F1 and how often a tag is true",
            figures.f1_by_frequency(
                [(row.tag, row.category, row.positives, row.f1) for row in report.table if row.f1 is not None]
            ),
            "One dot a tag, at the threshold of all tags. Dots at the bottom are tags that are never right.",
        ),
        (
            "Calibration",
            figures.reliability_diagram(report.calibration[0]),
            figures.calibration_text(*report.calibration),
        ),
    )
    return "".join(html_parts.figure(*part) for part in parts)


def _paddings(report: reporting.Report) -> str:
    if report.paddings is None:
        return ""
    cells = [
        _padding_cells(scored, row)
        for scored, row in zip(report.paddings, report.padding_rows(), strict=True)
    ]
    tables = html_parts.table(("category", "white F1", "black F1", "black − white"), cells, "headline")
    changes = [(*row, html_parts.format_signed(row[3] - row[2])) for row in report.changed_by_padding()]
    if changes:
        tables += "<h3>Tags that change most</h3>"
        tables += html_parts.table(("tag", "positives", "white F1", "black F1", "black − white"), changes)
    note = (
        "The same images, padded white and padded black where they are not square; each side at its own "
        f"threshold, with 95% intervals over the same {reporting.NUM_RESAMPLES:,} resamples of the images."
    )
    return html_parts.section("padding", "White and black padding", note, tables)


def _padding_cells(scored: reporting.PaddingScores, row: tuple) -> tuple:
    better = "black is better" if scored.difference.value > 0 else "white is better"
    verdict = better if scored.difference.distinguishable else "not distinguishable"
    name, white, *white_ends, black, black_low, black_high, difference, low, high = row
    ends = html_parts.format_interval(html_parts.format_signed(low), html_parts.format_signed(high))
    return (
        (name, verdict),
        (white, html_parts.format_interval(*white_ends, between="–")),
        (black, html_parts.format_interval(black_low, black_high, "–")),
        (html_parts.format_signed(difference), ends),
    )


def _leaks(leaks: leakage.Leakage | None) -> str:
    if leaks is None:
        return ""
    names = ("all images", "without near-duplicates of training images", "only those near-duplicates")
    cells = [
        (
            name,
            leaks.counts[kind],
            (leaks.values[kind], html_parts.format_interval(*leaks.intervals[kind], between="–")),
        )
        for name, kind in zip(names, leakage.SUBSETS, strict=True)
    ]
    note = (
        "What images that resemble training images add to F1, at the one threshold of the headline: "
        f"{inflation_text(leaks, f', over {reporting.NUM_RESAMPLES:,} resamples of the images')}."
    )
    return html_parts.section(
        "leaks", "Leaks", note, html_parts.table(("images scored", "images", "F1"), cells, "headline")
    )


def inflation_text(leaks: leakage.Leakage, about_interval: str = "") -> str:
    """Return by how much leaks inflate the score, with its interval and whether that may be nothing."""
    low, high = leaks.interval
    ends = html_parts.format_interval(html_parts.format_signed(low), html_parts.format_signed(high))
    doubt = ", not distinguishable from none" if low <= 0 <= high else ""
    return f"{html_parts.format_signed(leaks.inflation)} (95%: {ends}{about_interval}){doubt}"


def _worst(report: reporting.Report) -> str:
    num_rare = sum(row.positives < report.min_positives for row in report.table)
    note = (
        f"Among tags that are true on {counted(report.min_positives, 'image')} or more; "
        f"{counted(num_rare, 'tag is', 'tags are')} rarer than that. "
    )
    note += _about_pictures(
        "missed or wrong, with the probability of the tag", [tag.shots for tag in report.worst]
    )
    cards = []
    for column, shots in report.worst:
        row = report.table[column]
        text = (
            f"F1 {html_parts.format_value(row.f1)} · true {row.positives:,} · predicted {row.predicted:,}"
            f" · both {row.true_positives:,}"
        )
        cards.append(html_parts.card(row.tag, text, shots))
    return html_parts.section("lowest", "Lowest F1", note, html_parts.cards(cards) if cards else "")


def _confused(report: reporting.Report) -> str:
    note = (
        "The first tag predicted, wrongly, where the second is true, and missed; ranked by how much oftener "
        "than if the two mistakes had nothing to do with one another. "
    )
    note += _about_pictures("with the probabilities of the two", [pair.shots for pair in report.confused])
    cards = [
        html_parts.card(
            f"{pair.predicted} for {pair.true}",
            f"on {counted(pair.images, 'image')}; by chance {pair.expected:.1f}",
            pair.shots,
        )
        for pair in report.confused
    ]
    return html_parts.section(
        "confused", "Most confused tags", note, html_parts.cards(cards) if cards else ""
    )


def _about_pictures(what: str, shots: Iterable[list[reporting.Shot]]) -> str:
    """Return a sentence on the pictures of a section; an empty string where none was found."""
    addresses = [shot.address for part in shots for shot in part]
    num_missing = sum(address is None for address in addresses)
    if not addresses or num_missing == len(addresses):
        return ""
    return f"Images: {what}." + (
        f" {counted(num_missing, 'image was', 'images were')} not found." if num_missing else ""
    )
