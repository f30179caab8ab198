"""Definitions of what mixes along the width, one mechanism a file."""
