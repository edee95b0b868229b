"""Sweeps: many runs of ``triskele load`` by one file, repeats interleaved, and one report of all of them (docs/experiments.md)."""
