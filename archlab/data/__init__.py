"""Text, tokenizers and batches: one for all backends."""
