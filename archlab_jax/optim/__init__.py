"""Update rules in optax."""
