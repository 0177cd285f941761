"""Every client tags with rows in the order of WD; other orders mislead those that count positions."""

import pytest

from Utils import clients

ROWS = [
    ["9999999", "general", "9", "0"], ["9999998", "sensitive", "9", "0"],
    ["9999997", "questionable", "9", "0"], ["9999996", "explicit", "9", "0"],
    ["1", "1girl", "0", "9"], ["2", "smile", "0", "8"], ["3", "reimu_(touhou)", "4", "7"],
]  # fmt: skip
VALUES = [0.1, 0.6, 0.2, 0.1, 0.9, 0.2, 0.5]


@pytest.mark.parametrize("client", clients.CLIENTS, ids=lambda client: client.name)
def test_every_client_reads_the_order_of_wd(client):
    names, rating = client.tag(ROWS, VALUES, 0.35, 0.35)
    assert names == {"1girl", "reimu_(touhou)"}
    assert rating == (None if client.name == "comfy" else "sensitive")
    assert (client.tag(ROWS, VALUES, 0.5, 0.5)[0] == {"1girl"}) is not client.includes_threshold


def test_a_general_tag_after_the_characters_misleads_clients_that_count_rows():
    """What a fine-tuner did who appended tags: client after client differs."""
    rows = [*ROWS, ["4", "new_tag", "0", "6"]]
    values = [*VALUES, 0.05]
    by_name = {client.name: client.tag(rows, values, 0.35, 0.35)[0] for client in clients.CLIENTS}
    assert by_name["wdv3"] == by_name["imgutils"] == by_name["standalone"] == {"1girl", "reimu_(touhou)"}
    assert by_name["kohya"] == {"1girl", "new_tag"}  # the third general name took the character's output
    comfy = clients.COMFY.tag(rows, [*VALUES[:-1], 0.1, 0.6], 0.35, 0.85)[0]
    assert comfy == {"1girl"}  # the new tag is held against the threshold of characters
