"""The configs that families are tried on: one file a family, named after it, that holds ``CASES``."""
