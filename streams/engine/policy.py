"""What a failing record means for the others of its key: the words that a route chooses by.

A floor of its own below routes and partition states, as both speak of it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

OrderPolicy: TypeAlias = Literal["park", "block", "unordered"]
"""What becomes of a failing record and of the later ones of its key.

* ``park``: it waits in a retry topic, or shortly in memory; the later records of its key wait behind it, in memory or
  in the parked topic; other keys go on and offsets are committed.  Costs one topic for each tier, and one for parking.
* ``block``: it waits in memory and so do the later ones of its key; nothing moves.  Costs the partition's progress
  where a key waits longer than memory holds.
* ``unordered``: it waits in a retry topic; the later ones of its key overtake it.  Costs the order of the key.
"""

DeadLetterPolicy: TypeAlias = Literal["continue", "hold", "follow"]
"""What becomes of a key after one of its records went to the dead-letter topic.

* ``continue``: its later records run.
* ``hold``: they wait until an operator retries or forgets the dead letter.
* ``follow``: they become dead letters behind it, so that a redrive keeps their order.
"""

DEFAULT_POLICY: Final[OrderPolicy] = "park"
"""Of a route that names none."""
