"""The settings of Voilà, jupyter_server and jupyter_client that make the server what it is."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from traitlets.config import Config

from dashtrade.dashboards.connection import PageConnection
from dashtrade.dashboards.identity import OwnerAuthorizer, SessionIdentity
from dashtrade.dashboards.kernels import OwnedKernelManager, PackagedKernelSpecs, look_every
from dashtrade.settings import Settings

#: The front-end extensions the pages use; every other one installed would cost each page megabytes.
FRONT_END = [
    "@jupyter-widgets/jupyterlab-manager",
    "@voila-dashboards/widgets-manager8",
    "bqplot",
    "bqscales",
    "anywidget",
]


@dataclass(frozen=True)
class ServerOptions:
    """What one server needs to know. ``apps`` holds the notebooks; ``port`` 0 takes a free one."""

    settings: Settings
    apps: Path
    database_url: str
    port: int
    preload: tuple[str, ...] = ()
    check_sessions_seconds: float = 5.0
    inherited: tuple[str, ...] = field(default=())


def traitlets_config(options: ServerOptions) -> Config:
    """Everything that Voilà and Jupyter are told; nothing is read from configuration files of the machine."""
    config = Config()
    settings = options.settings
    voila = config.Voila
    voila.root_dir = str(options.apps)
    voila.ip = settings.host
    voila.base_url = settings.base_url
    voila.open_browser = False
    voila.identity_provider_class = SessionIdentity
    voila.authorizer_class = OwnerAuthorizer
    voila.kernel_websocket_connection_class = PageConnection

    page = config.VoilaConfiguration
    page.template = "dashtrade"
    page.theme = "dark"
    page.allow_template_override = "NO"
    page.allow_theme_override = "NO"
    page.strip_sources = True
    page.show_tracebacks = False
    page.preheat_kernel = False  # would hand one person's address and cookie to another
    page.progressive_rendering = False
    page.http_header_envs = []  # would copy what the browser claims
    page.file_allowlist = []
    page.extension_allowlist = FRONT_END
    page.extension_denylist = []
    page.multi_kernel_manager_class = OwnedKernelManager
    page.kernel_spec_manager_class = PackagedKernelSpecs

    config.KernelSpecManager.ensure_native_kernel = False
    kernels = config.OwnedKernelManager
    kernels.max_per_user = settings.pages_per_user
    kernels.max_total = settings.pages_total
    kernels.inherited = list(options.inherited)
    kernels.cull_idle_timeout = settings.page_idle_seconds
    kernels.cull_interval = look_every(settings.page_idle_seconds)
    kernels.cull_connected = False
    kernels.buffer_offline_messages = True
    kernels.root_dir = str(options.apps)
    # a kernel that was started again has no widgets: better gone than a page that only looks alive
    config.KernelRestarter.restart_limit = 0
    if sys.platform == "linux":
        config.KernelManager.transport = "ipc"  # sockets in a folder of ours: no port, no other account
    config.NotebookNotary.db_file = ":memory:"
    config.KernelManager.shutdown_wait_time = 2.0
    config.KernelManager.client_class = "dashtrade.dashboards.zygote.client.PromptClient"
    config.VoilaExecutor.cell_error_instruction = "It has been logged."
    # a busy machine is slow, and a page that comes late is better than none: after nbclient's own four seconds a cell
    # counts as run although its output is still on the way, and the page would stay empty
    config.VoilaExecutor.startup_timeout = config.VoilaExecutor.timeout = config.VoilaExecutor.iopub_timeout = 120
    return config
