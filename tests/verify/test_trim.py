"""A member gives back what it has freed: what it takes is what it uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.verify.trim import keep_trimming

BURST = """
import ctypes, sys, threading, time
from streams.verify.trim import keep_trimming

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def resident_mb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024

def burst(keep):
    places = [libc.malloc(2_000) for _ in range(10_000)]
    for place in places:
        ctypes.memset(place, 1, 2_000)
    keep.append(places.pop())  # what lies above all the rest holds it back
    for place in places:
        libc.free(place)

before, kept = resident_mb(), []
threads = [threading.Thread(target=burst, args=(kept,)) for _ in range(4)]
for thread in threads:
    thread.start()
    thread.join()
after = resident_mb()
if "trim" in sys.argv:
    keep_trimming(0.05)
    time.sleep(0.5)
print(after - before, resident_mb() - before)
"""


def resident(*arguments: str) -> tuple[float, float]:
    """What a burst of 20 MB in each of four threads leaves behind, in MB: at once, and half a second later."""
    done = subprocess.run(
        [sys.executable, "-c", BURST, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    at_once, later = done.stdout.split()
    return float(at_once), float(later)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_what_was_freed_goes_back() -> None:
    """Without it a burst stays in the process for good."""
    if not keep_trimming():
        pytest.skip("this C library has no malloc_trim")
    kept, given = resident(), resident("trim")

    assert kept[1] > 15
    assert given[1] < kept[1] / 2
