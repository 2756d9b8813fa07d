"""The dashboard server: Voilà behind a login, with kernels that belong to the person who opened the page.

Start it with ``python -m dashtrade.dashboards``. A page is a notebook in ``apps/`` with two lines of code and these
notebook metadata, which the server reads without running anything::

    "dashtrade": {"title": "Analysis", "role": "user", "order": 20}

``role`` is the least role that may open the page; a notebook without it is not served at all.
"""
