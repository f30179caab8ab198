"""How fast a config trains and decodes: what ``archlab bench`` measures. docs/bench.md says how to read it."""
