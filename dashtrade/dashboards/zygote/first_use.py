"""Does once, in the warm process, what costs something the first time and is then the same in every kernel.

A class notes its annotations, a mapped table its comparators, a type check its answer: each is written down at its
first use, into memory that all kernels share until one of them writes. Nothing here reads a setting or a file that is
not part of the program, opens a connection, starts a thread, or leaves a widget behind; the warm process checks.
"""

from __future__ import annotations


def sockets() -> None:
    """pyzmq asks its classes for annotations at each option. A class without them gets an empty set then, which is a
    change of the class; for ``Generic`` it is told to each of the thousands of classes below."""
    import zmq

    for cls in zmq.Socket.__mro__:
        getattr(cls, "__annotations__", None)


def settings() -> None:
    """Settings from this process's bare environment: the checks of types that pydantic makes are kept, the values are
    thrown away. No ``.env`` file is read, which would bring secrets into every kernel."""
    from pydantic_settings import SettingsConfigDict

    from dashtrade.settings import Settings

    class Bare(Settings):
        model_config = SettingsConfigDict(env_prefix="NO_SUCH_SETTING_", env_file=None)

    Bare()


def queries() -> None:
    """Every table's statements, compiled for PostgreSQL by an engine that never connects."""
    from sqlalchemy import delete, insert, select, update

    from dashtrade.db.engine import make_engine
    from dashtrade.db.tables import Base

    engine = make_engine("postgresql+psycopg2://nobody@localhost/nothing")
    for mapper in Base.registry.mappers:
        row = mapper.class_
        keys = [getattr(row, mapper.get_property_by_column(column).key) for column in mapper.primary_key]
        for key in keys:
            one = key == key
            for statement in (
                select(row).where(one).order_by(key),
                select(*(getattr(row, each.key) for each in mapper.column_attrs)).where(key.in_([1, 2])).limit(1),
                update(row).where(one),
                delete(row).where(one),
            ):
                statement._generate_cache_key()
                statement.compile(engine)
        insert(row).compile(engine)
    engine.dispose()


def widgets() -> None:
    """One of each widget that pages are made of, closed again. Without a kernel nothing is sent."""
    import bqplot
    import ipywidgets
    from ipykernel import ipkernel

    names = (
        "Box", "VBox", "HBox", "HTML", "Button", "Text", "Textarea", "Password", "Dropdown", "Checkbox", "DatePicker",
        "Combobox", "FileUpload",
    )  # fmt: skip
    for name in names:
        getattr(ipywidgets, name)()
    scales = {"x": bqplot.LinearScale(), "y": bqplot.LinearScale()}
    lines = bqplot.Lines(x=[0, 1], y=[0, 1], scales=scales)
    bqplot.Figure(marks=[lines], axes=[bqplot.Axis(scale=scales["x"]), bqplot.Axis(scale=scales["y"])])
    ipywidgets.Widget.close_all()
    ipkernel._comm_manager = None


def bar_files() -> None:
    """A bar file, written and read in memory: the parts of Arrow's libraries for it are then in memory once for all
    kernels, not from a first page on."""
    from datetime import UTC, datetime

    import pyarrow as pa

    from dashtrade.dashboards.zygote.rehearsal import made_up_bars
    from dashtrade.data.barfile import BarFile, decode, encode

    decode(pa.BufferReader(encode(BarFile(made_up_bars(), datetime(2024, 1, 1, tzinfo=UTC), None))))


def sample() -> None:
    """The sample's prices, which every open page would otherwise keep for itself where they are used."""
    from dashtrade.data.sample import SampleSource
    from dashtrade.domain.market import HistoryRequest

    SampleSource().history(HistoryRequest("AAPL"))
