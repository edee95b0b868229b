"""What finds each planted bug: the tables of docs/planted.md, written by ``python -m tests.planted``."""
