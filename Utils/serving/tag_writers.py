"""Tags the pictures of a command and writes what comes out: sidecars, a folder of maps, or a table."""

import dataclasses
import hashlib
import itertools
import pathlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np

from Utils.command.cli import UserError, progress
from Utils.command.machine import num_cores
from Utils.files.atomic import NO_ROOM
from Utils.files.output_folders import replacing_folder
from Utils.images import codec, image_folder, image_reader
from Utils.images.places import join
from Utils.serving import onnx_tagger, overlapping, picture_jobs, tag_maps, tag_selection, tag_table
from Utils.serving.dump_predictions import DumpPredictions
from Utils.serving.picture_jobs import Job, Rejected, with_frames
from Utils.serving.sidecar_writer import SidecarWriter
from Utils.tags import sidecars, tag_list

Tagger = onnx_tagger.ServingTagger | DumpPredictions


@dataclasses.dataclass(frozen=True)
class Work:
    """What is tagged by what, and how it is read."""

    jobs: list[Job]
    tagger: Tagger
    selector: tag_selection.TagSelector
    rejected: Rejected  # gets what cannot be read or written
    say: Callable[[str], None]
    every: float | None = None  # seconds between the frames of a film; None: jobs are pictures
    batch_size: int = 8  # pictures at a time
    workers: int = 0  # threads that decode; 0: one for each core


def _in_place(job: Job) -> str:
    return join(job.folder, job.name)


def tagged_batches(
    work: Work, jobs: list[Job], done: Collection[str] = ()
) -> Iterator[tuple[list[Job], np.ndarray]]:
    """Yield ``(jobs, probabilities (B, L))`` with a progress bar; frames that are ``done`` are left out."""
    tagger, rejected = work.tagger, work.rejected
    if isinstance(tagger, DumpPredictions):
        for known, probabilities, unknown in tagger.batches(jobs, _in_place):
            rejected += [(job.path, tagger.why_without(_in_place(job))) for job in unknown]
            yield known, probabilities
        return
    batches = image_reader.read_batches(
        with_frames(jobs, work.every, rejected, done) if work.every else iter(jobs),
        tagger.image_size,
        work.batch_size,
        path_of=lambda job: "frame.bmp" if job.film else job.path,
        read_item=picture_jobs.read,
        prepare=tagger.prepare,
        readers=work.workers or num_cores(),
        remarks=(remarks := image_reader.Remarks()),
    )
    num_batches = None if work.every else -(-len(jobs) // work.batch_size)
    tagged = overlapping.computed_ahead(
        lambda batch: tagger.probabilities(batch[1]), batches, tagger.parallel_runs
    )
    for (readable, _, unreadable), probabilities in progress(
        tagged, total=num_batches, label="tag", unit="batches"
    ):
        rejected += [(job.path, reason) for job, reason in unreadable]
        yield readable, probabilities
    for sentence in remarks.sentences("tagged", lambda job: job.path):
        work.say(sentence)


def write_sidecars(
    work: Work,
    kind: sidecars.SidecarFormat,
    style: sidecars.Style,
    output: pathlib.Path | None = None,
    *,
    replaces: bool = False,
    appends: bool = False,
) -> int:
    """Write a sidecar for every job, at the job's place; return how many.

    Places that cannot be written are added to ``work.rejected``; a full disk is raised as OSError.

    Args:
        work: the work.
        kind: of sidecars.
        style: how tags are spelled.
        output: folder of the sidecars, which is made; None: they lie beside the pictures.
        replaces: whether sidecars that exist are replaced.
        appends: whether tags that they lack are added to them.
    """
    edits, num_tagged = work.selector.edits, 0
    names, others = work.tagger.tags["name"].tolist(), edits.names if edits else ()
    writer = SidecarWriter(kind, style, names, others, replaces=replaces, appends=appends)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)  # where it cannot be, no picture is tagged in vain
    rows = (row for batch in tagged_batches(work, work.jobs) for row in zip(*batch, strict=True))
    for job, probabilities in picture_jobs.films_last(rows):
        try:
            assert job.sidecar is not None
            writer.write(job.sidecar, work.selector.select(probabilities))
            num_tagged += 1
        except (OSError, UserError) as error:  # one bad place must not stop a long run
            if isinstance(error, OSError) and error.errno in NO_ROOM:  # nor is there room for the next
                raise
            work.rejected.append((job.film or job.path, f"the sidecar cannot be written: {error}"))
    if writer.num_kept:
        work.say(
            f"{writer.num_kept} sidecars had words that are no tags of the model: the old are kept as .bak"
        )
    return num_tagged


def write_maps(
    work: Work, output: pathlib.Path, maps_by: str, keras_mapper: Callable[..., Any], overwrite: bool = False
) -> int:
    """Write the folder of maps; return how many pictures are in it.

    Args:
        work: the work.
        output: the folder.
        maps_by: auto, or one of `tag_maps.METHODS`.
        keras_mapper: that of `tag_maps.open_mapper`.
        overwrite: whether a folder of maps that exists is replaced.
    """
    tagger = work.tagger
    assert isinstance(tagger, onnx_tagger.ServingTagger)
    mapper, method = tag_maps.open_mapper(tagger, maps_by, keras_mapper, work.batch_size)
    with replacing_folder(output, tag_maps.FOLDER, overwrite) as folder:
        writer = tag_maps.Writer(folder, tagger, mapper, method)
        for job in progress(work.jobs, label="map", unit="pictures"):
            try:
                data = picture_jobs.read(job)
                prepared = tagger.prepare(data, None)
            except (codec.ImageError, OSError) as error:
                work.rejected.append((job.path, str(error)))
                continue
            selected = work.selector.select(tagger.probabilities(prepared[None])[0])
            writer.add(job.path, data, prepared, selected.tags)
        writer.finish()
    num_maps = sum(len(picture["maps"]) for picture in writer.pictures)
    work.say(f"{num_maps} maps: {output / 'maps.html'}")
    return len(writer.pictures)


def write_table(work: Work, form: str, output: pathlib.Path | None, origin: Mapping[str, Any]) -> int:
    """Write the table of all jobs to the output or the screen; return how many are in it.

    Args:
        work: the work.
        form: one of `tag_table.FORMATS`.
        output: the file; None: the screen.
        origin: JSON values that say which model and which pictures these are.

    Raises UserError where an interrupted run had other settings.
    """

    def record_batches(jobs: list[Job], done: Collection[str] = ()) -> Iterator[list[tag_table.Record]]:
        for batch, probabilities in tagged_batches(work, jobs, done):
            rows = zip(batch, probabilities, strict=True)
            yield [tag_table.record(job.path, work.selector.select(row)) for job, row in rows]

    if output is None:
        counter = itertools.count()
        records = (record for batch in record_batches(work.jobs) for record in batch if next(counter) >= 0)
        tag_table.write_records(records, sys.stdout, form)
        return next(counter)
    with tag_table.Journal(output, {**origin, **_settings(work)}) as journal:
        missing = [job for job in work.jobs if image_folder.printable(job.path) not in journal.done]
        for records in record_batches(missing, journal.done):
            journal.add(records)
        journal.finish(form)
    return len(journal.done)


def _settings(work: Work) -> dict[str, Any]:
    """Return the settings that decide the records of a table: a run continues only under the same."""
    selector = work.selector
    digest = hashlib.sha256(selector.thresholds.tobytes() + selector.allowed.tobytes()).hexdigest()
    return {
        "tags": tag_list.digest(work.tagger.tags),
        "chosen": digest,
        "limits": [selector.mcut, selector.max_tags],
        **({"every": work.every} if work.every else {}),
        **({"edits": selector.edits.settings} if selector.edits else {}),
    }
