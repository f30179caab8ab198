"""Small stand-ins for tests of what belongs to no framework."""
