"""Sphinx settings. Pages that restate the program are made from it before each build, see generate.py."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402 - beside this file, which is on the path from here on

from dashtrade import __version__  # noqa: E402

project = "DashTrade"
author = "DashTrade"
project_copyright = "DashTrade"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build", "generated/*.md"]  # parts of pages; the catalogue below it is pages
templates_path: list[str] = []
smartquotes = False  # two hyphens before an option stay two hyphens

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
add_module_names = False

html_theme = "furo"
html_title = "DashTrade"
html_static_path = ["_static"]
html_css_files = ["dashtrade.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5fa8", "color-brand-content": "#1d5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7db5f0", "color-brand-content": "#7db5f0"},
}
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = False


def setup(app: object) -> None:
    """Before Sphinx looks for pages, those that are made from the program are written."""
    app.connect("config-inited", lambda *_: generate.write_all(HERE / "generated"))  # type: ignore[attr-defined]
