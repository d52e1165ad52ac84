"""`python -m kapman_dashboard --port N`."""

from __future__ import annotations

import argparse
import signal
import sys

from kapman_dashboard.app import HOST, PORT, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kapman_dashboard", description="Kapman's pages and API.")
    parser.add_argument("--host", default=HOST, help="loopback address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="port, 0 for a free one (default %(default)s)")
    chosen = parser.parse_args()
    # the default action ends the process at once, and an embedded PostgreSQL would stay behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    run(chosen.host, chosen.port)


if __name__ == "__main__":
    main()
