"""Native forms of kinds of models."""
