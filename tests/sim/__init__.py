"""The simulator: real cores and real sessions over a virtual network and a virtual clock, all decided by one seed.

There is no task, no socket and no real time here: a heap of events, one ``random.Random(seed)``, and the protocol cores driven exactly as
the drivers drive them. Every frame goes through the codec. A run has a phase with faults, then a calm one in which everything must
complete; then the log of the leader is the certificate against which every answer is judged (``certificate``, ``graph``).

``python -m tests.sim`` runs seeds; a seed replays byte for byte, and a failed one is taken apart (``shrink``). This is how FoundationDB and
TigerBeetle test; the certificate follows docs/protocol.md and, for its graph, Elle (Kingsbury & Alvaro, VLDB'20).
"""
