"""Hugging Face checkpoints and architectures: in and out."""
