"""Native forms of what mixes along the sequence."""
