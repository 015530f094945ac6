"""Embed a server with the options in argv[1] (JSON), until SIGTERM.

For tests that need an option without a flag and a process whose memory, descriptors
and CPU time are the server's alone.
"""

import json
import signal
import sys

import pynatsd

STOP = {signal.SIGTERM, signal.SIGINT}

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    options = {"host": "127.0.0.1", "port": 0, **json.loads(sys.argv[1])}
    with pynatsd.Server(**options) as server:
        place = f"127.0.0.1:{server.port}"
        print(f"Listening for client connections on {place}", file=sys.stderr)
        print("Server is ready", file=sys.stderr, flush=True)
        signal.sigwait(STOP)
