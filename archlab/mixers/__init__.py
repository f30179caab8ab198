"""Definitions of what mixes along the sequence, one mechanism a file."""
