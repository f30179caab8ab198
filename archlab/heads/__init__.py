"""What a model answers with, one kind a file."""
