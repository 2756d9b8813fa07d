"""Cards of the analysis page as HTML: signal, volume, news, facts. Every text from elsewhere is escaped here."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit

from dashtrade.analysis import SignalReport, VolumeReading, Vote
from dashtrade.domain.market import Fundamentals, NewsItem
from dashtrade.pages.analysis.around import News
from dashtrade.pages.analysis.times import at_exchange, clock, in_zone, when
from dashtrade.pages.formats import formats
from dashtrade.pages.widgets.bits import badge_html

SHOWN_VOTES = 4
_SHAPES = {"BUY": "▲", "SELL": "▼", "HOLD": "■"}
_TONES = {"BUY": "dt-up", "SELL": "dt-down", "HOLD": "dt-muted"}


def signal_html(report: SignalReport | None, note: str, zone: str = "") -> str:
    """The signal card: the action in words and shape, the score on a scale, each vote with its date.

    The votes that weigh most are shown; the others unfold.
    """
    if report is None:
        return f'<h2>Signal</h2><p class="dt-muted">{escape(note)}</p>'
    action = report.action.value
    votes = [_vote(v, report, zone) for v in sorted(report.votes, key=lambda v: -abs(v.value * v.weight))]
    score = f"{report.score:+.0f}".replace("-", "−")
    rest = (
        f'<details class="dt-help"><summary>{len(votes) - SHOWN_VOTES} more reasons</summary>'
        f'<ul class="dt-list">{"".join(votes[SHOWN_VOTES:])}</ul></details>'
        if len(votes) > SHOWN_VOTES
        else ""
    )
    return (
        f'<h2>Signal</h2><div class="dt-signal" data-action="{action}"><strong class="{_TONES[action]}">'
        f'<span aria-hidden="true">{_SHAPES[action]}</span> {action}</strong>'
        f'<span>score {score} <span class="dt-muted">of −100…100</span></span></div>'
        f'<div class="dt-meter" aria-hidden="true"><i style="left:{(report.score + 100) / 2:.1f}%"></i></div>'
        f'<p class="dt-muted" title="{at_exchange(report.time)}">Close of {when(report.time, zone)}: '
        f"{formats().price(report.price)}</p>"
        f'<ul class="dt-list">{"".join(votes[:SHOWN_VOTES])}</ul>{rest}'
    )


def _vote(vote: Vote, report: SignalReport, zone: str) -> str:
    """One reason; its date is written out where it is not the bar's own."""
    sign, tone = _lean(vote.value)
    date = "" if vote.time == report.time else f", {when(vote.time, zone)}"
    tip = f"{vote.value:+.2f} × weight {vote.weight:g}, {when(vote.time, zone)}"
    return (
        f'<li><span class="{tone}" title="{tip}">{sign}</span><span>{escape(vote.sentence)} '
        f'<span class="dt-muted">({escape(vote.group.value)}{date})</span></span></li>'
    )


def _lean(value: float) -> tuple[str, str]:
    if value > 0.1:
        return "▲", "dt-up"
    if value < -0.1:
        return "▼", "dt-down"
    return "■", "dt-muted"


def volume_html(reading: VolumeReading | None) -> str:
    """What volume says, in sentences, with what stands out as badges."""
    if reading is None:
        return '<h2>Volume</h2><p class="dt-muted">Too few bars, or no volume, for a reading.</p>'
    found = [
        badge_html(text, "accent")
        for text, there in (
            (f"{reading.trend} over {reading.window} bars", True),
            ("breakout volume", reading.breakout),
            ("climax", reading.climax),
            ("dry-up", reading.dry_up),
        )
        if there
    ]
    sentences = "".join(
        f"<li><span aria-hidden='true'>·</span><span>{escape(s)}</span></li>" for s in reading.sentences
    )
    return f'<h2>Volume</h2><p>{" ".join(found)}</p><ul class="dt-list">{sentences}</ul>'


def news_html(news: News | None, zone: str = "") -> str:
    """Articles with their sentiment in words; what is missing is said below."""
    if news is None:
        return '<h2>News</h2><p class="dt-muted">Reading the news…</p>'
    items = "".join(_article(item, zone) for item in news.items)
    listed = f'<ul class="dt-news">{items}</ul>' if items else ""
    note = f'<p class="dt-muted">{escape(news.note)}</p>' if news.note else ""
    return f"<h2>News</h2>{listed}{note}"


def _article(item: NewsItem, zone: str) -> str:
    title = escape(item.title or "Untitled")
    if urlsplit(item.url).scheme in ("http", "https"):
        title = f'<a href="{escape(item.url)}" target="_blank" rel="noopener noreferrer">{title}</a>'
    local = in_zone(item.time, zone)
    date = f'<span title="{escape(at_exchange(item.time))}">{local:%d %b} {clock(item.time, zone, "%H:%M")}</span>'
    summary = f' title="{escape(item.summary[:400])}"' if item.summary else ""
    return (
        f"<li><div{summary}>{title}</div>"
        f'<div class="dt-muted">{escape(item.source)} · {date} {sentiment_html(item.sentiment)}</div></li>'
    )


def sentiment_html(value: float | None) -> str:
    """−1…1 in words; ±0.15 and ±0.35 are the bounds that Alpha Vantage names."""
    if value is None:
        return ""
    strength = "somewhat " if abs(value) < 0.35 else ""
    number = f"{value:+.2f}".replace("-", "−")
    if value >= 0.15:
        return badge_html(f"▲ {strength}bullish {number}", "good")
    if value <= -0.15:
        return badge_html(f"▼ {strength}bearish {number}", "bad")
    return badge_html(f"■ neutral {number}")


def facts_html(facts: Fundamentals | None) -> str:
    """One line: name, exchange, sector, industry, country, currency, market value; what is not known is left out."""
    if facts is None:
        return ""
    worth = f"worth {_short(float(facts.market_cap))} {facts.currency}".strip() if facts.market_cap else ""
    parts = [facts.exchange, facts.sector, facts.industry, facts.country, facts.currency, worth]
    name = f"<b>{escape(facts.name)}</b>" if facts.name and facts.name != facts.symbol else ""
    text = " · ".join(filter(None, [name, *(escape(part) for part in parts)]))
    return f'<p class="dt-facts">{text}</p>' if text else ""


def _short(value: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{formats().number(value / size)} {unit}"
    return formats().number(value, 0)


def alert_link(symbol: str, kind: str, level: float) -> str:
    """The alerts page with this rule filled in."""
    return "alerts?" + urlencode({"symbol": symbol, "type": kind, "level": f"{level:.10g}"})
