"""``triskele profile``: samples the processes of a running cluster, and works out what they spend their time on."""

from __future__ import annotations
