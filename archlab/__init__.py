"""archlab: describe a language-model architecture once, run it in JAX and in PyTorch."""
