"""The client library's own stand-in for a cluster, for what no present broker does any more."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
import pytest

_CONSUMER_GROUP_HEARTBEAT = 68
_NOT_AT_ALL = -1


@contextmanager
def cluster_before_kip_848() -> Iterator[str]:
    """Give the address of a broker that has never heard of the new group protocol."""
    library = _library()
    owner = library.rd_kafka_new(0, _quiet(library), ctypes.create_string_buffer(512), 512)
    cluster = library.rd_kafka_mock_cluster_new(owner, 1)
    library.rd_kafka_mock_set_apiversion(cluster, _CONSUMER_GROUP_HEARTBEAT, _NOT_AT_ALL, _NOT_AT_ALL)
    yield library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
    library.rd_kafka_mock_cluster_destroy(cluster)
    library.rd_kafka_destroy(owner)


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1]
    found = [*folder.glob("confluent_kafka.libs/librdkafka*"), *folder.glob("confluent_kafka/.dylibs/librdkafka*")]
    if not found:
        pytest.skip("the client library was not installed from a wheel that brings its own librdkafka")
    library = ctypes.CDLL(str(found[0]))
    pointer, integer, text, short = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int16
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", integer, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [integer, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, integer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_set_apiversion", integer, [pointer, short, short, short]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _quiet(library: ctypes.CDLL) -> int:
    settings: int = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(settings, b"log_level", b"0", None, 0)
    return settings
