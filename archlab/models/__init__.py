"""Kinds of whole models beside the language model, one a file."""
