"""How layers are wired together: around, within and between one another, one mechanism a file."""
