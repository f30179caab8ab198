"""The training loop, runs and generation: one for all backends."""
