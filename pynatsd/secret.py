"""Comparison of secrets: what is offered against what is configured."""

import logging
import os

log = logging.getLogger("pynatsd")

HASHED_MAX = 72  # bytes of a password that bcrypt looks at


class Sealer:
    """
    Makes and compares seals: HMACs of 32 bytes under a random key of this object.

    Seals of equal length take equally long to compare, and who does not know the key
    cannot choose texts whose seals begin alike.
    """

    def __init__(self) -> None:
        import hmac  # brings OpenSSL, 3.5 MB, which a server without users can save

        self._digest = hmac.digest
        self._compare = hmac.compare_digest
        self._key = os.urandom(32)
        self.nothing = os.urandom(32)  # equal to the seal of no text

    def seal(self, data: bytes) -> bytes:
        return self._digest(self._key, data, "sha256")

    def are_equal(self, seal: bytes, other: bytes) -> bool:
        """In a time that does not depend on what they are."""
        return self._compare(seal, other)


def to_bytes(text: str) -> bytes:
    """*text* as it is compared: UTF-8, whatever is in it."""
    return text.encode("utf-8", "surrogatepass")


def check_bcrypt(secret: str, offered: bytes) -> bool:
    """
    Whether *offered* is the password of the hash *secret*. Takes long, by intention.

    What the library raises is a no: versions differ in what they take for a password.
    """
    try:
        import bcrypt  # on the thread that checks, and only where there are hashes

        return bcrypt.checkpw(offered[:HASHED_MAX], secret.encode())
    except BaseException as error:  # a panic of its Rust code is no Exception
        log.error("Error checking a bcrypt hash: %s", type(error).__name__)
        return False
