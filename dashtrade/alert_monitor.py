"""``AlertMonitor``: looks at a user's alerts now, or triggers one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashtrade.bootstrap import Runtime
    from dashtrade.domain.alerts import AlertEvent


class AlertMonitor:
    """``AlertMonitor().check_conditions(user_id)``. The jobs worker does the same for everybody every minute.

    >>> import dashtrade as dt
    >>> dt.AlertMonitor().check_conditions(user_id=1)  # none of this user's rules was triggered
    []
    """

    def __init__(self, runtime: Runtime | None = None) -> None:
        if runtime is None:
            from dashtrade.bootstrap import runtime as own

            runtime = own()
        self._runtime = runtime

    def check_conditions(self, user_id: int) -> list[AlertEvent]:
        """Evaluates the user's rules on every bar that closed since the last look; what was triggered.

        Raises DatabaseUnavailable. A symbol whose bars cannot be read is looked at again next time.
        """
        from dashtrade.services.alert_engine import run_pass

        return run_pass(self._runtime, user_id)

    def trigger_alert(self, alert_id: int) -> AlertEvent | None:
        """Tells about this alert now, whatever the market does; its condition and its switch stay as they are.

        Raises NotFound for an alert that does not exist.
        """
        from dashtrade.services.alert_engine import trigger

        with self._runtime.uow() as uow:
            return trigger(uow, None, alert_id)
