"""`python -m kapman_simulator`: the simulated vendor as a process of its own.

Arguments, the ready file and the process's end belong here, nothing of the market or the wire.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

# two threads are enough for frames of a few hundred rows, and each more costs memory
os.environ.setdefault("POLARS_MAX_THREADS", "2")

from kapman_resources.calendar import last_completed_session
from kapman_simulator.chains import CONTRACTS
from kapman_simulator.recorded import load_recording
from kapman_simulator.server import API_KEY, S3_KEY_ID, run
from kapman_simulator.source import GeneratedSource, Source


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or the parent's end; 2 for arguments that cannot work."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    try:
        source, now = _source(options)
        run(
            source,
            port=options.port,
            now=now,
            api_key=options.api_key,
            s3_key_id=options.s3_key_id,
            ready=lambda port: _announce(port, source, now, options.ready_file),
            stop_when=_parent_gone(options.parent) if options.parent else None,
        )
    except (OSError, ValueError) as error:
        print(f"kapman_simulator: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kapman_simulator", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--symbols", type=int, default=300)
    parser.add_argument("--contracts-per-symbol", type=int, default=CONTRACTS)
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument(
        "--now", type=_moment, help="ISO time with zone; the simulated clock stands still there"
    )
    parser.add_argument(
        "--ready-file", type=Path, help="gets {port, label, now} as JSON once requests are answered"
    )
    parser.add_argument(
        "--data", type=Path, help="serve this folder's recorded data instead of a generated market"
    )
    parser.add_argument("--parent", type=int, help="end when this process has ended")
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--s3-key-id", default=S3_KEY_ID)
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an ISO time with zone, as in 2026-11-20T04:00:00-05:00"
        )
    return moment


def _source(options: argparse.Namespace) -> tuple[Source, datetime]:
    if options.data is not None:
        recording = load_recording(options.data)
        return recording, options.now or recording.default_now
    now = options.now or datetime.now(UTC)
    last = last_completed_session(now)
    return GeneratedSource(options.seed, last, options.symbols, options.contracts_per_symbol), now


def _announce(port: int, source: Source, now: datetime, ready_file: Path | None) -> None:
    print(f"{source.label} market data at http://127.0.0.1:{port}", flush=True)
    if ready_file is None:
        return
    document = json.dumps({"port": port, "label": source.label, "now": now.isoformat()})
    handle, name = tempfile.mkstemp(dir=ready_file.parent, prefix=".ready-")
    with os.fdopen(handle, "w") as stream:
        stream.write(document)
    os.replace(name, ready_file)


def _parent_gone(parent: int) -> Callable[[], bool]:
    """Whether the given process has ended; being handed to another parent says so before it is reaped."""
    mine = os.getppid() == parent

    def gone() -> bool:
        if mine:
            return os.getppid() != parent
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    return gone


if __name__ == "__main__":
    sys.exit(main())
