"""Commands take credentials from the environment, and tell refused ones apart from missing rights."""

from __future__ import annotations

import pytest

from tests.cli.shell import Shell
from tests.kafka.oddity import OddBroker

pytestmark = pytest.mark.xdist_group("odd_broker")

ALICE = {
    "STREAMS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "STREAMS_KAFKA_SASL_MECHANISM": "PLAIN",
    "STREAMS_KAFKA_SASL_USERNAME": "alice",
}


@pytest.mark.parametrize(
    "line", ["topics list", "produce orders", "lag billing", "dlq list", "replay plan billing --to-end"]
)
def test_refused_credentials_are_said(odd: OddBroker, line: str) -> None:
    """Every command ends with 1 at once, names what to check, and shows no secret."""
    said = Shell(odd.guarded)(line, code=1, stdin="", **ALICE, STREAMS_KAFKA_SASL_PASSWORD="guessed")  # noqa: S106  # a test's

    assert "refuses the credentials" in said.err
    assert "STREAMS_KAFKA_SASL_USERNAME" in said.err
    assert "guessed" not in said.err


def test_a_missing_right_is_said(odd: OddBroker) -> None:
    """Who is let in and may do nothing hears which right is missing."""
    environment = ALICE | {"STREAMS_KAFKA_SASL_PASSWORD": "open-sesame"}

    assert "denies a right on the consumer group" in Shell(odd.guarded)("lag billing", code=1, **environment).err
    said = Shell(odd.guarded)("produce orders", code=1, stdin="", **environment)
    assert "denies a right on the topic 'orders'" in said.err
