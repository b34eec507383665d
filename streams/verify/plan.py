"""What one run is to do, and what its members are told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from streams.retry import RetryPolicy, seconds

NAME_VARIABLE: Final = "STREAMS_VERIFY_NAME"
"""What a static member is called; nothing, or "", for the others."""

EARLY_RETRY: Final = "early-retry"
BREAKS: Final = (EARLY_RETRY,)
"""What can be wrong on purpose with members, whatever engine they run."""

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
    broken: str = ""
    """What is wrong on purpose: one of `BREAKS`, or ""."""

    def retry(self, declared: RetryPolicy) -> RetryPolicy:
        """Give the policy that members are to keep."""
        return declared if self.own_delays else quick(declared)

    def retry_kept(self, declared: RetryPolicy) -> RetryPolicy:
        """Give the one that they do keep."""
        kept = self.retry(declared)
        return hurried(kept) if self.broken == EARLY_RETRY else kept

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


def hurried(policy: RetryPolicy) -> RetryPolicy:
    """Give *policy* with waits that are half as long."""
    overrides = {error: hurried(own) for error, own in policy.overrides.items()}
    delays = tuple(seconds(delay) / 2 for delay in policy.delays)
    return dataclasses.replace(policy, delays=delays, overrides=overrides)


def wait_ms(policy: RetryPolicy, error: BaseException, attempt: int, after: timedelta | None = None) -> int:
    """Say how long a record waits at least after run number *attempt* of it ended in *error*.

    Where the attempt is not known (0) nothing can be said.  *after* is the wait that the handler asked for.
    """
    delays = policy.for_error(error).delays
    if not attempt or not delays:
        return 0
    wait_s = seconds(delays[min(attempt, len(delays)) - 1]) if after is None else after.total_seconds()
    return int(wait_s * 1000)
