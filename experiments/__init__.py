"""The lecture's tables, `python -m experiments`, and `python -m experiments.saliency_kinds`."""
