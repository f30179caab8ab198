"""The families: one file each, named after its ``model_type``, that holds ``FAMILY``."""
