"""Benchmarks: `python -m bench` from the project's root runs them; see README.md here."""
