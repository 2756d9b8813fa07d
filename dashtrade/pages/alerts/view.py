"""Widgets of the alerts page, linked to its model. No services here."""

from __future__ import annotations

from datetime import date
from functools import partial
from html import escape
from typing import Any

import ipywidgets as w

from dashtrade.domain.alerts import INTERVALS
from dashtrade.pages.alerts import rows
from dashtrade.pages.alerts.drafts import BARS, FREQUENCIES, LIST, PROGRAM, SOME, SYMBOL, WATCHLIST
from dashtrade.pages.alerts.model import TABS, AlertsModel
from dashtrade.pages.widgets.bits import (
    field,
    heading,
    help_panel,
    html,
    panel,
    row,
    show_if,
    stack,
    styled,
)
from dashtrade.pages.widgets.form import FieldSpec, ParamForm
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView

NEW_CHANNEL = (
    FieldSpec("name", "Name", "text", "", help="What you call it, such as phone"),
    FieldSpec("most_per_hour", "Most an hour", "int", 30, 1, 1000, help="What is more waits, and comes as one message"),
    FieldSpec("quiet_from", "Quiet from", "text", None, optional=True, help="Such as 22:00; left out: never quiet"),
    FieldSpec("quiet_until", "Quiet until", "text", None, optional=True, help="Such as 07:00"),
)
THROUGH = [("Every channel that is on", ""), ("The program alone", PROGRAM), ("Chosen channels", SOME)]
EMPTY = {
    "rules": "No alert yet. Make one under New alert.",
    "told": "Nothing was told yet. Rules are looked at once a minute, at the close of their bars.",
    "channels": "No channel yet. Messages wait at the bell; add one to get them by mail, Telegram, ntfy and so on.",
    "deliveries": "Nothing was sent through a channel yet.",
}


class AlertsView(PageView):
    """Tabs: rules, the form with its preview, the history, the channels."""

    model: AlertsModel

    def __init__(self, model: AlertsModel, *, help_text: str = "") -> None:
        super().__init__(model, "alerts", "Alerts")
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.rules = DataTable(rows.RULES, caption="Rules", filename="alerts")
        self.told = DataTable(rows.TOLD, caption="What was told", filename="alert-history")
        self.channels = DataTable(rows.CHANNELS, caption="Channels", filename="channels")
        self.deliveries = DataTable(rows.DELIVERIES, caption="Messages", filename="messages")
        self._make_form()
        self._build(help_text)
        self._link()

    def _make_form(self) -> None:
        kinds = self.model.kinds
        self.kind = w.Dropdown(options=[(kind.title, key) for key, kind in kinds.items()])
        self.watch = w.Dropdown(options=_watchable(()))
        self.symbol = w.Text(placeholder="AAPL")
        self.params = ParamForm(())
        self.params.widget.layout.grid_template_columns = "repeat(auto-fill, minmax(min(100%, 200px), 260px))"
        self.params_help = html("")
        self.interval = w.Dropdown(options=[(f"{BARS[i].capitalize()}", i) for i in INTERVALS])
        self.source = w.Dropdown(options=[(_source_name(s), s) for s in self.model.sources])
        self.frequency = w.Dropdown(options=[(text, key) for key, text in FREQUENCIES.items()])
        self.cooldown = w.Text(placeholder="none, or 30m, 4h, 2d")
        self.expires = w.DatePicker()
        self.name = w.Text(placeholder="what the message calls it")
        self.through = w.Dropdown(options=THROUGH)
        self.picks: dict[int, w.Checkbox] = {}
        self.pick_box = row()
        self.spoken, self.blocker = html(""), html("")
        self.save = w.Button(button_style="primary")
        self.preview = w.Button(description="Try on the last year")
        self.clear = w.Button(description="Clear")
        self.past_words, self.past_notes = html(""), html("")
        self.past = DataTable(
            rows.PAST_BARS, caption="Bars", filename="alert-preview", page_size=10, empty="Never in this time."
        )
        self.channel_form = ParamForm(NEW_CHANNEL)
        self.address = w.Password(placeholder="mailto://user:password@example.com")
        self.add_channel = w.Button(description="Add channel", button_style="primary")
        self._controls = {
            "type": self.kind, "watch": self.watch, "symbol": self.symbol, "interval": self.interval,
            "source": self.source, "frequency": self.frequency, "cooldown": self.cooldown, "name": self.name,
        }  # fmt: skip
        self._filling = False
        self._shown = ""

    def _build(self, help_text: str) -> None:
        self.form_title = html("")
        name, frequency = field("Name", self.name), field("Tells", self.frequency)
        for wide in (name, frequency):
            wide.layout.flex, wide.layout.max_width = "2 1 240px", "380px"
        form = panel(
            self.form_title,
            row(field("Alert", self.kind), field("Watch", self.watch), field("Symbol", self.symbol, "Ticker")),
            self.params.widget,
            self.params_help,
            row(
                field("Bars", self.interval, "The condition is looked at when such a bar closes"),
                field("Prices from", self.source),
                frequency,
            ),
            row(
                field("Pause between two", self.cooldown, "Least time between two bars that it tells about"),
                field("Watch until", self.expires, "The end of that day; empty watches for ever"),
                name,
                field("Sent through", self.through, "The bell in the program is told always"),
            ),
            self.pick_box,
            self.spoken,
            self.blocker,
            row(self.save, self.preview, self.clear),
        )
        self.past_box = panel(heading("In the last year"), self.past_words, self.past_notes, self.past)
        note = html(
            '<p class="dt-muted">An address as apprise writes it: mailto://, tgram://, slack://, discord://, ntfy://, '
            "json:// and a hundred more. It is encrypted at once and shown to nobody again, you included. Channels can "
            'be managed on the <a href="account">account page</a> too.</p>'
        )
        address = field("Address", self.address, "Kept encrypted")
        address.layout.flex, address.layout.max_width = "1 1 320px", "620px"
        add = panel(heading("Add a channel"), note, row(address), self.channel_form.widget, row(self.add_channel))
        self.sections = {
            "rules": panel(self.rules),
            "new": stack(form, self.past_box),
            "history": panel(self.told),
            "channels": stack(panel(self.channels), add, panel(self.deliveries)),
        }
        bar = styled(w.Box(list(self.tabs.values())), "dt-tabs")
        head = stack(self.messages.widget, self.progress.widget, bar)
        self.widget = self.frame(head, *self.sections.values(), help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        for control in (*self._controls.values(), self.expires, self.through):
            control.observe(model.guard(self._typed), "value")
        self.click(self.save, model.save)
        self.click(self.preview, model.preview)
        self.click(self.clear, model.clear)
        self.click(self.add_channel, self._add_channel)
        self.rules.on_action(model.guard(model.rule_action))
        self.told.on_action(model.guard(model.told_action))
        self.channels.on_action(model.guard(model.channel_action))
        self.deliveries.on_action(model.guard(model.delivery_action))
        model.zone = self.shell.zone
        self.follow("tab", self._draw_tab)
        self.follow(["draft", "editing"], self._draw_draft)
        self.follow("overview", self._draw_draft)
        self.follow(["spoken", "blockers", "busy", "editing"], self._draw_verdict)
        self.follow("past", self._draw_past)
        self.follow(["overview", "loaded"], self._draw_overview)
        self.follow("query", lambda: self.shell.write_query(model.query))

    # ------------------------------------------------------------------ from the controls

    def _typed(self, _change: Any) -> None:
        """The form as it is now; another kind begins with its own fields, and keeps those of the same name."""
        if self._filling:
            return
        raw = {name: str(control.value) for name, control in self._controls.items()}
        raw["expires"] = self.expires.value.isoformat() if isinstance(self.expires.value, date) else ""
        chosen = [str(number) for number, pick in self.picks.items() if pick.value]
        raw["channels"] = " ".join([SOME, *chosen]) if self.through.value == SOME else self.through.value
        if raw["type"] == self.model.draft.get("type"):
            raw.update({name: str(control.value) for name, control in self.params.controls.items()})
        elif "level" in self.params.controls and raw["type"].startswith("price_"):
            raw["level"] = str(self.params.controls["level"].value)
        self.model.set_draft(raw)

    def _add_channel(self) -> None:
        values = self.channel_form.values()
        self.model.add_channel(values.pop("name"), self.address.value, timezone=self.shell.zone, **values)
        self.address.value = ""  # not before it is kept: what was refused can be mended
        self.channel_form.reset()

    # ------------------------------------------------------------------ to the controls

    def _draw_tab(self) -> None:
        for key, button in self.tabs.items():
            on = key == self.model.tab
            (button.add_class if on else button.remove_class)("dt-on")
            show_if(self.sections[key], on)

    def _draw_draft(self) -> None:
        draft, kind = self.model.draft, self.model.kinds.get(self.model.draft["type"])
        self._filling = True
        try:
            self._offer_lists(draft["watch"])
            for name, control in self._controls.items():
                if control.value != draft[name]:
                    control.value = draft[name]
            expires = _date(draft["expires"])
            if self.expires.value != expires:
                self.expires.value = expires
            self._draw_picks(draft["channels"])
            if kind is not None:
                if list(self.params.controls) != [f.name for f in kind.fields] or self._shown != kind.key:
                    self._shown = kind.key
                    self.params.set(kind.fields)
                    for control in self.params.controls.values():
                        control.observe(self.model.guard(self._typed), "value")
                self._fill_params(draft)
                self.params_help.value = f'<p class="dt-muted">{escape(kind.help)}</p>' if kind.help else ""
                show_if(self.params_help, bool(kind.help))
        finally:
            self._filling = False
        self.symbol.disabled = draft["watch"] != SYMBOL
        editing = self.model.editing
        self.form_title.value = f"<h2>{'Edit alert' if editing else 'New alert'}</h2>"
        self.tabs["new"].description = "Edit alert" if editing else TABS["new"]
        self.save.description = "Save changes" if editing else "Save alert"
        self.clear.description = "Stop editing" if editing else "Clear"

    def _draw_picks(self, text: str) -> None:
        """A box for each channel where some are chosen; one that the rule names and that is gone keeps none."""
        channels = self.model.overview.channels
        shown = {number: pick.description for number, pick in self.picks.items()}
        if shown != {c.id: c.name for c in channels} or not self.pick_box.children:
            self.picks = {c.id: w.Checkbox(description=c.name, indent=False) for c in channels}
            for pick in self.picks.values():
                pick.observe(self.model.guard(self._typed), "value")
            none = html('<p class="dt-muted">There is no channel yet. Add one under Channels.</p>')
            self.pick_box.children = list(self.picks.values()) or [none]
        word, *numbers = text.split() or [""]
        self.through.value = word if word in (PROGRAM, SOME) else ""
        for number, pick in self.picks.items():
            pick.value = str(number) in numbers
        show_if(self.pick_box, word == SOME)

    def _offer_lists(self, chosen: str) -> None:
        """The lists there are, and the one that the rule names even where it is gone."""
        names = dict.fromkeys(self.model.overview.lists)
        if chosen.startswith(LIST):
            names[chosen.removeprefix(LIST)] = None
        options = _watchable(tuple(names))
        if tuple(self.watch.options) != tuple(options):
            with self.watch.hold_trait_notifications():
                self.watch.options, self.watch.value = options, chosen

    def _fill_params(self, draft: Any) -> None:
        for name, control in self.params.controls.items():
            value = draft.get(name, "")
            if isinstance(control, w.Dropdown) and value not in control.options:
                continue
            if control.value != value:
                control.value = value

    def _draw_verdict(self) -> None:
        text = " ".join(self.model.blockers)
        self.blocker.value = f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' if text else ""
        show_if(self.blocker, bool(text))
        self.spoken.value = f'<p role="status">{escape(self.model.spoken)}</p>' if self.model.spoken else ""
        show_if(self.spoken, bool(self.model.spoken))
        self.save.disabled = bool(text)
        self.preview.disabled = bool(text) or self.model.busy

    def _draw_past(self) -> None:
        past = self.model.past
        show_if(self.past_box, past is not None)
        if past is None:
            return
        self.past_words.value = rows.past_html(past)
        notes = rows.past_notes(past)
        self.past_notes.value = "".join(f'<p class="dt-blocker">⚠ {escape(text)}</p>' for text in notes)
        show_if(self.past_notes, bool(notes))
        intraday = self.model.draft["interval"] not in ("1d", "1wk")
        self.past.set_columns(rows.PAST_BARS if intraday else rows.PAST_DAYS)
        self.past.show(rows.past_rows(past))

    def _draw_overview(self) -> None:
        seen, known = self.model.overview, self.model.kinds
        for table, empty in EMPTY.items():
            getattr(self, table).empty = empty if self.model.loaded else "Loading…"
        self.rules.show(rows.rule_rows(seen, known))
        self.told.show(rows.told_rows(seen, known))
        self.channels.show(rows.channel_rows(seen))
        self.deliveries.show(rows.delivery_rows(seen))
        on = sum(rule.is_active for rule in seen.rules)
        self.rules.caption = f"Rules · {on} on, {len(seen.rules) - on} off" if seen.rules else "Rules"


def _watchable(lists: tuple[str, ...]) -> list[tuple[str, str]]:
    every = [("One symbol", SYMBOL), ("Every symbol of my watchlist", WATCHLIST)]
    return [*every, *((f"Every symbol of {name}", LIST + name) for name in lists)]


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _source_name(key: str) -> str:
    return {"": "Automatic", "sample": "Sample data (offline)"}.get(key, key.replace("_", " ").title())
