"""People at the dashboards without a browser: they sign in by the form, open pages, and press controls over the
kernel's websocket with the messages a browser sends. One event loop carries all of them."""

from __future__ import annotations

import asyncio
import json
import random
import re
import struct
import time
import uuid
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

PROTOCOL = "v1.kernel.websocket.jupyter.org"
PATIENCE = 60.0  # seconds until an answer counts as missing
LOOK, BELL = 10.0, 15.0  # how often an open page asks for its kernel and for messages, as its scripts do
CLICKS_ON_A_PAGE = 20
TROUBLE = (httpx.HTTPError, OSError, TimeoutError, LookupError, AssertionError, WebSocketException)


@dataclass
class Record:
    """What happened: seconds by path, and errors by path and kind."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    measuring: bool = False

    def took(self, path: str, began: float) -> None:
        if self.measuring:
            self.times[path].append(time.perf_counter() - began)

    def failed(self, path: str, what: object) -> None:
        self.errors[f"{path}: {what}"] += 1


@dataclass(frozen=True)
class Click:
    """A control is set (``value`` or ``index``) or pressed. It is done when a message holds ``shows``, or else when the
    kernel is idle again. ``label`` is the button's text, the field's label, or a symbol box's placeholder."""

    path: str
    label: str
    state: dict[str, Any] | None = None
    shows: str = ""
    first: tuple[Click, ...] = ()


def clicks_of(page: str, number: int) -> Click:
    """The ``number``-th click on this page."""
    if page == "analysis":
        symbol = ("IBM", "AAPL")[number // 2 % 2]
        if number % 2 == 0:
            return Click("analysis: symbol to chart", "AAPL", {"value": symbol}, rf'"title":\s*"{symbol} ')
        return Click("analysis: marks to chart", "Candlestick patterns", {"value": number % 4 == 1}, '"markers":')
    if page == "backtest":
        fast = 5 + number % 10
        typed = Click("", "Fast", {"value": str(fast)})
        return Click("backtest: run to result", "Run backtest", None, rf"fast={fast},", (typed,))
    buttons = {
        "bot": ("Orders", "Signals", "Performance", "Risk", "Overview"),
        "portfolio": ("Scanner", "Accounts and holdings", "Watchlist"),
        "comparison": ("Show sample data", "Correlation", "Risk and return", "Drawdowns", "Ranking", "Normalised"),
        "alerts": ("History", "New alert", "Channels", "Rules"),
    }[page]
    return Click(f"{page}: tab", buttons[number % len(buttons)])


PAGES = {
    "analysis": "analysis?symbol=AAPL&source=sample",
    "backtest": "backtest?symbols=AAPL&source=sample",
    "bot": "bot",
    "portfolio": "portfolio",
    "comparison": "comparison",
    "alerts": "alerts",
}
#: how often a person chooses each page
WEIGHTS = {"analysis": 4, "backtest": 2, "bot": 2, "portfolio": 2, "comparison": 1, "alerts": 1}


def pack(kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None) -> tuple[str, bytes]:
    """Id and bytes of one message on the shell channel."""
    message_id = uuid.uuid4().hex
    header = {"msg_id": message_id, "username": "x", "session": "x", "date": "2026-01-01T00:00:00Z", "msg_type": kind,
              "version": "5.3"}  # fmt: skip
    blocks = [b"shell", *(json.dumps(part).encode() for part in (header, {}, metadata or {}, content))]
    marks = [8 * (len(blocks) + 2)]
    for block in blocks:
        marks.append(marks[-1] + len(block))
    return message_id, struct.pack(f"<{len(marks) + 1}Q", len(marks), *marks) + b"".join(blocks)


class OpenPage:
    """A page with its websocket. ``states`` is comm id → state of each widget when the page was opened."""

    def __init__(self, slug: str, kernel_id: str, connection: ClientConnection) -> None:
        self.slug, self.kernel_id, self.connection = slug, kernel_id, connection
        self.states: dict[str, dict[str, Any]] = {}
        self._idle: dict[str, asyncio.Future[None]] = {}
        self._shows: list[tuple[re.Pattern[bytes], asyncio.Future[None]]] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with suppress(WebSocketException):
            async for raw in self.connection:
                assert isinstance(raw, bytes)
                (count,) = struct.unpack_from("<Q", raw)
                marks = struct.unpack_from(f"<{count}Q", raw, 8)
                header = raw[marks[1] : marks[2]]
                if b'"comm_msg"' in header:
                    self._heard(raw, marks)
                elif b'"status"' in header and b'"idle"' in raw[marks[4] : marks[5]]:
                    asked = json.loads(raw[marks[2] : marks[3]]).get("msg_id", "")
                    if asked in self._idle:
                        self._settle(self._idle.pop(asked))
        for waiting in [*self._idle.values(), *(future for _, future in self._shows)]:
            self._settle(waiting, ConnectionError("the websocket was closed"))

    def _heard(self, raw: bytes, marks: tuple[int, ...]) -> None:
        if not self.states and b'"update_states"' in raw[marks[4] : marks[4] + 200]:
            states = json.loads(raw[marks[4] : marks[5]])["data"]["states"]
            self.states = {key: value["state"] for key, value in states.items()}
        for pattern, future in [each for each in self._shows if each[0].search(raw, marks[4])]:
            self._shows.remove((pattern, future))
            self._settle(future)

    @staticmethod
    def _settle(future: asyncio.Future[None], error: Exception | None = None) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(None)

    async def ask(self, kind: str, content: dict[str, Any], shows: str = "", metadata: dict | None = None) -> None:
        """Send, and wait until the kernel is idle again and what it shows has come."""
        loop = asyncio.get_running_loop()
        message_id, raw = pack(kind, content, metadata)
        waiting = [loop.create_future()]
        self._idle[message_id] = waiting[0]
        if shows:
            waiting.append(loop.create_future())
            self._shows.append((re.compile(shows.encode()), waiting[1]))
        await self.connection.send(raw)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*waiting)
        finally:
            self._idle.pop(message_id, None)
            self._shows = [each for each in self._shows if each[1] not in waiting]

    async def learn(self) -> None:
        """Every widget's state, as a browser asks for it."""
        control = uuid.uuid4().hex
        opening = {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}, "target_module": None}
        await self.ask("comm_open", opening, metadata={"version": "1.0.0"})
        await self.ask("comm_msg", {"comm_id": control, "data": {"method": "request_states"}})
        await self.say_drawn()

    async def say_drawn(self) -> None:
        """What the page's frame tells once it is on the screen: results wait for it."""
        for key, has in self.states.items():
            if "slug" in has and "palette_key" in has:
                data = {"method": "custom", "content": {"type": "drawn"}}
                await self.connection.send(pack("comm_msg", {"comm_id": key, "data": data})[1])

    async def charted(self, symbol: str) -> None:
        """Until a chart with this symbol's bars has come: with the first states, or after them."""
        if any(str(has.get("title", "")).startswith(f"{symbol} ") for has in self.states.values()):
            return
        waiting = asyncio.get_running_loop().create_future()
        self._shows.append((re.compile(rf'"title":\s*"{symbol} '.encode()), waiting))
        async with asyncio.timeout(PATIENCE):
            await waiting

    def find(self, label: str, **state: Any) -> str:
        names = ("description", "placeholder")
        for key, has in self.states.items():
            if any(has.get(name) == label for name in names) and all(has.get(n) == v for n, v in state.items()):
                return key
        raise LookupError(f"{self.slug} has no {label}")

    async def click(self, click: Click) -> None:
        for before in click.first:
            await self.click(before)
        if click.state is None:
            wanted, data = {"_model_name": "ButtonModel"}, {"method": "custom", "content": {"event": "click"}}
        else:
            wanted, data = {}, {"method": "update", "state": click.state, "buffer_paths": []}
        await self.ask("comm_msg", {"comm_id": self.find(click.label, **wanted), "data": data}, click.shows)

    async def close(self) -> None:
        await self.connection.close()
        self._reader.cancel()


class Person:
    """Somebody with an own session, who clicks about every ``pause`` seconds and now and then goes to another page."""

    def __init__(self, url: str, name: str, password: str, record: Record, pause: float, seed: int) -> None:
        self.url, self.name, self.password, self.record, self.pause = url, name, password, record, pause
        self.chance = random.Random(seed)
        self.http = httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False, verify=False)
        self.page: OpenPage | None = None

    async def sign_in(self) -> None:
        began = time.perf_counter()
        form = await self.http.get("login")
        found = re.search(r'name="_xsrf" value="([^"]+)"', form.text)
        assert found, "the sign-in page has no form"
        fields = {"_xsrf": found.group(1), "username": self.name, "password": self.password}
        answer = await self.http.post("login", data=fields)
        if answer.status_code != 303:
            raise ConnectionError(f"signing in was answered with {answer.status_code}")
        self.record.took("sign in", began)

    async def open(self, slug: str) -> OpenPage:
        began = time.perf_counter()
        answer = await self.http.get(PAGES[slug])
        if answer.status_code != 200:
            raise ConnectionError(f"opening a page was answered with {answer.status_code}")
        found = re.search(r'"kernelId":\s*"([0-9a-f-]{36})"', answer.text)
        assert found, "the page has no kernel"
        self.record.took("page: GET", began)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookies.jar)
        address = f"{self.url.replace('http', 'ws', 1)}api/kernels/{found.group(1)}/channels?session_id={uuid.uuid4()}"
        connection = await connect(
            address, additional_headers={"Cookie": cookies}, origin=self.url.rstrip("/"), subprotocols=[PROTOCOL],
            max_size=None, open_timeout=PATIENCE, compression=None, proxy=None,
        )  # fmt: skip
        self.page = OpenPage(slug, found.group(1), connection)
        await self.page.learn()
        self.record.took("page: GET to widgets", began)
        return self.page

    async def leave(self) -> None:
        """As the closing browser tells."""
        if self.page is None:
            return
        page, self.page = self.page, None
        await page.close()
        data = {"_xsrf": self.http.cookies.get("_xsrf", "")}
        answer = await self.http.post(f"voila/api/shutdown/{page.kernel_id}", data=data)
        if answer.status_code not in (204, 404):
            self.record.failed("page: close", answer.status_code)

    def choose(self) -> str:
        return self.chance.choices([*WEIGHTS], [*WEIGHTS.values()])[0]

    async def arrive(self) -> None:
        """Open the first page, to begin there."""
        try:
            await self.open(self.choose())
        except TROUBLE as error:
            self.record.failed("arriving", repr(error)[:150])

    async def visit(self, slug: str, clicks: int) -> None:
        page = self.page if self.page is not None else await self.open(slug)
        slug = page.slug
        for number in range(clicks):
            await asyncio.sleep(self.chance.expovariate(1 / self.pause))
            click = clicks_of(slug, number)
            began = time.perf_counter()
            await page.click(click)
            self.record.took(click.path, began)
        await self.leave()

    async def live(self) -> None:
        """Until cancelled. An error is counted, and the person opens the next page."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                slug = self.choose()
                try:
                    await self.visit(slug, self.chance.randint(CLICKS_ON_A_PAGE // 2, CLICKS_ON_A_PAGE * 3 // 2))
                except TROUBLE as e:
                    self.record.failed(slug, repr(e)[:150])
                    with suppress(httpx.HTTPError, OSError, WebSocketException):
                        await self.leave()
                    await asyncio.sleep(2)
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        """What the scripts of an open page ask for by themselves."""
        asked_bell = 0.0
        while True:
            await asyncio.sleep(LOOK * self.chance.uniform(0.9, 1.1))
            if self.page is None:
                continue
            addresses = [f"api/kernels/{self.page.kernel_id}"]
            if time.monotonic() - asked_bell > BELL:
                asked_bell = time.monotonic()
                addresses.append("api/notifications")
            for address in addresses:
                began = time.perf_counter()
                path = "page: " + ("messages" if address.endswith("s") else "still there?")
                try:
                    answer = await self.http.get(address)
                except httpx.HTTPError as error:
                    self.record.failed(path, type(error).__name__)
                    continue
                self.record.took(path, began)
                if answer.status_code != 200 and not (answer.status_code == 404 and self.page is None):
                    self.record.failed(path, answer.status_code)


class Sweeper(Person):
    """Somebody who sweeps 10,000 combinations on the backtest page again and again."""

    async def live(self) -> None:
        while True:
            try:
                page = await self.open("backtest")
                grid = [
                    ("From", "4", "3"),
                    ("From", "11", "53"),
                    ("To", "14", "52"),
                    ("To", "31", "252"),
                    ("Step", "2", "1"),
                ]
                for label, was, text in grid:
                    key = page.find(label, value=was)
                    update = {"method": "update", "state": {"value": text}, "buffer_paths": []}
                    await page.ask("comm_msg", {"comm_id": key, "data": update})
                    page.states[key]["value"] = text
                upper = page.find("To", value="252")
                for number in range(10**9):
                    update = {"method": "update", "state": {"value": str(252 - number % 2)}, "buffer_paths": []}
                    await page.ask("comm_msg", {"comm_id": upper, "data": update})
                    began = time.perf_counter()
                    await page.click(Click("", "Run sweep", None, "combinations were run"))
                    self.record.took("sweep of 10,000: click to result", began)
                    await asyncio.sleep(self.pause)
            except TROUBLE as error:
                self.record.failed("sweep", repr(error)[:150])
                with suppress(httpx.HTTPError, OSError, WebSocketException):
                    await self.leave()
                await asyncio.sleep(2)
