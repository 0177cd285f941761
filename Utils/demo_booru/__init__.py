"""A booru of drawn cartoons: a picture's content is decided before drawing, so its tags are true.

``vocabulary`` has colors, characters and series; ``scenes`` draws lots for the content of a picture,
``tagging`` names its tags, ``pictures`` draws it with the parts (``hair``, ``clothes`` ...) on a ``canvas``.
That is the style of large faces; ``places`` is one of many small things, and ``styles`` has both.
``posts`` plans a booru with the faults that real boorus have, and ``archive`` gives the bytes of its files.

Every draw of a random number and every coordinate is part of the booru's bytes, which tests hold: the same
seed must give the same booru for ever, or measurements on it could not be compared.
"""
