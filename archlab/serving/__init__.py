"""Text for whoever asks over HTTP, many requests at a time."""
