"""Does this member still own what its group wants it to own?

Under KIP-848 the coordinator tells a member once what it is to own.  The client
(librdkafka 2.16) drops an answer that takes longer than the interval of
heartbeats, and asks for it no more: a member that was to give up partitions
keeps them, and whoever is to have them waits until ``max.poll.interval.ms``
has passed.  So members ask their group now and then, as an administrator would,
and one that has missed a word joins anew: that is a revocation in order.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from streams.kafka.groups import Group
from streams.record import Partition

ASK_EVERY_S: Final = 20.0
"""How often; longer than a heartbeat's interval may be (15 s), within which a member hears what it is to give up."""
_A_MEMBER_S: Final = 0.2
"""Answers name every member, so large groups are asked less often: once in so long for each member, at least."""


class Claims:
    """Compares what is owned with what the group wants; owned by the poll thread.

    Always true: a partition is called unwanted only if two answers in a row,
    asked for `ASK_EVERY_S` apart at least, found it so.
    """

    def __init__(self) -> None:
        """Suspect nothing."""
        self._suspects: frozenset[Partition] = frozenset()
        self.ask_every_s = ASK_EVERY_S
        """Seconds between two questions."""

    def unwanted(self, member_id: str, owned: Collection[Partition], group: Group) -> frozenset[Partition]:
        """Give what is *owned* although *group* has wanted it elsewhere for a while.

        A member that the group does not know, or of which it does not say what
        it is to own (as in the classic protocol), has heard all there is.
        """
        self.ask_every_s = max(ASK_EVERY_S, _A_MEMBER_S * len(group.members))
        wanted = next((member.wanted for member in group.members if member.member_id == member_id), None)
        before, self._suspects = self._suspects, frozenset(owned) - wanted if wanted is not None else frozenset()
        found = before & self._suspects
        if found:
            self._suspects = frozenset()
        return found
