"""The data folder: ours alone, and never half written."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.dev.folder import DataFolder, Member, Roster, default_folder, new_cluster_id
from streams.dev.process import this_process
from streams.errors import UsageError

ROSTER = Roster(
    "a-cluster-id",
    (Member(1, 20001, 20002, this_process()), Member(2, 20003, 20004, None, 20005, 20006)),
    this_process(),
)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A folder that was made ours."""
    folder = DataFolder(tmp_path / "dev")
    folder.prepare()
    return folder


def test_a_roster_is_read_as_it_was_written(folder: DataFolder) -> None:
    """Ids, ports and processes survive the file."""
    folder.write(ROSTER)

    assert folder.roster() == ROSTER


def test_a_new_folder_has_no_roster(folder: DataFolder) -> None:
    """Nobody ran here yet."""
    assert folder.roster() is None


def test_a_folder_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    """Files that aren't a cluster's are a reason to refuse, and nothing is added to them."""
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(UsageError, match=r"thesis\.tex.*--data"):
        DataFolder(tmp_path).prepare()
    assert [found.name for found in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_roster_that_cannot_be_read_is_an_error_with_advice(folder: DataFolder) -> None:
    """A file that somebody edited is named, and how to get rid of it."""
    folder.roster_file.write_text('{"brokers": 3}')

    with pytest.raises(UsageError, match=r"cluster\.json.*Remove the folder"):
        folder.roster()


def test_clearing_removes_the_cluster_and_nothing_else(folder: DataFolder) -> None:
    """Records and roster go; a file that a user put beside them stays."""
    folder.write(ROSTER)
    folder.node(1).mkdir()
    (folder.path / "notes.txt").touch()
    folder.clear()

    assert folder.roster() is None
    assert not folder.node(1).exists()
    assert (folder.path / "notes.txt").exists()


def test_the_log_of_the_last_run_is_kept_beside_the_new_one(folder: DataFolder) -> None:
    """A restart doesn't wipe what was said before it."""
    folder.node(1).mkdir()
    folder.log(1).write_text("it was the disk")
    folder.put_log_aside(1)

    assert not folder.log(1).exists()
    assert (folder.node(1) / "broker.log.1").read_text() == "it was the disk"


def test_the_default_folder_is_where_state_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`XDG_STATE_HOME` decides; without it, `.local/state` at home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    told = default_folder()
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")

    assert told == tmp_path / "streams" / "dev"
    assert default_folder() == Path("/home/ada/.local/state/streams/dev")


def test_a_folder_that_kafka_takes_for_two_is_refused(tmp_path: Path) -> None:
    """Kafka splits its list of folders at commas: the user is told, and nothing is made."""
    with pytest.raises(UsageError, match=r"comma.*--data"):
        DataFolder(tmp_path / "a,b").prepare()

    assert not (tmp_path / "a,b").exists()


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    """Kafka's tool reads an id that begins with a dash as an option; one in 64 would."""
    assert not any(new_cluster_id().startswith("-") for _ in range(2_000))
