"""What a broker is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.dev.folder import Member
from streams.dev.properties import server_properties

ALONE = Member(1, port=20001, controller_port=20002)
PROXIED = Member(1, port=20001, controller_port=20002, proxy_port=20003, proxied_port=20004)
THREE = [Member(node, port=20000 + node, controller_port=30000 + node) for node in (1, 2, 3)]


def settings(member: Member, members: list[Member], data: str = "/var/data") -> dict[str, str]:
    """The properties of *member*, by name."""
    lines = server_properties(member, members, Path(data)).splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("members", [[ALONE], [PROXIED], THREE])
def test_nothing_listens_beyond_this_machine(members: list[Member]) -> None:
    """Every address that a broker binds or tells is the loopback address."""
    told = settings(members[0], members)
    addresses = ",".join([told["listeners"], told["advertised.listeners"]]).split(",")

    assert all(address.split("://")[1].startswith("127.0.0.1:") for address in addresses)


def test_who_comes_through_a_proxy_is_sent_back_to_it() -> None:
    """The listener behind the proxy tells the proxy's address; everybody else's listener tells its own."""
    told = settings(PROXIED, [PROXIED])

    assert "PROXIED://127.0.0.1:20004" in told["listeners"].split(",")
    assert told["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20001,PROXIED://127.0.0.1:20003"
    assert told["inter.broker.listener.name"] == "PLAINTEXT"


def test_three_brokers_need_two_acknowledgements() -> None:
    """Three copies of everything, Kafka's own topics too; two make a write safe."""
    told = settings(THREE[1], THREE)
    copies = {value for name, value in told.items() if name.endswith("replication.factor")}
    in_sync = {value for name, value in told.items() if name.endswith(("min.isr", "min.insync.replicas"))}

    assert (copies, in_sync) == ({"3"}, {"2"})
    assert told["controller.quorum.voters"] == "1@127.0.0.1:30001,2@127.0.0.1:30002,3@127.0.0.1:30003"


def test_a_folder_may_have_any_name() -> None:
    """Properties files are ASCII: what is not, and the backslash, is escaped."""
    assert settings(ALONE, [ALONE], r"/home/zoë/a\b 🎉")["log.dirs"] == r"/home/zo\u00eb/a\\b \ud83c\udf89"
