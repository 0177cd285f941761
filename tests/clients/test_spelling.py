"""Clients spell tags in their own ways; names that they spell alike are found."""

from Utils import clients
from Utils.clients import spelling


def test_every_client_spells_as_it_is_described():
    names = ["^_^", "long_hair", "reimu_(touhou)"]
    spelled = {client.name: [client.spell(name) for name in names] for client in clients.CLIENTS}
    assert spelled["kohya"] == spelled["imgutils"] == names
    assert spelled["standalone"] == spelled["wdv3"] == ["^ ^", "long hair", r"reimu \(touhou\)"]
    assert spelled["picobyte"] == ["^_^", "long hair", "reimu (touhou)"]
    assert spelled["comfy"] == ["^_^", "long_hair", r"reimu_\(touhou\)"]


def test_names_that_are_spelled_alike_are_listed():
    names = ["^_^", "long_hair", "reimu_(touhou)"]
    name_of, ambiguous = spelling.names_by_spelling(spelling.spaced_escaped, [*names, "long hair"])
    assert name_of["long hair"] == "long_hair"
    assert ambiguous == ["long hair"]
