"""Groups of near-duplicates in which every member resembles the group's leader, not just another member.

Otherwise a chain of small steps would join images that have nothing in common.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.files import csv_tables

LIMIT = 1.0  # distance up to which two images are near-duplicates
LOOSE = 1.5  # limits from the leader up to which a group admits images that are near one of its members


@dataclasses.dataclass(frozen=True)
class Groups:
    """A partition of N rows."""

    leaders: np.ndarray  # (N,) the row that leads each row's group, its own where it is alone
    distances: np.ndarray  # (N,) float32, from the leader
    refused: int  # pairs that were near, but whose groups were not


def from_pairs(
    count: int,
    pairs: np.ndarray,
    distances: np.ndarray,
    compare: Callable[[np.ndarray, np.ndarray], np.ndarray],
    limit: float = LIMIT,
) -> Groups:
    """Join rows by pairs of near ones, the nearest first.

    Two groups become one if every member of the one is near the leader of the other, which is the row of more
    pairs. The same pairs give the same groups, in any order.

    Args:
        count: of rows.
        pairs: (P, 2) rows.
        distances: (P,) of the pairs.
        compare: ``(rows, rows) -> distances`` of pairs that are not among the given ones.
        limit: distance up to which a pair is near.
    """
    near = distances <= limit
    pairs, distances = pairs[near], distances[near]
    degrees = np.bincount(pairs.ravel(), minlength=count)
    leaders, from_leader = np.arange(count), np.zeros(count, np.float32)
    members, refused = {}, 0
    for place in np.lexsort((pairs[:, 1], pairs[:, 0], distances)):  # ties by row: independent of their order
        pair = pairs[place]
        pair_leaders = {int(row) for row in leaders[pair]}
        if len(pair_leaders) == 1:
            continue
        leader, joining_leader = sorted(pair_leaders, key=lambda row: (-degrees[row], row))
        joining = np.array(members.get(joining_leader, [joining_leader]))
        if len(joining) == 1 and leader in pair:  # the pair itself, whose distance is known
            to_leader = distances[place : place + 1]
        else:
            to_leader = compare(np.full(len(joining), leader), joining)
        if (to_leader > LOOSE * limit).any():
            refused += 1
            continue
        members[leader] = members.get(leader, [leader]) + members.pop(joining_leader, [joining_leader])
        leaders[joining], from_leader[joining] = leader, to_leader
    return Groups(leaders, from_leader, refused)


def with_families(groups: Groups, post_ids: np.ndarray, parents: dict[int, int]) -> Groups:
    """Join the groups of parents and children, of children of one parent, and of several files of one post.

    Rows that join another group lose their distance (NaN), since it is from another leader.

    Args:
        groups: of N rows.
        post_ids: (N,) int64.
        parents: ``{post id: parent id}``.
    """
    family = np.array([*parents.items()], np.int64).reshape(-1, 2)
    ids, place = np.unique(np.concatenate([post_ids, family.ravel()]), return_inverse=True)
    # One graph of the rows and, after them, the posts: a parent that is no row still joins its children.
    rows, place = np.arange(len(post_ids)), place + len(post_ids)
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


def components(count: int, edges: np.ndarray) -> np.ndarray:
    """Return the smallest node of the connected component of each of ``count`` nodes; edges: (E, 2)."""
    smallest = np.arange(count)
    while True:  # both ends of every edge take the smaller of their nodes, until all edges agree
        low, high = np.sort(smallest[edges], axis=1).T
        if (low == high).all():
            return smallest
        np.minimum.at(smallest, high, low)
        while (smallest[smallest] != smallest).any():
            smallest = smallest[smallest]


def read(path: Any) -> pd.DataFrame:
    """Read groups.csv of tools/find_duplicates.py, which must have the columns group and post_id.

    Raises UserError where a row has no group, or no post id from 0 to 2**63 - 1.
    """
    frame = csv_tables.read(path, "groups of near-duplicates (groups.csv)", ("group", "post_id"))
    if len(frame) and not pd.api.types.is_integer_dtype(frame["post_id"]):
        raise UserError(f"{path}: post_id must be whole numbers in every row")
    is_wrong = frame["group"].isna() | (frame["post_id"] < 0) | (frame["post_id"] > np.iinfo(np.int64).max)
    if is_wrong.any():
        row = int(is_wrong.to_numpy().argmax())
        raise UserError(
            f"{path}, row {row + 2}: a group and a post_id from 0 to 2**63 - 1 are needed; got "
            f"{frame['group'][row]!s} and {frame['post_id'][row]}"
        )
    return frame.astype({"post_id": np.int64})
