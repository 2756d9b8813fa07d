"""State and actions of the alerts page. Services come in as callables that know the user; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import traitlets as t

from dashtrade.domain.alerts import AGAIN, AlertRule, NewAlert
from dashtrade.domain.market import Quote
from dashtrade.errors import DashTradeError, InvalidInput, NotFound
from dashtrade.pages.alerts import drafts
from dashtrade.pages.alerts.kinds import Kind, parse_values
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import PageModel

TABS = {"rules": "Rules", "new": "New alert", "history": "History", "channels": "Channels"}


@dataclass(frozen=True, slots=True)
class AlertsServices:
    """What the page needs done, for the signed-in user. ``told`` gives the history with its messages, ``quotes`` the
    latest prices of symbols at a source, ``past`` what a rule would have told."""

    list_alerts: Callable[[], Sequence[AlertRule]]
    add: Callable[[NewAlert], AlertRule]
    update: Callable[[int, NewAlert], AlertRule]
    remove: Callable[[int], None]
    set_active: Callable[[int, bool], AlertRule]
    trigger: Callable[[int], Any]
    check: Callable[[NewAlert], NewAlert]
    told: Callable[[], Sequence[Any]]
    problems: Callable[[], Mapping[tuple[str, str, str], str]]
    quotes: Callable[[Sequence[str], str | None], Mapping[str, Quote]]
    watchlist: Callable[[], Sequence[str]]
    past: Callable[..., Sequence[Any]]
    list_channels: Callable[[], Sequence[Any]]
    add_channel: Callable[..., Any]
    update_channel: Callable[..., Any]
    remove_channel: Callable[[int], None]
    test_channel: Callable[[int], int]
    list_deliveries: Callable[[], Sequence[Any]]
    retry: Callable[[int], None]
    remember: Callable[[Mapping[str, str]], None]
    kinds: Mapping[str, Kind]
    sources: Sequence[str]
    lists: Callable[[], Mapping[str, tuple[str, ...]]] = dict


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the tables show, read at one moment; ``quotes`` by source and symbol."""

    rules: tuple[AlertRule, ...] = ()
    told: tuple[Any, ...] = ()
    channels: tuple[Any, ...] = ()
    deliveries: tuple[Any, ...] = ()
    problems: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    watched: tuple[str, ...] = ()
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    quotes: Mapping[tuple[str, str], Quote] = field(default_factory=dict)


class AlertsModel(PageModel):
    """The rules with their form, the history, the channels. ``draft`` is what the form holds, as text; ``editing`` the
    number of the rule that it changes, 0 for a new one; ``past`` what the draft would have told."""

    tab: str = t.Unicode("rules")  # type: ignore[assignment]
    overview: Overview = t.Any(Overview())  # type: ignore[assignment]
    loaded: bool = t.Bool(False)  # type: ignore[assignment]
    draft: Mapping[str, str] = t.Any({})  # type: ignore[assignment]
    editing: int = t.Int(0)  # type: ignore[assignment]
    spoken: str = t.Unicode("")  # type: ignore[assignment]
    past: tuple[Any, ...] | None = t.Any(None)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(self, services: AlertsServices, *, background: Background = inline, **traits: Any) -> None:
        self._services = services
        self._reading = self._troubled = False
        self.zone = "UTC"
        super().__init__(background=background, **traits)
        self.set_draft({})

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return self._services.kinds

    @property
    def sources(self) -> tuple[str, ...]:
        return ("", *self._services.sources)

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes a query or the last visit; fields of the form open it, filled in."""
        given = drafts.usable(values, self.kinds)
        problem = None
        if given.get("type", drafts.EMPTY["type"]) not in self.kinds:
            problem = InvalidInput("type", f"{given['type'][:40]!r} is not known.", allowed=tuple(self.kinds))
            given.pop("type")
        for name, allowed in (("source", self.sources), ("frequency", tuple(drafts.FREQUENCIES))):
            if given.get(name, "") not in ("", *allowed):
                problem = problem or InvalidInput(name, f"{given[name][:40]!r} is not known.", allowed=allowed)
                given.pop(name)
        self.set_draft(given)
        tab = values.get("tab", "new" if given else "rules")
        if tab in TABS:
            self.tab = tab
        else:
            problem = problem or InvalidInput("tab", f"{tab[:40]!r} is not known.", allowed=tuple(TABS))
        if problem is not None:
            self.say(describe(problem))

    # ------------------------------------------------------------------ reading

    def refresh(self) -> None:
        """Reads everything off the event loop; skipped while a read is under way, a failure is said once."""
        if self._reading:
            return
        self._reading = True

        def done(outcome: Any) -> None:
            self._reading = False
            if outcome.error is None:
                if self._troubled:
                    self.say(Message("success", "Connected again."))
                named = self.overview.channels != outcome.value.channels
                self._troubled, self.overview, self.loaded = False, outcome.value, True
                if named:  # the sentence names channels
                    self.set_draft(self.draft)
            elif not self._troubled:
                self._troubled = True
                self.say(describe(outcome.error))

        self._background(lambda _post: self._read(), self.guard(done))

    def _read(self) -> Overview:
        s = self._services
        told = tuple(s.told())
        return Overview(
            tuple(s.list_alerts()),
            told,
            tuple(s.list_channels()),
            tuple(s.list_deliveries()),
            s.problems(),
            tuple(s.watchlist()),
            dict(s.lists()),
            self._prices(told),
        )

    def _prices(self, told: Sequence[Any]) -> dict[tuple[str, str], Quote]:
        """Latest prices of what was told; a source that fails leaves its symbols out."""
        wanted: dict[str, dict[str, None]] = {}
        for each in told:
            if each.close is not None:
                wanted.setdefault(each.source, {})[each.event.symbol] = None
        found: dict[tuple[str, str], Quote] = {}
        for source, symbols in wanted.items():
            try:
                quotes = self._services.quotes(list(symbols)[:50], source or None)
            except DashTradeError:
                continue
            found.update({(source, symbol): quote for symbol, quote in quotes.items()})
        return found

    # ------------------------------------------------------------------ the form

    def set_draft(self, raw: Mapping[str, str]) -> None:
        """What the form holds now; says in words what the rule does, or why it cannot be saved."""
        draft = drafts.with_defaults({**{k: v for k, v in raw.items() if v is not None}}, self.kinds)
        changed = draft != self.draft
        self.draft = draft
        if changed:
            self.past = None
        try:
            self.spoken = self.words(self._rule())
            self.blockers = ()
        except DashTradeError as error:
            self.spoken, self.blockers = "", (sentence(error),)
        self._write_query()

    def _rule(self) -> NewAlert:
        return self._services.check(drafts.to_rule(self.draft, self.kinds, self.zone))

    def words(self, new: NewAlert) -> str:
        kind = self.kinds[new.kind]
        what = kind.words(parse_values(kind, self.draft))
        everything = f"every symbol of the list {new.within}" if new.within else "every symbol of the watchlist"
        who = everything if new.symbol is None else new.symbol
        said = [f"{who[:1].upper()}{who[1:]}: {what}, on {drafts.BARS[new.interval]} bars.",
                f"{drafts.SPOKEN[new.frequency]}."]  # fmt: skip
        if new.cooldown:
            said.append(f"At least {drafts.span_text(new.cooldown)} between two bars it tells about.")
        if new.channels is not None:
            said.append(f"Told in the program{self._through(new.channels)}.")
        if new.expires_at is not None:
            said.append(f"Watches until the end of {self.draft['expires']}.")
        return " ".join(said)

    def _through(self, channels: Sequence[int]) -> str:
        names = {c.id: c.name for c in self.overview.channels}
        told = [names.get(number, "a channel that is gone") for number in channels]
        return f" and through {', '.join(told)}" if told else " alone"

    def clear(self) -> None:
        self.editing = 0
        self.set_draft({})
        self.say(None)

    def save(self) -> None:
        """Adds the rule, or changes the one that is edited."""
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return
        new = self._rule()
        if self.editing:
            rule = self._services.update(self.editing, new)
            said = f"Changed: {rule.symbol}, {self.spoken}"
        else:
            self._services.add(new)
            said = f"Saved. {self.spoken}"
        if new.symbol is None and not self._services.lists().get(new.within, self.overview.watched):
            said += " The watchlist is empty: add symbols to it on the portfolio page."
        self.editing = 0
        self.set_draft({})
        self.tab = "rules"
        self.say(Message("success", said))
        self.refresh()

    def preview(self) -> None:
        """Tries the draft on the last year's bars, off the event loop; it can be cancelled."""
        if self.blockers:
            self.say(Message("warning", " ".join(self.blockers)))
            return
        new = self._rule()
        listed = self._services.lists().get(new.within, ()) if new.within else self._services.watchlist()
        symbols = list(listed) if new.symbol is None else [new.symbol]
        if not symbols:
            self.say(Message("warning", "The watchlist is empty. Add symbols to it on the portfolio page."))
            return
        self.in_background(
            lambda job: self._services.past(new, symbols, progress=job.report, cancelled=job.cancelled),
            self._previewed,
            label="Looking at the last year…",
        )

    def _previewed(self, found: Sequence[Any]) -> None:
        self.past = tuple(found)
        self.say(None)

    # ------------------------------------------------------------------ rows

    def rule_action(self, name: str, row: str) -> None:
        rule = next((r for r in self.overview.rules if str(r.id) == row), None)
        if rule is None:
            raise NotFound("This alert is gone. It was deleted somewhere else.")
        if name in ("on", "off"):
            self._services.set_active(rule.id, name == "on")
        elif name == "delete":
            self._services.remove(rule.id)
            if self.editing == rule.id:
                self.clear()
            self.say(Message("success", "Deleted, with its history."))
        elif name == "test":
            self._services.trigger(rule.id)
            self.say(Message("success", "A test was told: see the bell, the history, and your channels."))
        elif name in ("edit", "copy"):
            filled = drafts.from_rule(rule, self.kinds, self.zone)
            self.editing = rule.id if name == "edit" else 0
            self.set_draft(filled)
            self.tab = "new"
            self.say(None)
            return
        else:
            raise InvalidInput("action", f"{name!r} is not known.")
        self.refresh()

    def told_action(self, name: str, row: str) -> None:
        """Sends again what was given up, or is in doubt, of one event."""
        told = next((each for each in self.overview.told if str(each.event.id) == row), None)
        failed = [sent.id for sent in told.sent if sent.state in AGAIN] if told is not None else []
        if name != "again" or not failed:
            raise InvalidInput("action", "there is nothing to send again.")
        for number in failed:
            self._services.retry(number)
        self.say(Message("success", "Queued again. It is sent as soon as the jobs worker is free."))
        self.refresh()

    def delivery_action(self, name: str, row: str) -> None:
        if name != "again":
            raise InvalidInput("action", f"{name!r} is not known.")
        self._services.retry(int(row))
        self.say(Message("success", "Queued again. It is sent as soon as the jobs worker is free."))
        self.refresh()

    def channel_action(self, name: str, row: str) -> None:
        channel = next((c for c in self.overview.channels if str(c.id) == row), None)
        if channel is None:
            raise NotFound("This channel is gone. It was removed somewhere else.")
        if name == "test":
            self._services.test_channel(channel.id)
            self.say(Message("success", f"A test message goes out through {channel.name}; see its state below."))
        elif name in ("on", "off"):
            self._services.update_channel(channel.id, is_active=name == "on")
        elif name == "remove":
            self._services.remove_channel(channel.id)
            self.say(Message("success", f"{channel.name} is removed, with what still waited for it."))
        else:
            raise InvalidInput("action", f"{name!r} is not known.")
        self.refresh()

    def add_channel(self, name: str, url: str, **settings: Any) -> None:
        """Keeps a channel; the address is sealed at once and can never be read back here."""
        if not url.strip():
            raise InvalidInput("address", "is empty; write for example mailto://user:password@example.com.")
        made = self._services.add_channel(name, url, **settings)
        self.say(Message("success", f"{made.name} ({made.service}) is added. Send a test message through it."))
        self.refresh()

    # ------------------------------------------------------------------ address

    @t.validate("tab")
    def _known_tab(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise InvalidInput("tab", f"{proposal['value'][:40]!r} is not known.", allowed=tuple(TABS))
        return str(proposal["value"])

    @t.observe("tab")
    def _on_tab(self, _change: Any) -> None:
        self._write_query()
        self.attempt(self._services.remember, {"tab": self.tab})

    def _write_query(self) -> None:
        found = {"tab": self.tab}
        if self.tab == "new":
            plain = drafts.with_defaults({"type": self.draft["type"]}, self.kinds)
            found.update({k: v for k, v in self.draft.items() if k == "type" or v != plain.get(k)})
        self.query = found
