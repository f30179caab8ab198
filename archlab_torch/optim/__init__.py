"""Update rules in PyTorch."""
