"""Bytes that nobody should send, in numbers: ``python -m tests.fuzz --inputs 1000000``."""
