"""The lecture's tables and what settings do: `python -m experiments`, `experiments.settings`."""
