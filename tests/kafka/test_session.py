"""How long a lease holds, by what a commit proves under each protocol."""

from __future__ import annotations

import pytest

from streams.config import Settings
from streams.kafka.session import Session, session_of
from tests.brokers import Kafka, unique


def test_a_lease_ends_before_the_session_does() -> None:
    """A commit that counts like a heartbeat leaves a tenth; one that only proves membership leaves a third."""
    assert Session(45, 3).lease_s == pytest.approx(37.5)
    assert Session(45, 5, begins_with_commits=False).lease_s == pytest.approx(25)


def test_a_commit_begins_the_session_anew_under_the_classic_protocol_alone(kafka: Kafka) -> None:
    """Under KIP-848 nothing but a heartbeat does, so the lease is shorter there for a session of the same length."""
    settings = Settings(bootstrap=kafka.bootstrap, group=unique("billing"))
    classic, consumer = session_of(settings, "classic"), session_of(settings, "consumer")

    assert classic.begins_with_commits
    assert not consumer.begins_with_commits
    assert consumer.lease_s / consumer.timeout_s < classic.lease_s / classic.timeout_s
