"""What is replicated: commands, the store they change, and the table that makes them happen exactly once.

Pure: no Trio, clock, randomness, logging or files, and no word of replication. Two replicas that apply the same commands at the same
positions hold the same state, whatever their batches were; everything else of the project rests on that.
"""

from __future__ import annotations

from statemachine.command import (
    CAS_VALUE,
    CAS_VERSION,
    CAUSAL,
    CLOSE,
    CONFIG,
    DELETE,
    EXPIRE,
    HORIZON,
    KEY_BYTES_MAX,
    NOOP,
    OPEN,
    PUT,
    SCAN_BYTES_MAX,
    SCAN_ROWS_MAX,
    VALUE_BYTES_MAX,
    Footprint,
    InvalidCommand,
    Region,
    check_columns,
    check_command,
    check_key,
    check_query,
    check_value,
    conflicts,
    evaluate_cas,
    footprint_of,
    footprint_of_query,
)
from statemachine.moment import InvalidSnapshot
from statemachine.sessions import SessionRecord, Sessions
from statemachine.store import Store

__all__ = [
    "CAS_VALUE",
    "CAS_VERSION",
    "CAUSAL",
    "CLOSE",
    "CONFIG",
    "DELETE",
    "EXPIRE",
    "HORIZON",
    "KEY_BYTES_MAX",
    "NOOP",
    "OPEN",
    "PUT",
    "SCAN_BYTES_MAX",
    "SCAN_ROWS_MAX",
    "VALUE_BYTES_MAX",
    "Footprint",
    "InvalidCommand",
    "InvalidSnapshot",
    "Region",
    "SessionRecord",
    "Sessions",
    "Store",
    "check_columns",
    "check_command",
    "check_key",
    "check_query",
    "check_value",
    "conflicts",
    "evaluate_cas",
    "footprint_of",
    "footprint_of_query",
]
