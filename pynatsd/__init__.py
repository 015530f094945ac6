"""
pynatsd: a NATS server in a Python process.

    with pynatsd.Server(port=0) as server:
        print(server.url)
"""

import logging

from pynatsd._version import VERSION as __version__
from pynatsd.core import CoreError, Stats
from pynatsd.options import Options
from pynatsd.server import ListenError, Server

__all__ = ["CoreError", "ListenError", "Options", "Server", "Stats", "__version__"]

# Without this, logging prints the errors of our clients in programs that embed us.
logging.getLogger("pynatsd").addHandler(logging.NullHandler())
