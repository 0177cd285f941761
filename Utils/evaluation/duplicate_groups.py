"""Groups of near-duplicates: every member is like the leader of its group, not only like some other member.

Without that a chain of small steps would glue pictures together that have nothing to do with one another.
"""

import dataclasses

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.files import csv_tables

LIMIT = 1.0  # distance up to which two pictures are near-duplicates
LOOSE = 1.5  # distance from the leader up to which a group takes in what is near one of its members


@dataclasses.dataclass(frozen=True)
class Groups:
    """A partition of N rows."""

    leaders: np.ndarray  # (N,) the row that leads each row's group, its own where it is alone
    distances: np.ndarray  # (N,) float32, from the leader
    refused: int  # pairs that were near, but whose groups were not


def by_pairs(count, pairs, distances, compare, limit=LIMIT):
    """Join ``count`` rows by pairs (P, 2) of distances (P,), the nearest first.

    Two groups become one where every member of the one is near the leader of the other, which is the row
    with more near ones. The same pairs give the same groups, in any order.

    Args:
        compare: ``(rows, rows) -> distances`` of pairs that are not among the given ones.
    """
    near = distances <= limit
    pairs, distances = pairs[near], distances[near]
    degrees = np.bincount(pairs.ravel(), minlength=count)
    leaders, from_leader = np.arange(count), np.zeros(count, np.float32)
    members, refused = {}, 0
    for at in np.lexsort((pairs[:, 1], pairs[:, 0], distances)):
        sides = {int(row) for row in leaders[pairs[at]]}
        if len(sides) == 1:
            continue
        leader, other = sorted(sides, key=lambda row: (-degrees[row], row))
        joining = np.array(members.get(other, [other]))
        is_the_pair = len(joining) == 1 and leader in pairs[at]
        found = distances[at : at + 1] if is_the_pair else compare(np.full(len(joining), leader), joining)
        if (found > LOOSE * limit).any():
            refused += 1
            continue
        members[leader] = members.get(leader, [leader]) + members.pop(other, [other])
        leaders[joining], from_leader[joining] = leader, found
    return Groups(leaders, from_leader, refused)


def with_families(groups, post_ids, parents):
    """Join the groups of parents and children, of children of one parent, and of several files of one post.

    Args:
        post_ids: (N,) int64; parents: ``{post id: parent id}``.

    Rows that join another group lose their distance (NaN), since it is from another leader.
    """
    family = np.array([*parents.items()], np.int64).reshape(-1, 2)
    ids, place = np.unique(np.concatenate([post_ids, family.ravel()]), return_inverse=True)
    rows, place = np.arange(len(post_ids)), place + len(post_ids)  # posts are numbered after the rows
    edges = [
        np.stack([rows, groups.leaders], axis=1),
        np.stack([rows, place[: len(rows)]], axis=1),
        place[len(rows) :].reshape(-1, 2),
    ]
    parts = components(len(rows) + len(ids), np.concatenate(edges))[: len(rows)]
    _, first, whose = np.unique(parts, return_index=True, return_inverse=True)
    leaders = groups.leaders[first][whose]
    distances = np.where(leaders == groups.leaders, groups.distances, np.float32(np.nan))
    return Groups(leaders, distances, groups.refused)


def components(count, edges):
    """Return the smallest node of the component of each of ``count`` nodes; edges: (E, 2)."""
    above = np.arange(count)
    while True:
        low, high = np.sort(above[edges], axis=1).T
        if (low == high).all():
            return above
        np.minimum.at(above, high, low)
        while (above[above] != above).any():
            above = above[above]


def read(path):
    """Read groups.csv of tools/find_duplicates.py; needed are its columns group and post_id."""
    frame = csv_tables.read(path, "groups of near-duplicates (groups.csv)", ("group", "post_id"))
    if len(frame) and not pd.api.types.is_integer_dtype(frame["post_id"]):
        raise UserError(f"{path}: post_id must be whole numbers in every row")
    return frame.astype({"post_id": np.int64})
