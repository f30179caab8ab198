"""Kernels behind one signature each."""
