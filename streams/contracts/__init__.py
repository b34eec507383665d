"""Contracts: what a kind of event looks like, version by version, and what a new version owes the readers of the old.

A subject is a folder of JSON Schemas.  Records are held against it on their way
in and out; `check` holds the folder against itself, before anything runs.
"""

from streams.contracts.check import CheckedSubject, check
from streams.contracts.codec import contract_codec
from streams.contracts.compatibility import Compatibility
from streams.contracts.registry import Fault, Registry, Subject
from streams.contracts.schema import Schema

__all__ = ["CheckedSubject", "Compatibility", "Fault", "Registry", "Schema", "Subject", "check", "contract_codec"]
