"""State and actions of the backtest page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.domain.market import HistoryRequest, Interval, Period, parse_symbol
from dashtrade.domain.strategy import Direction, Rule, Stops, Strategy
from dashtrade.errors import DashTradeError, InvalidInput, SourceUnreachable
from dashtrade.pages.background import Background, inline
from dashtrade.pages.backtest.report import Report, make_report
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import Job, PageModel
from dashtrade.services.backtests import RunRequest, parse_distance, parse_fraction, parse_size

if TYPE_CHECKING:
    from dashtrade.backtest.result import BacktestResult
    from dashtrade.strategies import Preset

OWN = "own"
SAMPLE = "sample"
RULES = {
    "long_entry": "Buy when",
    "long_exit": "Sell when",
    "short_entry": "Sell short when",
    "short_exit": "Cover when",
}
Run = Callable[..., "BacktestResult"]


class BacktestServices:
    """What the page needs done. ``run(request, progress=, cancelled=)`` fetches the bars and runs the backtest."""

    def __init__(
        self,
        *,
        run: Run,
        presets: Mapping[str, Preset],
        parse_rule: Callable[[str], Rule],
        check: Callable[[HistoryRequest, str | None], None],
        sources: Sequence[str],
        remember: Callable[[Mapping[str, str]], None],
    ) -> None:
        self.run, self.presets, self.parse_rule = run, presets, parse_rule
        self.check, self.sources, self.remember = check, tuple(sources), remember


class BacktestModel(PageModel):
    """Texts in, a Report out. ``blockers`` says at every moment why the backtest cannot run."""

    strategy: str = t.Unicode("ema_cross")  # type: ignore[assignment]
    settings: Mapping[str, str] = t.Any({})  # type: ignore[assignment]
    symbols: str = t.Unicode("AAPL")  # type: ignore[assignment]
    period: str = t.Unicode("5y")  # type: ignore[assignment]
    interval: str = t.Unicode("1d")  # type: ignore[assignment]
    source: str = t.Unicode("")  # type: ignore[assignment]
    cash: str = t.Unicode("10000")  # type: ignore[assignment]
    size: str = t.Unicode("100%")  # type: ignore[assignment]
    direction: str = t.Unicode(Direction.LONG_ONLY.value)  # type: ignore[assignment]
    commission: str = t.Unicode("0")  # type: ignore[assignment]
    slippage: str = t.Unicode("")  # type: ignore[assignment]
    stop: str = t.Unicode("")  # type: ignore[assignment]
    target: str = t.Unicode("")  # type: ignore[assignment]
    trail: str = t.Unicode("")  # type: ignore[assignment]
    long_entry: str = t.Unicode("ema(9) crosses above ema(21)")  # type: ignore[assignment]
    long_exit: str = t.Unicode("ema(9) crosses below ema(21)")  # type: ignore[assignment]
    short_entry: str = t.Unicode("")  # type: ignore[assignment]
    short_exit: str = t.Unicode("")  # type: ignore[assignment]
    report: Report | None = t.Instance(Report, allow_none=True)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    periods = tuple(p.value for p in Period)
    intervals = tuple(i.value for i in Interval)
    directions = tuple(d.value for d in Direction)
    inputs = (
        "strategy", "symbols", "period", "interval", "source", "cash", "size", "direction", "commission", "slippage",
        "stop", "target", "trail", *RULES,
    )  # fmt: skip

    def __init__(self, services: BacktestServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._restoring = False
        super().__init__(background=background, **traits)
        self.observe(self._on_input, [*self.inputs, "settings"])
        self._block()

    @property
    def sources(self) -> tuple[str, ...]:
        return ("", *self._services.sources)

    @property
    def strategies(self) -> dict[str, str]:
        """Key → label of every preset, and of the user's own rules."""
        return {key: p.label for key, p in self._services.presets.items()} | {OWN: "Own rules"}

    @property
    def preset(self) -> Preset | None:
        return None if self.strategy == OWN else self._services.presets[self.strategy]

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes the values of a query or of the last visit; what is wrong with them shows as a blocker."""
        self._restoring = True
        for name in self.inputs:
            if name in values:
                setattr(self, name, values[name])
        known = (
            {p.name for p in self.preset.params} if self.strategy in self._services.presets and self.preset else set()
        )
        self.settings = {n.removeprefix("set_"): v for n, v in values.items() if n.removeprefix("set_") in known}
        self._restoring = False
        self._block()

    def run(self) -> None:
        """Fetches and runs off the event loop; the report comes when it is done."""
        self._block()
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return
        request = self._request()

        def work(job: Job) -> Report:
            result = self._services.run(request, progress=job.report, cancelled=job.cancelled)
            return make_report(result)

        self.in_background(work, self._done, label="Starting…", failed=self._failed)

    def use_sample(self) -> None:
        """The remedy offered when no source can be reached."""
        self.source = SAMPLE
        self.run()

    def _request(self) -> RunRequest:
        symbols = tuple(dict.fromkeys(parse_symbol(s) for s in self.symbols.replace(",", " ").split()))
        if not symbols:
            raise InvalidInput("symbols", "give at least one, such as AAPL.")
        for name, allowed in (("source", self.sources), ("direction", self.directions)):
            if getattr(self, name) not in allowed:
                raise InvalidInput(name, f"{getattr(self, name)[:40]!r} is not known.", allowed=filter(None, allowed))
        self._services.check(HistoryRequest.parse(symbols[0], self.interval, self.period), self.source or None)
        distances: dict[str, float] = {}
        for text, name in ((self.stop, "loss"), (self.target, "profit"), (self.trail, "trail")):
            distances |= parse_distance(text.strip() or None, name)
        strategy, settings = self._strategy()
        return RunRequest(
            strategy,
            symbols,
            period=self.period,
            interval=self.interval,
            source=self.source or None,
            settings=settings,
            cash=_amount(self.cash),
            size=parse_size(self.size),
            costs=self._costs(),
            stops=Stops(**distances) if distances else None,  # type: ignore[arg-type]
            direction=self.direction,
        )

    def _costs(self) -> Any:
        from dashtrade.backtest.request import Costs

        slippage = parse_fraction(self.slippage, "slippage") if self.slippage.strip() else None
        return Costs(commission=parse_fraction(self.commission or "0", "commission"), slippage=slippage)

    def _strategy(self) -> tuple[Strategy | str, tuple[tuple[str, float], ...]]:
        if self.strategy == OWN:
            rules: dict[str, Any] = {}
            for name, label in RULES.items():
                text = getattr(self, name).strip()
                try:
                    rules[name] = self._services.parse_rule(text) if text else None
                except InvalidInput as error:
                    raise InvalidInput(label, sentence(error)) from None
            return Strategy(name="own rules", **rules), ()
        if self.strategy not in self._services.presets:
            raise InvalidInput("strategy", f"{self.strategy[:40]!r} is not known.", allowed=self.strategies)
        preset = self._services.presets[self.strategy]
        values = preset.values(dict(self.settings))
        needed = {"long_only": preset.long_entry, "short_only": preset.short_entry}
        if not needed.get(self.direction, "any"):
            raise InvalidInput("direction", f"{preset.label} has no entry for {self.direction.replace('_', ' ')}.")
        return self.strategy, tuple(values.items())

    def _on_input(self, change: Any) -> None:
        if self._restoring:
            return
        if change["name"] == "strategy":
            self.settings = {}
        self._block()

    def _block(self) -> None:
        try:
            self._request()
        except DashTradeError as error:
            self.blockers = (sentence(error),)
        else:
            self.blockers = ()

    def _done(self, report: Report) -> None:
        self.report = report
        self.say(None)
        own = self.strategy == OWN
        values = {name: getattr(self, name) for name in self.inputs if own or name not in RULES}
        defaults = {name: type(self).class_traits()[name].default_value for name in values}
        always = {"strategy", "symbols", "period", "interval", "source"}
        kept = {n: v for n, v in values.items() if n in always or v != defaults[n]}
        self.query = kept | {f"set_{n}": str(v) for n, v in self.settings.items()}
        self.attempt(self._services.remember, dict(self.query))

    def _failed(self, error: Exception) -> None:
        message = describe(error)
        if isinstance(error, SourceUnreachable) and self.source != SAMPLE:
            message = Message(message.kind, message.text, "use_sample", "Use sample data")
        self.say(message)


def _amount(text: str) -> float:
    try:
        value = float(text.replace(",", "").replace("_", "").strip().removeprefix("$"))
    except ValueError:
        raise InvalidInput("capital", f"{text[:40]!r} is not an amount of money, such as 10000.") from None
    if not 0 < value < 1e12:
        raise InvalidInput("capital", "use an amount above 0 and below a trillion.")
    return value
