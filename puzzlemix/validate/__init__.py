"""All checks of arguments, and the words of their errors.

``contracts`` checks the low-level functions by kinds, shapes, types and devices; ``values`` reads
their tensors, or words the fault that a compiled solver found there; ``puzzle`` checks
`puzzle_mix`, `objective` and the mixers; ``elementary`` is what these are made of.

TypeError: a wrong kind of object or element type. ValueError: a wrong shape or device, a number out
of range, an unknown name, bad values. Each message names the argument, what was expected and what
came; messages are built only when a check fails.
"""
