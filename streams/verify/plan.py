"""What one run is to do, and what its members are told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from streams.retry import RetryPolicy

_LADDER: Final = ("500ms", "1s", "2s")
_MEMORY_UP_TO: Final = "100ms"


@dataclass(frozen=True)
class MemberPlan:
    """What a member is told beside its app."""

    folder: str
    """Where it writes down its runs."""
    prefix: str = ""
    """What the names of the app's topics begin with here."""
    own_delays: bool = False
    """Retries wait as long as the app says."""

    def dead_letters(self, declared: Any) -> Any:
        """Say what a dead letter means for its key: nobody is here to decide on one that is held."""
        return "continue" if declared == "hold" else declared

    def as_dict(self) -> dict[str, Any]:
        """Give it for JSON."""
        return dataclasses.asdict(self)


def client_id(pid: int) -> str:
    """Give the name under which the member in process *pid* connects."""
    return f"streams-verify-{pid}"


def quick(policy: RetryPolicy) -> RetryPolicy:
    """Give *policy* with as many attempts, and short waits in retry topics: what fails takes the long way, soon."""
    count = len(policy.delays)
    delays = (*_LADDER, *_LADDER[-1:] * count)[:count]
    overrides = {error: quick(own) for error, own in policy.overrides.items()}
    return dataclasses.replace(
        policy, delays=delays, max_attempts=policy.attempts, memory_up_to=_MEMORY_UP_TO, overrides=overrides
    )
