"""Code that training, models and tools share, in packages ("wings"). Each imports only those listed above it.

command: errors with exit codes, argument types, progress, the backend's start
files: complete-or-absent files, TFRecord framing, CSV, caches of rows, jobs on many cores
images: decoding, padding, resizing; places of pictures: folders, archives, other file systems
tags: tag lists, categories, the spelling of tags in caption files
data: sources of posts, definition, selection, tag rules, shards, dataset folders, folds
evaluation: predictions, thresholds, scores, intervals, calibration, ensembles, result tables
report: the HTML report, charts, model cards, plots of a run
duplicates: fingerprints, near-duplicate search, comparison of pixels
recipe: the recipe, its command line, the named recipes, initial weights, sweeps
training: the loop, losses, optimizers, schedules, devices, checkpoints, trackers (keras)
taggers: releases of any project described in one way: graph, tags, thresholds, preparation of pictures
serving: the ONNX tagger, the choice of tags, the HTTP service and its page
comparison: taggers of any origin on the same posts: tags aligned, predictions, scores, the page
labels: confident learning, questions, the review page, decisions
clients: other programs that run taggers, re-created to judge releases
demo_booru: the drawn booru of the demo
bench: timing, the peer that models are timed against, curves of training runs
release: the release folder, its formats, conversion, quantization, verification (keras)
"""
