"""The rooms and the arrows between them, the pinned packages, and what must not stand in the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "kapman_metrics", "kapman_wyckoff", "kapman_advice", "kapman_resources", "kapman_assets", "kapman_dashboard",
    "kapman_simulator", "kapman_mcp", "kapman_cli",
)  # fmt: skip
# room -> rooms it may import; everything else is an arrow back up
ALLOWED = {
    "kapman_metrics": set(),
    "kapman_wyckoff": {"kapman_metrics"},
    "kapman_advice": {"kapman_metrics", "kapman_wyckoff"},
    "kapman_resources": {"kapman_metrics", "kapman_advice"},
    "kapman_assets": {"kapman_metrics", "kapman_wyckoff", "kapman_advice", "kapman_resources"},
    "kapman_dashboard": {"kapman_metrics", "kapman_wyckoff", "kapman_advice", "kapman_resources"},
    "kapman_simulator": {"kapman_resources"},
    "kapman_mcp": {"kapman_metrics", "kapman_resources", "kapman_assets", "kapman_dashboard"},
    "kapman_cli": {"kapman_assets", "kapman_resources", "kapman_metrics", "kapman_mcp"},
}
PURE = ("kapman_metrics", "kapman_wyckoff", "kapman_advice")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_downward_only(room: str) -> None:
    strangers = defaultdict(set)
    for path in modules(room):
        for name in imports_of(path):
            top = name.split(".")[0]
            if top in ROOMS and top != room and top not in ALLOWED[room]:
                strangers[str(path.relative_to(ROOT))].add(name)
    assert not strangers


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_know_numpy_and_polars_and_nothing_of_the_world(room: str) -> None:
    for path in modules(room):
        tops = {name.split(".")[0] for name in imports_of(path)}
        foreign = tops - set(sys.stdlib_module_names) - {"numpy", "polars"} - set(ROOMS)
        assert not foreign, f"{path.name} imports {foreign}"
        assert not tops & {"socket", "urllib", "http", "sqlite3", "subprocess", "random"}, path.name


def test_the_product_never_imports_the_simulator() -> None:
    for room in set(ROOMS) - {"kapman_simulator"}:
        for path in modules(room):
            assert not any(name.startswith("kapman_simulator") for name in imports_of(path)), path


def test_the_mcp_room_takes_readings_only_from_the_graph_and_the_dashboard() -> None:
    taken = {name for path in modules("kapman_mcp") for name in imports_of(path)}
    readings = {"kapman_assets.stored_inputs", "kapman_dashboard.queries"}
    assert {n for n in taken if n.startswith(("kapman_assets", "kapman_dashboard"))} == readings
    assert not {n for n in taken if n.split(".")[0] == "dagster"}


def test_the_mcp_sdk_is_known_to_its_room_and_its_client_alone_and_loads_with_no_definition() -> None:
    knowing = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in modules(room)
        if any(name.split(".")[0] in ("mcp", "mcp_types") for name in imports_of(path))
    }
    assert {name for name in knowing if not name.startswith("kapman_mcp/")} == {
        "kapman_resources/metrics/mcp_client.py"
    }
    program = "import sys, kapman_assets.definitions, kapman_cli.main; print('mcp' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert said.stdout.strip() == "False", said.stderr


def test_every_module_says_what_belongs_in_it() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in modules(room)
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_sql_longer_than_a_line_stands_in_the_assets() -> None:
    for path in modules("kapman_assets"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value.strip()
                if re.match(r"(SELECT|INSERT|UPDATE|DELETE|WITH)\s", text):
                    assert len(text) <= 120 and "\n" not in text, f"{path.name}: {text[:60]}"


def test_no_module_of_the_root_is_named_like_a_library() -> None:
    assert {p.name for p in ROOT.glob("*.py")} == set()
    assert not (ROOT / "sql" / "__init__.py").exists()


def requirements(name: str) -> dict[str, list[str]]:
    """package==version -> its hashes."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if match := re.match(r"^([A-Za-z0-9._-]+(?:\[[^\]]*\])?==\S+)", line):
            current = match[1]
            # one package may stand twice, for different Python versions
            found.setdefault(current, [])
        elif match := re.match(r"^\s+--hash=(sha256:[0-9a-f]{64})", line):
            found[current].append(match[1])
    return found


@pytest.mark.parametrize("name", ["run", "dev"])
def test_every_requirement_is_pinned_with_hashes_and_no_index_or_host_is_named(name: str) -> None:
    pins = requirements(name)
    assert len(pins) > 80
    assert all(pins.values()), [pin for pin, hashes in pins.items() if not hashes]
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host|@ ", text)


def test_the_development_lock_holds_exactly_what_runs_and_more() -> None:
    assert set(requirements("run")) <= set(requirements("dev"))


def test_the_locks_answer_to_every_declared_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {re.split(r"[=\[]", pin)[0].lower().replace("_", "-") for pin in requirements("dev")}
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=~! ]", d)[0].lower().replace("_", "-") for d in declared}
    assert names <= pinned


def test_no_tracked_file_names_a_path_of_a_developers_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    marks = re.compile("/(?:ho" + "me|ro" + "ot|Us" + "ers)/[a-z]+/")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".sh", ".sql", ".toml", ".yaml", ".md", ".html", ".css"} and path.is_file():
            assert not marks.search(path.read_text(errors="replace")), name
