"""The command ``puzzlemix``: the lecture's pictures, and a page on which to try Puzzle Mix.

- ``cli``: the command line, ``puzzlemix demo``, ``play`` and ``info``
- ``pictures``: what ``puzzlemix demo`` mixes; ``augmentations``: and augments; ``figures`` draws it
- ``play``, ``play.html``: what ``puzzlemix play`` serves
- ``photographs``, ``network``: two pictures, and a trained network that looks at them
- ``toy``: ERM and mixup on points of the plane

Only ``cli`` and ``toy`` can be imported without the extras ``demo`` and ``play``.
"""
