"""The documentation says what the program does: links, commands, settings, codes and examples are checked.

``make docs`` builds it with every warning an error; here its sources are read, so that nothing has to be built.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MADE = {"generated", "_build", "_static"}
PAGES = sorted(p for p in DOCS.rglob("*.md") if not MADE & set(p.relative_to(DOCS).parts))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
named = pytest.mark.parametrize("page", TEXTS, ids=lambda p: str(p.relative_to(ROOT)))

DOCTEST = """
import doctest, json, sys
failed = {}
for name, text in json.load(sys.stdin).items():
    said = []
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    flags = doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS
    doctest.DocTestRunner(optionflags=flags).run(test, out=said.append)
    if said:
        failed[name] = "".join(said)
print(json.dumps(failed))
"""


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Without fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def commands(generate: ModuleType) -> dict[tuple[str, ...], Any]:
    return dict(generate.commands())


@pytest.fixture(scope="module")
def made(generate: ModuleType) -> dict[str, str]:
    return {name: make() for name, make in generate.PAGES.items()}


# --- pages and links --------------------------------------------------------------------------------------------------


def toctree_of(page: Path) -> list[Path]:
    found = []
    for body in blocks(read(page), r"\{toctree\}"):
        for line in body.splitlines():
            if line.strip() and not line.startswith(":"):
                found.append((page.parent / f"{line.strip()}.md").resolve())
    return found


def test_every_page_is_reached_from_the_first() -> None:
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.is_relative_to(DOCS / "generated"):
            continue
        reached.add(page)
        waiting += toctree_of(page)
    assert reached == set(PAGES)


def anchors(text: str) -> set[str]:
    """The names of headings as links write them."""
    titles = re.findall(
        r"^#{1,4} (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def whole(page: Path, made: dict[str, str]) -> str:
    """A page with what it includes."""

    def included(match: re.Match[str]) -> str:
        name = match[1].strip()
        other = (page.parent / name).resolve()
        return made[other.name] if other.parent.name == "generated" else read(other)

    return re.sub(r"^```\{include\} (.+)\n```", included, read(page), flags=re.MULTILINE)


@named
def test_links_lead_somewhere(page: Path, made: dict[str, str]) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(read(page))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if other.is_relative_to(DOCS / "generated" / "catalogue"):
            assert other.stem in {"indicators", "candlesticks", "chart_patterns"}, target
            continue
        assert other.is_file(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(whole(other, made)), f"{page.name} links to {target}"


@named
def test_no_machine_and_no_foreign_content(page: Path) -> None:
    """No path of somebody's machine; nothing is loaded from another host, which a link does not do."""
    text = read(page)
    assert not re.search(r"/(home|Users|work|root)/", text)
    assert not re.search(r"!\[[^\]]*\]\(https?:", text)
    assert not re.search(r"<(script|img|iframe|link)\b", text)


# --- commands and settings --------------------------------------------------------------------------------------------


def quoted_commands(text: str) -> list[str]:
    """`dashtrade …` in consoles, with continued lines, and between backticks."""
    found = []
    for language in ("console", ""):
        for body in blocks(text, language):
            for line in body.replace("\\\n", " ").splitlines():
                words = re.sub(r"^\$ ", "", line.strip())
                match = re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?dashtrade (.*)", words)
                if match and (language == "" or line.startswith("$")):
                    found.append(match[1])
    return found + re.findall(r"`(?:\.venv/bin/)?dashtrade ([a-z][^`]*)`", prose(text))


def check_command(text: str, commands: dict[tuple[str, ...], Any]) -> None:
    words = shlex.split(text, comments=True)
    groups = {key[:length] for key in commands for length in range(1, len(key))}
    for length in range(len(words), 0, -1):
        chosen = tuple(words[:length])
        if chosen in commands:
            break
        if chosen in groups:
            assert length == len(words), f"dashtrade {text}: no such command"
            return
    else:
        pytest.fail(f"dashtrade {text}: no such command")
    options = {name: p for p in commands[chosen].params for name in (*p.opts, *p.secondary_opts)}
    flags = {"--help", "-h"}
    takes = [p for p in commands[chosen].params if p.param_type_name == "argument"]
    given, skip = [], False
    for word in words[length:]:
        if skip:
            skip = False
        elif word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            assert name in options or name in flags, f"dashtrade {text}: no option {name}"
            skip = name in options and not options[name].is_flag and "=" not in word
        else:
            given.append(word)
    assert len(given) <= len(takes) or any(p.nargs == -1 for p in takes), f"dashtrade {text}: too many arguments"


@named
def test_quoted_commands_exist(page: Path, commands: dict[tuple[str, ...], Any]) -> None:
    for text in quoted_commands(read(page)):
        check_command(text, commands)


def test_a_wrong_command_would_be_seen(commands: dict[tuple[str, ...], Any]) -> None:
    for text in ("bot make", "nothing", "bot create --colour red", "version one two"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check_command(text, commands)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    for page in TEXTS:
        for name in re.findall(r"(?:`|\$ |^)make ([a-z-]+)", read(page), re.MULTILINE):
            assert name in targets, f"{page.name}: make {name}"


@named
def test_named_settings_exist(page: Path, generate: ModuleType) -> None:
    known = {row[0] for row in generate.settings_rows()} | {"DASHTRADE_DATABASE_URL", "DASHTRADE_ENCRYPTION_KEY"}
    read_elsewhere = {"DASHTRADE_WEBHOOK_TOKEN"}
    for name in re.findall(r"DASHTRADE_[A-Z_]*[A-Z]", read(page)):
        assert name in known | read_elsewhere, f"{page.name} names {name}"


@named
def test_named_files_of_the_project_exist(page: Path) -> None:
    for name in re.findall(
        r"`((?:dashtrade|webhook|tests|notebooks|migrations|apps|docs)/[\w/.]+)`", prose(read(page))
    ):
        if "/x" not in name and "_build" not in name:  # what is built is not in the tree
            assert (ROOT / name).exists(), f"{page.name} names {name}"


# --- what is made from the program ------------------------------------------------------------------------------------


def test_every_setting_and_command_is_described(made: dict[str, str], commands: dict[tuple[str, ...], Any]) -> None:
    from dashtrade.settings import Settings

    rows = re.findall(r"^\| `([A-Z_]+)` \| [^|]+ \| ([^|]+) \*\([^|]+\)\* \|$", made["settings.md"], re.MULTILINE)
    assert len(rows) == len(Settings.model_fields)
    assert all(len(about.strip()) > 5 for _, about in rows)
    for words, command in commands.items():
        assert f"### dashtrade {' '.join(words)}\n" in made["commands.md"]
        assert command.help, f"dashtrade {' '.join(words)} has no help"


def test_every_typed_error_is_under_troubleshooting(made: dict[str, str]) -> None:
    from dashtrade import errors

    assert "errors.md" in read(DOCS / "troubleshooting.md")
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.DashTradeError):
            row = next(line for line in made["errors.md"].splitlines() if line.startswith(f"| `{name}` |"))
            assert f"`{value.code}`" in row
            assert len(row.split("|")[4].strip()) > 15, f"{name} has no meaning"


def test_every_refusal_of_the_broker_has_a_remedy(made: dict[str, str]) -> None:
    from dashtrade.domain.orders import Refusal

    rows = [line.split("|") for line in made["refusals.md"].splitlines()[2:]]
    assert [row[1].strip() for row in rows] == [f"`{refusal.value}`" for refusal in Refusal]
    assert all(row[2].strip() and row[3].strip() for row in rows)


def test_every_code_that_the_webhook_can_answer_is_listed() -> None:
    """The codes are read from the modules that decide, the limits' from the module of the limits."""
    listed = read(DOCS / "webhook.md") + read(DOCS / "concepts" / "risk.md")
    deciding = [ROOT / "dashtrade" / name for name in ("bots/decide.py", "services/trading.py", "services/signals.py")]
    found = set()
    for path in deciding:
        found |= set(re.findall(r'code="([A-Z_]+)"', read(path)))
        found |= set(re.findall(r'_rejected\(.*?"([A-Z_]{4,})"\s*,?\s*\)', read(path), re.DOTALL))
        found |= set(re.findall(r'body\["code"\] = "([A-Z_]+)"', read(path)))
    found |= set(re.findall(r'"([A-Z_]+)": \d{3}', read(ROOT / "dashtrade/services/alerts_in.py"))) - {
        "DATABASE_UNAVAILABLE"  # answered as UNAVAILABLE
    }
    found |= set(re.findall(r'Breach\(\s*"([A-Z_]+)"', read(ROOT / "dashtrade/bots/risk.py")))
    found |= set(re.findall(r'_error\("([A-Z_]+)"', read(ROOT / "webhook/app.py")))
    assert {"EXPIRED", "NO_PRICE", "TOO_SMALL", "AUTH_ERROR", "MAX_DRAWDOWN", "UNAVAILABLE"} <= found
    assert sorted(code for code in found if f"`{code}`" not in listed) == []


def test_every_route_of_the_webhook_is_listed() -> None:
    text = read(DOCS / "webhook.md")
    routes = re.findall(r'Route\("([^"]+)", [\w.]+, methods=\["([A-Z]+)"\]', read(ROOT / "webhook/app.py"))
    assert len(routes) >= 4
    for path, method in routes:
        assert f"`{method} {re.sub(r'{[^}]+}', 'ID', path)}`" in text, f"{method} {path} is not in webhook.md"


def test_what_tradingview_does_is_told_as_the_program_has_it(made: dict[str, str]) -> None:
    from dashtrade.domain import tradingview
    from dashtrade.strategies.exporters.alert import PLACEHOLDERS
    from webhook.payload import parse_payload

    text = read(DOCS / "tradingview.md")
    assert f"cancels after {tradingview.TIMEOUT_SECONDS:.0f} seconds" in text
    assert f"after {tradingview.RESEND_AFTER_SECONDS:.0f} seconds" in text
    assert tradingview.MOST_SENDS == 4 and "four sends in all" in text
    assert all(address in made["addresses.md"] for address in tradingview.SOURCE_ADDRESSES)
    message = blocks(made["message.md"], "text")[0]
    filled = {"action": "buy", "symbol": "NASDAQ:AAPL", "timeframe": "15", "price": "430.5", "market_position": "long",
              "time": "2026-03-02T14:30:00Z", "prev_market_position": "flat", "position_size": "2"}  # fmt: skip
    for name, placeholder in PLACEHOLDERS.items():
        if name == "symbol":
            message = message.replace(placeholder, filled["symbol"])
        message = message.replace(placeholder, filled[name])
    alert = parse_payload(message.encode()).alert
    assert (alert.symbol, alert.timeframe, alert.target) == ("AAPL", "15 Min", "long")


def test_examples_of_messages_are_taken(generate: ModuleType) -> None:
    """Bodies of alerts in the documentation parse, placeholders filled in."""
    from webhook.payload import parse_payload

    seen = 0
    for page in TEXTS:
        written = [body for body in blocks(read(page), "text") if body.startswith('{"action": "BUY"')]
        for body in [*written, *blocks(read(page), "json")]:
            text = body.replace("{{ticker}}", "AAPL").replace("{{interval}}", "15").replace("{{close}}", "430.5")
            text = text.replace("{{timenow}}", "2026-03-02T14:30:00Z")
            if '"action"' in text and '"signal_id"' not in text:
                assert parse_payload(text.encode()).alert.symbol == "AAPL"
                seen += 1
            else:
                json.loads(text)
    assert seen >= 2


def test_examples_run_and_give_what_is_shown(tmp_path: Path) -> None:
    """All pages' ``pycon`` blocks, in a process of its own, as some add entries to the program's registries."""
    texts = {p.name: "\n".join(blocks(read(p), "pycon")) for p in TEXTS}
    texts = {name: text for name, text in texts.items() if text}
    assert len(texts) >= 7
    done = subprocess.run(
        [sys.executable, "-c", DOCTEST], input=json.dumps(texts), capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "DASHTRADE_DATA_DIR": str(tmp_path / "data")}, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}
