"""What a running replica tells of its own cost: where its processor time goes, what it allocates, what the collector takes, what its tasks wait for.

A sample is taken by a signal that the kernel sends after so much *processor* time, so it tells where work is done and costs nothing while there
is none.  A thread that samples by the clock would see little but Trio's run loop: it gets to run when the main thread lets go of the interpreter,
which it does in the waits.

Also used by the load generator's client processes, and by nobody's hot path: what runs there when nobody profiles is two calls per run of the
garbage collector.
"""

from __future__ import annotations
