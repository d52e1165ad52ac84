"""Where a server of ours listens: which addresses are this machine's alone, and a port claimed before serving.

Does not belong here: what is served, who may ask.
"""

from __future__ import annotations

import errno
import ipaddress
import socket


class CannotListen(SystemExit):
    """The server cannot start. Uncaught it ends the process with its one line on stderr and exit code 1."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, port 0 takes a free one. Raises CannotListen for a port in use or an address not here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # a second server may bind a port that nobody listens on yet: claim it now
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} on {host} is in use: choose another, for example --port {port + 1}"
            ) from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotListen(f"cannot listen on {host} port {port}: {reason}") from error
    return listener


def in_url(host: str) -> str:
    """The host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
