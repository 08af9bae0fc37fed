"""What all tests need."""

from __future__ import annotations

import signal

# A shell starts what it puts into the background with SIGINT ignored, and children inherit that: a test that interrupts
# a program would wait for one that can't be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
