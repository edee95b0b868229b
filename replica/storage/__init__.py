"""What a replica keeps on disk: the durable log, snapshot files, the data folder. Knows bytes, positions and files; no word of the protocol."""
