"""Real cores and drivers in one nursery over the in-memory fabric, in virtual time."""
