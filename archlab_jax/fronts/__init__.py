"""Native forms of the fronts."""
