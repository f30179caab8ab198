"""Holding backends to the reference: tolerances, cases, laws and the report of one model."""
