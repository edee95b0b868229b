"""The names of all kinds of fault and what each does, in words: for the help of ``triskele chaos``, which loads nothing else, and for its reports."""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "kill": "SIGKILL; started again when it is over",
    "pause": "SIGSTOP, then SIGCONT",
    "partition-one": "one replica and the others do not hear each other",
    "partition-halves": "a minority and the others do not hear each other",
    "partition-majorities-ring": "each replica hears a majority, no two the same one",
    "partition-clients": "one replica and all clients do not hear each other",
    "bridge": "two halves hear each other only past one replica",
    "half-open": "what one replica says to others, or they to it, vanishes",
    "slow-net": "every byte takes longer",
    "flaky": "connections are cut again and again",
    "reorder": "connections end at one end and are opened anew, while what was sent over the old ones is still on its way",
    "slow-disk": "each fdatasync takes longer (strace)",
    "disk-error": "each fdatasync fails with EIO (strace); replicas end and are started again",
    "disk-full": "no file can grow (RLIMIT_FSIZE); replicas end and are started again",
}
"""``{name: what it does}``."""
