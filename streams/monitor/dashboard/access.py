"""Who may do what: bearer tokens with roles, and the sessions that browsers get for them.

Without any token, whoever reaches a loopback address is an operator, as on the
command line of that machine; whoever reaches another address may look.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from streams.errors import UsageError

Role: TypeAlias = Literal["viewer", "operator", "admin"]
"""``viewer`` looks, ``operator`` acts on dead letters and groups too, ``admin`` sees masked fields too."""

SESSION_S: Final = 12 * 3600.0
"""After so long a browser has to show its token again."""
SESSIONS: Final = 1_000
"""At the bound the oldest session ends."""
_SHORTEST: Final = 16
_HASHED: Final = "sha256:"
_NAME: Final = re.compile(r"[A-Za-z0-9@._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks."""

    name: str
    role: Role
    session: str = ""
    """Names the browser's session; empty for a bearer token, and where no tokens are used."""
    is_bearer: bool = False
    """The token came with the request itself: no other site can have sent it."""

    @property
    def may_act(self) -> bool:
        """Whether dead letters and groups may be acted on."""
        return self.role != "viewer"

    @property
    def is_masked(self) -> bool:
        """Whether named fields are hidden."""
        return self.role != "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """What somebody shows, kept as its SHA-256 sum alone."""

    name: str
    role: Role
    digest: bytes


class Access:
    """Owned by the event loop.

    Always true: no token is kept in the clear, and all are compared in constant time.
    """

    def __init__(self, tokens: Iterable[Token] = (), *, is_loopback: bool) -> None:
        """Let those in who show one of *tokens*; where there are none, everybody, as far as the address allows."""
        self._tokens = tuple(tokens)
        self._is_loopback = is_loopback
        self._sessions: dict[str, tuple[Token, float]] = {}
        self._key = secrets.token_bytes(32)

    @property
    def has_tokens(self) -> bool:
        """Whether anybody has to show one."""
        return bool(self._tokens)

    def visitor(self, authorization: str, session: str, *, is_forwarded: bool) -> Visitor | None:
        """Say who asks; None where a token has to be shown.

        Args:
            authorization: The header of that name.
            session: The browser's cookie.
            is_forwarded: A proxy passed the request on: that it came from this machine says nothing.
        """
        if not self._tokens:
            is_local = self._is_loopback and not is_forwarded
            return Visitor("local", "operator") if is_local else Visitor("anybody", "viewer")
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() == "bearer":
            token = self.find(shown.strip())
            return None if token is None else Visitor(token.name, token.role, is_bearer=True)
        known, until_s = self._sessions.get(session, (None, 0.0))
        if known is None or time.monotonic() > until_s:
            self._sessions.pop(session, None)
            return None
        return Visitor(known.name, known.role, session)

    def find(self, shown: str) -> Token | None:
        """Give the token that *shown* is."""
        digest, found = _digest(shown), None
        for token in self._tokens:
            if hmac.compare_digest(digest, token.digest):
                found = token
        return found

    def begin(self, token: Token) -> str:
        """Open a session; give what the browser keeps."""
        if len(self._sessions) >= SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = secrets.token_urlsafe(32)
        self._sessions[session] = token, time.monotonic() + SESSION_S
        return session

    def end(self, session: str) -> None:
        """Close it."""
        self._sessions.pop(session, None)

    def form_key(self, visitor: Visitor) -> str:
        """Give what a form of *visitor*'s page carries, and no other site can know."""
        return hmac.new(self._key, f"form:{visitor.session}".encode(), hashlib.sha256).hexdigest()

    def is_own_form(self, visitor: Visitor, shown: str) -> bool:
        """Say whether a form came from a page of *visitor*'s."""
        return visitor.is_bearer or hmac.compare_digest(self.form_key(visitor).encode(), shown.encode())


def read_tokens(text: str, source: str) -> list[Token]:
    """Read ``name role token`` lines; a token may stand there as ``sha256:`` and its sum.

    Raises:
        UsageError: A line is none; says which, and never what stands in it.
    """
    found: dict[str, Token] = {}
    for number, line in enumerate(text.replace(";", "\n").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        fault = _fault(words, found)
        if fault:
            raise UsageError(f"{source}, line {number}: {fault}. A line says: NAME viewer|operator|admin TOKEN")
        name, role, secret = words
        hashed = secret.removeprefix(_HASHED)
        digest = bytes.fromhex(hashed) if secret.startswith(_HASHED) else _digest(secret)
        found[name] = Token(name, _ROLES[role], digest)
    return list(found.values())


def load_tokens(path: Path | None, environment: Mapping[str, str]) -> list[Token]:
    """Read the tokens of a file and of ``STREAMS_MONITOR_TOKENS``.

    Raises:
        UsageError: The file can't be read, names nobody, or a line is none.
    """
    given = environment.get("STREAMS_MONITOR_TOKENS", "")
    tokens = read_tokens(given, "STREAMS_MONITOR_TOKENS")
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--tokens {path}: can't be read: {error}") from error
        tokens += read_tokens(text, str(path))
        if not tokens:
            raise UsageError(f"--tokens {path}: names nobody. A line says: NAME viewer|operator|admin TOKEN")
    if given.strip() and not tokens:
        raise UsageError("STREAMS_MONITOR_TOKENS names nobody. It says: NAME viewer|operator|admin TOKEN; ...")
    return tokens


def make_token(name: str, role: Role) -> tuple[str, str]:
    """Make a token; give it, and the line that names it in a file without giving it away."""
    token = secrets.token_urlsafe(32)
    return token, f"{name} {role} {_HASHED}{_digest(token).hex()}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _fault(words: list[str], found: Mapping[str, Token]) -> str:
    if len(words) != len(("name", "role", "token")):
        return f"has {len(words)} words, not three"
    name, role, secret = words
    if not _NAME.fullmatch(name):
        return "the name must be 1 to 64 letters, digits or @._-"
    if name in found:
        return f"{name} is named twice"
    if role not in _ROLES:
        return f"{name} has a role that is none of {', '.join(_ROLES)}"
    if secret.startswith(_HASHED):
        return "" if re.fullmatch(r"[0-9a-fA-F]{64}", secret.removeprefix(_HASHED)) else f"the sum of {name} is none"
    return "" if len(secret) >= _SHORTEST else f"the token of {name} is shorter than {_SHORTEST} characters"


_ROLES: Final[dict[str, Role]] = {role: role for role in get_args(Role)}
