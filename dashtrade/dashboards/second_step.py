"""The second step of signing in: a code of the authenticator app, or a recovery code."""

from __future__ import annotations

import math

from jupyter_server.auth.decorator import allow_unauthenticated

from dashtrade.dashboards.login import in_words, own_path
from dashtrade.dashboards.office.shell import Forms
from dashtrade.errors import AuthFailed, ConfigurationError, DatabaseUnavailable, NotFound, TooManyAttempts

NO_DATABASE = "The database cannot be reached. Try again in a moment."


class SecondStepHandler(Forms):
    """Only for a browser that has just given name and password: its cookie names the first step and opens nothing."""

    @property
    def target(self) -> str:
        return own_path(self.get_argument("next", self.base_url)[:2048], self.base_url)

    @allow_unauthenticated
    def get(self) -> None:
        if self.identity_provider.step_token(self) is None:
            self.redirect(self.base_url + "login", status=303)
        else:
            self.show()

    @allow_unauthenticated
    async def post(self) -> None:
        provider = self.identity_provider
        step, code = provider.step_token(self), self.field("code")[:60]
        if step is None:
            self.redirect(self.base_url + "login", status=303)
            return
        agent = self.request.headers.get("User-Agent", "")[:256]
        try:
            token = await provider.gate.finish_sign_in(step, code, self.address, agent, provider.session_token(self))
        except NotFound:
            provider.clear_step(self)
            self.redirect(self.base_url + "login?done=too-late", status=303)
        except TooManyAttempts as error:
            self.log.warning("Codes from %s are slowed down", self.address)
            self.set_header("Retry-After", str(math.ceil(error.retry_after)))
            self.show(f"Too many tries. Wait {in_words(error.retry_after)}, then try again.", 429)
        except AuthFailed as error:
            self.log.warning("A code from %s was refused", self.address)
            self.show(str(error), 401)
        except ConfigurationError as error:
            self.show(str(error), 503)
        except DatabaseUnavailable:
            self.show(NO_DATABASE, 503)
        else:
            provider.clear_step(self)
            provider.set_session(self, token)
            self.clear_cookie("_xsrf", path=provider.cookie_path)
            self.redirect(self.target, status=303)

    def show(self, problem: str = "", status: int = 200) -> None:
        self.set_status(status)
        self.write_screen(
            "second_step.html", problem=problem, target=self.target, form_token=self.xsrf_token.decode("ascii")
        )
