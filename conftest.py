"""All tests: what they compile is not kept for later runs, so that each starts as on a new machine."""

import os

os.environ.setdefault("ARCHLAB_JAX_CACHE", "off")
