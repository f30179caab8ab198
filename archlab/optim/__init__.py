"""Optimisers, schedules and clipping: one written equation each, which every backend follows."""
