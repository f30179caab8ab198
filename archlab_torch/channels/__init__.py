"""Native forms of what mixes along the width."""
