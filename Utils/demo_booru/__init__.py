"""Cartoons drawn from attributes: a picture's content is decided first, so its tags are true by construction.

``vocabulary`` holds colors, characters and series; ``scenes`` composes a picture's content and names its
tags; ``pictures`` draws it; ``posts`` makes a booru's posts of it, with the faults that real boorus have.
"""
