"""Real processes and sockets on loopback; bounded in count and time."""
