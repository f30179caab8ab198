"""What makes a sequence of vectors of a model's inputs, one kind a file."""
