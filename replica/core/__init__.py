"""The protocol, sans-IO: no sockets, clock, randomness, tasks or logging.  Import the module you need; nothing is re-exported."""
