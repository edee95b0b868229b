"""Faults in a real cluster, by a schedule from a seed: ``triskele chaos``."""
