"""Checkers of recorded histories, one promise each; pure but for reading files and looking at the clock."""
