"""Promises of the whole, told as stories: real cores of replicas and clients, with every frame delivered by hand."""
