"""Where all chance of these tests comes from: one number, said by whoever runs them, told at the end.

``STREAMS_CHAOS_SEED=7`` runs them as they ran with 7.  What threads and
networks do is not in it: the same seed gives the same attempt, not the same race.
"""

from __future__ import annotations

import os
from typing import Final

BASE: Final = int(os.environ.get("STREAMS_CHAOS_SEED", "0"))
"""Of the whole run; 0 where nobody said one, so that `make test` is the same each time."""


MANY: Final = int(os.environ.get("STREAMS_CHAOS_SEEDS", "20"))
"""So many seeds have those tests that want many."""


def seeded(number: int) -> int:
    """Give the seed of the test that calls itself *number*."""
    return BASE + number
