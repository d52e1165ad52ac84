"""Every command of `kapman`, thin: read the options, call the room that does it, print, exit honestly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from kapman_cli.console import CliError, fail, out, say, table
from kapman_cli.screen import PlainForm

ROOT = Path(__file__).resolve().parents[1]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Decision support for a swing trader of US equity options: Wyckoff, dealer positioning, honest advice.",
)
portfolio_app = typer.Typer(
    no_args_is_help=True, help="The watchlists: which symbols are analysed and advised."
)
app.add_typer(portfolio_app, name="portfolio")
screen_app = typer.Typer(
    cls=PlainForm,
    no_args_is_help=True,
    help='Screen the market: kapman screen "rsi < 30 and close > sma_200 and rvol > 2". '
    "Options of the plain form: kapman screen find --help.",
)
app.add_typer(screen_app, name="screen")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date like 2026-05-05") from None


Session = Annotated[date | None, typer.Option("--session", parser=_day, metavar="YYYY-MM-DD")]
Only = Annotated[str | None, typer.Option("--only", metavar="ASSET", help="only this table")]
DashboardPort = Annotated[int, typer.Option("--dashboard-port", min=1, max=65535)]
DagsterPort = Annotated[int, typer.Option("--dagster-port", min=1, max=65535)]


@app.command()
def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="end after the pipeline with a summary")
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="folder of recorded bars and chains to replay")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the simulated market")] = 7,
    dashboard_port: DashboardPort = 4000,
    dagster_port: DagsterPort = 3000,
    simulator_port: Annotated[int, typer.Option(help="0: chosen free")] = 0,
) -> None:
    """Run the whole product on a simulated (or recorded) market: no key, no Docker."""
    from kapman_cli.demo import run_demo

    run_demo(headless, data, seed, dashboard_port, dagster_port, simulator_port)


@app.command()
def up(dashboard_port: DashboardPort = 4000, dagster_port: DagsterPort = 3000) -> None:
    """Start database, Dagster and dashboard on your own configuration and stay until Ctrl-C."""
    from kapman_cli.services import serve

    settings = _settings()
    _require_providers(settings)
    _migrated(settings)
    serve(settings, dashboard_port, dagster_port)


@app.command()
def run(session: Session = None, only: Only = None) -> None:
    """Run the daily pipeline for one session (default: the last completed one)."""
    from kapman_assets.launch import require_completed_session, run_sessions
    from kapman_cli.report import print_report
    from kapman_resources import clock

    settings = _settings()
    tables = _tables(only)
    day = require_completed_session(session or clock.last_completed_session())
    _require_providers(settings)
    _migrated(settings)
    report = run_sessions(settings, day, day, tables)
    print_report(report, f"session {day}")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def backfill(
    first: Annotated[date, typer.Option("--from", parser=_day, metavar="YYYY-MM-DD")],
    last: Annotated[date, typer.Option("--to", parser=_day, metavar="YYYY-MM-DD")],
    only: Only = None,
) -> None:
    """Load a range of sessions: bars, chains rebuilt from the option day files, and what follows from both."""
    from kapman_cli.history import run_backfill

    settings = _settings()
    tables = _tables(only)
    _require_providers(settings)
    report = run_backfill(_migrated(settings), settings, first, last, tables)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def status() -> None:
    """What is stored, how fresh it is, which alerts stand."""
    from kapman_cli.report import print_status

    print_status(_migrated(_settings()))


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Check everything Kapman needs, each fault with its exact fix."""
    from kapman_cli.doctor import run_checks

    results = run_checks()
    if as_json:
        print(json.dumps([vars(r) for r in results], indent=2))
    else:
        shown = table("check", "result", "what to do")
        for r in results:
            shown.add_row(
                r.name, "ok" if r.ok else "FAILED" if r.required else "-", r.detail if r.ok else r.fix
            )
        out.print(shown, markup=False)
    if any(r.required and not r.ok for r in results):
        raise typer.Exit(1)


@app.command()
def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what would be applied")] = False,
) -> None:
    """Bring the database to this version's schema."""
    from kapman_resources.database import Database, Migrations
    from kapman_resources.database.urls import ensure_dagster_database, kapman_url

    settings = _settings()
    with Database(kapman_url(settings)) as database:
        migrations = Migrations(database)
        if dry_run:
            pending = [m.name for m in migrations.pending()]
            say("would apply: " + ", ".join(pending) if pending else "nothing to apply")
            return
        applied = migrations.apply()
        ensure_dagster_database(settings)
    say("applied: " + ", ".join(applied) if applied else "the schema is up to date")


@app.command()
def sql(
    statement: str, csv: Annotated[bool, typer.Option("--csv", help="comma separated, NULL as empty")] = False
) -> None:
    """Ask the database one read-only question."""
    from kapman_cli.query import run_query

    run_query(_migrated(_settings()), statement, csv)


@app.command()
def mcp(
    host: Annotated[
        str, typer.Option(help="other than loopback only with KAPMAN_MCP_TOKEN set")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: chosen free")] = 5001,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="further host name that clients use; may be repeated")
    ] = None,
) -> None:
    """Serve Kapman's metrics, snapshots and advice to AI clients over MCP, read only."""
    from kapman_mcp.server import serve

    settings = _settings()
    _migrated(settings).close()
    serve(settings, host, port, name or ())


@app.command()
def indicators(
    bars: Annotated[
        Path,
        typer.Option("--bars", help="columns date, symbol, open, high, low, close, volume; split-adjusted"),
    ],
    destination: Annotated[Path, typer.Option("--out", help="Parquet or CSV file to write")],
    last: Annotated[bool, typer.Option("--last", help="only each symbol's latest bar")] = False,
) -> None:
    """Compute the 84 indicator outputs and the averages for your own bars."""
    from kapman_cli.indicators import run_indicators

    run_indicators(bars, destination, last)


@app.command()
def simulate(
    data: Annotated[
        Path | None, typer.Option("--data", help="folder of recorded data; without it a market is generated")
    ] = None,
    now: Annotated[
        str | None, typer.Option("--now", help="ISO time with zone that the simulator believes in")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="0: chosen free")] = 0,
    seed: Annotated[int, typer.Option(help="of the generated market")] = 7,
) -> None:
    """Serve a market on loopback in the vendor's dialect, for trials and tests."""
    command = [sys.executable, "-m", "kapman_simulator", "--port", str(port), "--seed", str(seed)]
    if data is not None:
        command += ["--data", str(data)]
    if now is None:
        from kapman_resources import clock

        now = clock.now().isoformat() if data is None or os.environ.get("KAPMAN_NOW") else None
    if now is not None:
        command += ["--now", now]
    os.execv(sys.executable, command)  # the simulator is this process from now on, signals included


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    long: Annotated[bool, typer.Option("--long", help="also the long fault and soak runs")] = False,
) -> None:
    """Run the test suite; further arguments go to pytest."""
    arguments = list(context.args)
    if not long:
        arguments = ["-m", "not long", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    raise typer.Exit(subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="which benchmark; `list` names them")] = "list",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per measure")] = False,
) -> None:
    """Measure this machine against what Kapman promises."""
    from benchmarks import registry

    if name == "list":
        for known, what in registry.describe().items():
            say(f"{known:12} {what}")
        return
    if name not in registry.describe():
        fail(f"no benchmark {name!r}: there are {', '.join(registry.describe())}", 2)
    good = True
    for measure in registry.measure(name):
        good &= measure.ok
        if as_json:
            print(json.dumps(vars(measure)), flush=True)
        else:
            verdict = "ok" if measure.ok else "MISSED"
            say(
                f"{measure.name}: {measure.value:g} {measure.unit}, must {measure.must}, {verdict} ({measure.peer})"
            )
    if not good:
        raise typer.Exit(1)


# -- portfolios -------------------------------------------------------------------------------------------------------


@portfolio_app.command("list")
def portfolio_list() -> None:
    """All portfolios with their symbols."""
    from kapman_cli import portfolio

    portfolio.show(_migrated(_settings()))


@portfolio_app.command("create")
def portfolio_create(name: str, description: Annotated[str | None, typer.Option()] = None) -> None:
    """A new, empty portfolio."""
    from kapman_cli import portfolio

    portfolio.create(_migrated(_settings()), name, description)


@portfolio_app.command("add")
def portfolio_add(
    name: str,
    symbols: list[str],
    priority: Annotated[str, typer.Option(help="P1: analysed and advised; P2: analysed")] = "P2",
    track: Annotated[bool, typer.Option("--track", help="accept symbols that have no data yet")] = False,
) -> None:
    """Add symbols; unknown ones are named and left out."""
    from kapman_cli import portfolio

    portfolio.add(_migrated(_settings()), name, symbols, priority, track)


@portfolio_app.command("remove")
def portfolio_remove(name: str, symbols: list[str]) -> None:
    """Take symbols out of a portfolio; their stored data stays."""
    from kapman_cli import portfolio

    portfolio.remove(_migrated(_settings()), name, symbols)


@portfolio_app.command("import")
def portfolio_import(
    file: Annotated[Path, typer.Argument(help="lines of: portfolio,symbol[,priority]")],
    track: Annotated[bool, typer.Option("--track", help="accept symbols that have no data yet")] = False,
) -> None:
    """Read portfolios from a CSV file; all of it or, on a fault, nothing."""
    from kapman_cli import portfolio

    portfolio.import_file(_migrated(_settings()), file, track)


# -- screens ----------------------------------------------------------------------------------------------------------

Screen = Annotated[str, typer.Argument(metavar="SCREEN", help='for example "rsi < 30 and rvol > 2"')]
SortedBy = Annotated[str | None, typer.Option("--sort", metavar="COLUMN[:desc]")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="rows at most; 50 on a terminal")]
CsvFile = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="- is the standard output")]
ParquetFile = Annotated[Path | None, typer.Option("--parquet", metavar="FILE")]


@screen_app.command("find")
def screen_find(
    expression: Screen,
    session: Session = None,
    sort: SortedBy = None,
    limit: Limit = None,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
) -> None:
    """The symbols for which the screen is true; the word find may be left out."""
    from kapman_cli import screen

    screen.find(_migrated(_settings()), expression, screen.Asked(session, sort, limit, csv, parquet))


@screen_app.command("run")
def screen_run(
    name: str,
    session: Session = None,
    sort: SortedBy = None,
    limit: Limit = None,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
) -> None:
    """A saved screen."""
    from kapman_cli import screen

    screen.run(_migrated(_settings()), name, screen.Asked(session, sort, limit, csv, parquet))


@screen_app.command("save")
def screen_save(name: str, expression: Screen, sort: SortedBy = None, limit: Limit = None) -> None:
    """Keep a screen under a name; one of the same name is replaced."""
    from kapman_cli import screen

    screen.save(_migrated(_settings()), name, expression, sort, limit)


@screen_app.command("list")
def screen_list() -> None:
    """The saved screens."""
    from kapman_cli import screen

    screen.show_saved(_migrated(_settings()))


@screen_app.command("delete")
def screen_delete(name: str) -> None:
    """Forget a saved screen."""
    from kapman_cli import screen

    screen.delete(_migrated(_settings()), name)


@screen_app.command("columns")
def screen_columns() -> None:
    """What a screen may speak of."""
    from kapman_cli import screen

    screen.show_columns()


# -- shared -----------------------------------------------------------------------------------------------------------


def _settings():
    from kapman_resources.settings import load_settings

    return load_settings()


def _require_providers(settings) -> None:
    """Refuses before anything starts what a run would only find out in its middle."""
    from kapman_resources.ai import provider_from_settings

    settings.require_market_data_keys()
    provider_from_settings(settings)


def _migrated(settings):
    """The database at this version's schema."""
    from kapman_resources.database import Database, Migrations
    from kapman_resources.database.urls import ensure_dagster_database, kapman_url

    database = Database(kapman_url(settings))
    Migrations(database).apply()
    ensure_dagster_database(settings)
    return database


def _tables(only: str | None) -> list[str] | None:
    from kapman_assets.jobs import DAILY_TABLES, REFERENCE_TABLES

    known = (*DAILY_TABLES, *REFERENCE_TABLES)
    if only is not None and only not in known:
        raise CliError(f"no table {only!r}: there are {', '.join(known)}")
    return [only] if only else None


def main() -> None:
    """Runs the command; a fault that the user can put right is one line, never a traceback."""
    import warnings

    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from kapman_cli.faults import sentence_for

        sentence = sentence_for(error)
        if sentence is None:
            raise
        print(f"kapman: {sentence}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))
