"""Tests: one module per source module, mirrored; promises of the whole in scenarios, sim and the test modules of this folder."""
