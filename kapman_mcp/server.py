"""The server: tools over streamable HTTP on loopback; elsewhere only with a token. Host and Origin are always checked.

Does not belong here: what a tool answers (tools).
"""

from __future__ import annotations

import hmac
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import AnyHttpUrl, create_model
from starlette.applications import Starlette

from kapman_mcp import descriptions
from kapman_mcp.reading import ReadOnlyDatabase
from kapman_mcp.tools import Tools
from kapman_resources.database.urls import kapman_url
from kapman_resources.listening import in_url, is_loopback, listen
from kapman_resources.settings import Settings, SettingsError

HOST, PORT = "127.0.0.1", 5001
_LARGEST_REQUEST = 64 * 1024
_SHORTEST_TOKEN = 16
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_EVERYWHERE = ("0.0.0.0", "::")


class _OneToken:
    """The one bearer token there is."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        good = hmac.compare_digest(token.encode(), self._token)
        return AccessToken(token=token, client_id="kapman", scopes=[]) if good else None


def create_app(
    database: ReadOnlyDatabase, *, host: str = HOST, token: str | None = None, names: Sequence[str] = ()
) -> Starlette:
    """The application under /mcp; the database stays the caller's to close.

    With `token` every request must carry it. Host and Origin must be loopback, `host` or one of `names`.
    """
    # no issuer is ever asked: the settings only switch the SDK's own bearer check on
    auth = AuthSettings(issuer_url=AnyHttpUrl("http://localhost"), resource_server_url=None)
    server = MCPServer(
        name="kapman",
        instructions=descriptions.INSTRUCTIONS,
        token_verifier=_OneToken(token) if token else None,
        auth=auth if token else None,
        tools=[_tool(name, function) for name, function in Tools(database).by_name().items()],
        log_level="ERROR",
    )
    return server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        max_request_body_size=_LARGEST_REQUEST,
        transport_security=_security(host, names),
        host=host,
    )


def _tool(name: str, function: Callable[..., CallToolResult]) -> Tool:
    tool = Tool.from_function(
        function,
        name=name,
        description=descriptions.TOOLS[name],
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )
    # a misspelt `session` must not be answered with the newest one
    strict = create_model(
        f"{name}_arguments", __base__=tool.fn_metadata.arg_model, __cls_kwargs__={"extra": "forbid"}
    )
    tool.fn_metadata.arg_model = strict
    tool.parameters = strict.model_json_schema()
    return tool


def _security(host: str, names: Sequence[str]) -> TransportSecuritySettings:
    own = [socket.gethostname()] if host in _EVERYWHERE else [in_url(host)]
    known = sorted({*_LOOPBACK_NAMES, *own, *names})
    hosts = [form for name in known for form in (name, f"{name}:*")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"{scheme}://{form}" for form in hosts for scheme in ("http", "https")],
    )


def required_token(settings: Settings, host: str) -> str | None:
    """The token that requests must carry; raises SettingsError where other machines could ask without one."""
    token = settings.kapman_mcp_token.get_secret_value() if settings.kapman_mcp_token else None
    if is_loopback(host):
        return token
    if token is None:
        raise SettingsError(
            f"KAPMAN_MCP_TOKEN is not set, but --host {host} lets other machines ask: set it, or use --host {HOST}"
        )
    if len(token) < _SHORTEST_TOKEN:
        raise SettingsError(
            f"KAPMAN_MCP_TOKEN can be guessed: on --host {host} it needs at least {_SHORTEST_TOKEN} characters"
        )
    return token


def serve(settings: Settings, host: str = HOST, port: int = PORT, names: Sequence[str] = ()) -> None:
    """Serves the configured database until interrupted; port 0 takes a free one.

    Raises SettingsError without the token that `host` demands, CannotListen for a port in use.
    """
    import uvicorn

    token = required_token(settings, host)
    # the default action ends the process at once, and an embedded PostgreSQL would stay behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    database = ReadOnlyDatabase(kapman_url(settings), max_size=8)
    with listen(host, port) as listener, database:
        app = create_app(database, host=host, token=token, names=names)
        where = f"http://{in_url(host)}:{listener.getsockname()[1]}/mcp"
        print(f"Kapman's metrics over MCP on {where}{', token required' if token else ''}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
