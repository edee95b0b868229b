"""Experiments with real processes and what stands between them."""
