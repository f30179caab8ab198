"""Holding implementations to the definition: tolerances, cases, laws, reports, and why two differ."""

from archlab.parity.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
