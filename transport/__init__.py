"""Moves frames between named endpoints: native TCP, WebSocket and in-memory links, batched per turn.

Transport knows bytes, links and turns.  It has no word of replication: what a frame means is decided above.
"""
