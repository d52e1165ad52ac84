"""One loopback port that speaks the vendor's S3 and REST dialects, and the control behind it.

Assembling the application, the control and the server's life belong here; what an answer looks like belongs to
flatfiles and the rest modules, what goes wrong with any answer to front.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from kapman_simulator import flatfiles, rest, rest_chains, rest_history, rest_reference
from kapman_simulator.front import Front
from kapman_simulator.paging import reply
from kapman_simulator.simulation import Simulation
from kapman_simulator.source import Source

API_KEY, S3_KEY_ID, S3_SECRET = "simulated-key", "simulated", "simulated-secret"


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    now: datetime


def application(simulation: Simulation) -> ASGIApp:
    """The whole vendor as an ASGI application."""
    routes = [
        *flatfiles.routes(simulation),
        *rest.routes(simulation),
        *rest_reference.routes(simulation),
        *rest_chains.routes(simulation),
        *rest_history.routes(simulation),
        *_control(simulation),
    ]
    return Front(Starlette(routes=routes, exception_handlers={404: _not_found}), simulation)


async def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse("404 page not found", 404)


# --- control ------------------------------------------------------------------------------------------------


def _control(simulation: Simulation) -> list[Route]:
    async def show(request: Request) -> Response:
        return _local(request) or reply(_state(simulation))

    async def clock(request: Request) -> Response:
        if refusal := _local(request):
            return refusal
        try:
            simulation.move_to(msgspec.json.decode(await request.body(), type=_Clock).now)
        except (ValueError, msgspec.MsgspecError) as error:
            wanted = 'send {"now": "2026-11-20T04:00:00-05:00"}'
            return reply({"error": f"{error}; {wanted}"}, 400)
        return reply(_state(simulation))

    async def faults(request: Request) -> Response:
        if refusal := _local(request):
            return refusal
        if request.method == "POST":
            try:
                simulation.faults.set(await request.body())
            except msgspec.MsgspecError as error:
                return reply({"error": str(error)}, 400)
        return reply(simulation.faults.plan)

    return [
        Route("/simulator", show, methods=["GET"]),
        Route("/simulator/clock", clock, methods=["POST"]),
        Route("/simulator/faults", faults, methods=["GET", "POST"]),
    ]


def _local(request: Request) -> Response | None:
    """Refuse control to anything but this machine, a web page under another name included."""
    host = (request.url.hostname or "").strip("[]")
    client = request.client.host if request.client else ""
    if _is_loopback(client) and _is_loopback(host):
        return None
    return reply({"error": "the simulator is controlled from its own machine only"}, 403)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _state(simulation: Simulation) -> dict[str, object]:
    source = simulation.source
    sessions = source.sessions
    return {
        "label": source.label,
        "now": simulation.now.isoformat(),
        "session": simulation.session.isoformat(),
        "first_session": sessions[0].isoformat() if sessions else None,
        "last_session": min(sessions[-1], simulation.session).isoformat() if sessions else None,
        "chain_symbols": source.chain_symbols(simulation.session),
        "seed": source.seed,
        "notes": list(getattr(source, "notes", [])),
    }


# --- life ---------------------------------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """Uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _listen(host: str, port: int) -> socket.socket:
    if not _is_loopback(host):
        raise ValueError(
            f"host {host!r} is not a loopback address: the simulated vendor never leaves this machine"
        )
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"port {port} on {host} is not free ({error.strerror}): choose another, or 0 for any"
        ) from error
    return listener


def _server(simulation: Simulation, ready: Callable[[], None]) -> _Server:
    # a fault plan breaks connections on purpose; uvicorn would log each of them as an error
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        application(simulation),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=0,
        timeout_keep_alive=60,
    )
    return _Server(config, ready)


def run(
    source: Source,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    now: datetime | None = None,
    api_key: str = API_KEY,
    s3_key_id: str = S3_KEY_ID,
    ready: Callable[[int], None] = lambda port: None,
    stop_when: Callable[[], bool] | None = None,
) -> None:
    """Serve `source` until SIGTERM or SIGINT; `ready` is called with the port once requests are answered.

    `now` is the simulated clock (the source's own default when None). `stop_when` is asked twice a second.
    Raises ValueError for a host that is not loopback or a time without zone, OSError when the port is taken.
    """
    simulation = Simulation(source, now or source.default_now, api_key, s3_key_id)
    listener = _listen(host, port)
    server = _server(simulation, lambda: ready(listener.getsockname()[1]))
    if stop_when is not None:
        threading.Thread(target=_watch, args=(server, stop_when), daemon=True).start()
    server.run(sockets=[listener])


def _watch(server: uvicorn.Server, stop_when: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not stop_when():
        pause.wait(0.5)
    server.should_exit = True


@dataclass(frozen=True)
class Serving:
    """A simulated vendor in a thread of this process: its address, and its insides for a test to move."""

    url: str
    port: int
    simulation: Simulation
    api_key: str
    s3_key_id: str
    s3_secret: str


@contextmanager
def serving(
    source: Source,
    *,
    now: datetime | None = None,
    api_key: str = API_KEY,
    s3_key_id: str = S3_KEY_ID,
) -> Iterator[Serving]:
    """The vendor on a free loopback port for the length of a with block, for tests and benchmarks."""
    simulation = Simulation(source, now or source.default_now, api_key, s3_key_id)
    listener = _listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    up = threading.Event()
    server = _server(simulation, up.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    if not up.wait(20):
        raise TimeoutError("the simulated vendor did not start within 20 s")
    try:
        yield Serving(f"http://127.0.0.1:{port}", port, simulation, api_key, s3_key_id, S3_SECRET)
    finally:
        server.should_exit = True
        thread.join(5)
