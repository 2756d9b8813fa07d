"""What the menu lists, who may open it, and how light the list is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import dashtrade.pages
from dashtrade.domain.users import Role
from dashtrade.errors import AuthFailed, Forbidden, UnknownOption
from dashtrade.pages import PAGES, PageContext, menu
from dashtrade.pages.context import parse_query
from dashtrade.pages.opening import build

ROOT = Path(dashtrade.pages.__file__).parents[2]
FOLDERS = sorted(f.parent for f in (ROOT / "dashtrade" / "pages").glob("*/page.py"))
HEAVY = "('ipywidgets', 'bqplot', 'anywidget', 'IPython', 'pandas', 'sqlalchemy', 'talib')"


def modules_after(statement: str, names: str) -> list[str]:
    code = f"import sys\n{statement}\nprint(*[m for m in {names} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()


def test_listing_pages_loads_no_heavy_library() -> None:
    assert modules_after("from dashtrade.pages import PAGES; assert PAGES", HEAVY) == []


def test_models_load_no_widget_library() -> None:
    models = "\n".join(f"import dashtrade.pages.{f.name}.model" for f in FOLDERS if (f / "model.py").exists())
    assert modules_after(models, "('ipywidgets', 'bqplot', 'anywidget', 'IPython')") == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_views_reach_no_service(folder: Path) -> None:
    forbidden = ("dashtrade.services", "dashtrade.bootstrap", "dashtrade.db", "dashtrade.data")
    imported = set()
    for node in ast.walk(ast.parse((folder / "view.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    assert not [name for name in imported if name.startswith(forbidden)]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_a_package_of_a_page_holds_only_a_docstring(folder: Path) -> None:
    body = ast.parse((folder / "__init__.py").read_text()).body
    assert [type(node) for node in body] == [ast.Expr]


def test_every_page_has_its_two_line_notebook_with_equal_metadata() -> None:
    notebooks = {f.stem: json.loads(f.read_text()) for f in (ROOT / "apps").glob("*.ipynb")}
    assert set(notebooks) == set(PAGES)
    for slug, notebook in notebooks.items():
        [cell] = notebook["cells"]
        source = "".join(cell["source"]).splitlines()
        assert source == ["from dashtrade.pages import open_page", f'open_page("{slug}")']
        assert cell["outputs"] == [] and cell["execution_count"] is None
        page = PAGES[slug]
        declared = {"title": page.title, "role": page.role.value, "order": page.order}
        assert notebook["metadata"]["dashtrade"] == declared


def test_the_menu_is_sorted_and_holds_only_what_the_role_may_open() -> None:
    assert [p.order for p in menu(Role.SUPERADMIN)] == sorted(p.order for p in PAGES.values())
    assert all(p.role is Role.USER for p in menu(Role.USER))
    assert set(menu(Role.USER)) <= set(menu(Role.ADMIN))


def test_every_page_says_how_it_works() -> None:
    assert all(len(page.help) > 40 and page.title for page in PAGES.values())


def test_a_page_is_refused_below_its_role(monkeypatch: pytest.MonkeyPatch) -> None:
    from dashtrade.pages.registry import Page

    opened: list[str] = []
    secret = Page("secret", "Secret", Role.ADMIN, 1, "", "", lambda context: opened.append(context.username))
    monkeypatch.setitem(PAGES._entries, "secret", secret)
    with pytest.raises(Forbidden, match="role admin"):
        build("secret", PageContext(1, "ada", Role.USER))
    build("secret", PageContext(2, "grace", Role.SUPERADMIN))
    assert opened == ["grace"]


def test_an_unknown_page_lists_the_pages() -> None:
    with pytest.raises(UnknownOption, match="analysis"):
        build("nope", PageContext(1, "ada", Role.USER))


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"DASHTRADE_USER_ID": "1"},
        {"DASHTRADE_USER_ID": "x", "DASHTRADE_ROLE": "user"},
        {"DASHTRADE_USER_ID": "1", "DASHTRADE_ROLE": "god"},
    ],
)
def test_nobody_opens_a_page_without_a_user_and_a_role(environ: dict[str, str]) -> None:
    with pytest.raises(AuthFailed):
        PageContext.from_environment(environ)


def test_the_query_is_read_once_and_cut() -> None:
    query = parse_query("?symbol=AAPL&symbol=MSFT&empty=&long=" + "x" * 5000)
    assert query["symbol"] == "AAPL"
    assert len(query["long"]) == 2000
    assert "empty" not in query
    context = PageContext.from_environment(
        {"DASHTRADE_USER_ID": "7", "DASHTRADE_ROLE": "admin", "QUERY_STRING": "a=1%20b"}
    )
    assert (context.user_id, context.role, dict(context.query)) == (7, Role.ADMIN, {"a": "1 b"})
