"""
What a program that decides by itself who may log in needs to know.

    def authenticator(login: Login) -> Answer:
        if login.user == "guest":
            return Allow("guest", Permissions(publish=Rules(allow=("public.>",))))
        return NEXT

    pynatsd.Server(authenticator=authenticator)

It is called on threads of its own, several at a time, and may take
`Options.authenticator_timeout`. What it raises is a denial. It must not be `async`.
"""

from dataclasses import dataclass, field
from typing import Final

from pynatsd.options import Permissions


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says of itself, and where it calls from."""

    user: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    name: str
    lang: str
    version: str
    address: str
    port: int
    tls: None = None  # facts about the encryption, once there is one


@dataclass(frozen=True, slots=True)
class Allow:
    """
    Let it in, as *user*.

    *permissions* None: those of `Options.default_permissions`.

    Raises:
        ValueError: these are no text and no `Permissions`.
    """

    user: str
    permissions: Permissions | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.user, str):
            raise ValueError(f"user: must be text, not {type(self.user).__name__}")
        if not isinstance(self.permissions, Permissions | None):
            kind = type(self.permissions).__name__
            raise ValueError(f"permissions: must be Permissions or None, not {kind}")


@dataclass(frozen=True, slots=True)
class Deny:
    """
    Send it away; *reason* is for the log, the client does not hear it.

    Raises:
        ValueError: the reason is no text.
    """

    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):
            kind = type(self.reason).__name__
            raise ValueError(f"reason: must be text, not {kind}")


NEXT: Final = None  # ask the configured users; where there are none, a denial

Answer = Allow | Deny | None
