"""
pynatsd: a NATS server in a Python process.

    with pynatsd.Server(port=0) as server:
        print(server.url)
"""

import logging

from pynatsd._version import VERSION as __version__
from pynatsd.authenticator import NEXT, Allow, Deny, Login
from pynatsd.core import CoreError, Stats
from pynatsd.net import ListenError
from pynatsd.options import Options, Permissions, Rules, User
from pynatsd.reload import ReloadError
from pynatsd.server import Server

__all__ = [
    "NEXT",
    "Allow",
    "CoreError",
    "Deny",
    "ListenError",
    "Login",
    "Options",
    "Permissions",
    "ReloadError",
    "Rules",
    "Server",
    "Stats",
    "User",
    "__version__",
]

# Without this, logging prints the errors of our clients in programs that embed us.
logging.getLogger("pynatsd").addHandler(logging.NullHandler())
