"""The second style of drawn boorus: places seen from afar, with small things that hide each other.

``composition`` decides by the weights of ``contents`` what stands where and what of it can be seen,
``tagging`` names it, ``rendering`` draws it on one of the ``grounds`` with the things of ``outdoors``,
``indoors`` and ``sky`` and the figures of the faces style.
"""
