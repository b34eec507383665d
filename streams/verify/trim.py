"""What a member has freed goes back to the system, so that what it still holds is in use.

The C library keeps what was freed for the thread that had it.  A burst that
came and went, such as a backlog after an outage, would look like growth, in
steps, until every thread of the client has had one.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Final

_EVERY_S: Final = 1.0


def keep_trimming(every_s: float = _EVERY_S) -> bool:
    """Give back what is free, now and then, for as long as this process lives; say whether its C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is None:
        return False

    def go_on() -> None:
        while True:
            trim(0)
            time.sleep(every_s)

    threading.Thread(target=go_on, name="streams-verify-trim", daemon=True).start()
    return True
