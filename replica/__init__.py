"""The replica: its protocol core (``replica.core``, pure), its wire codec and the runtime that joins them to a transport."""
