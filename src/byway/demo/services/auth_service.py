"""auth-service: signs users in, and tells whose a token is. The demo knows no passwords: a name is enough."""

from __future__ import annotations

from byway.demo.exchange import Answer, DeclinedError, Request, Route, fields, json_answer, segment


class AuthService:
    """Keeps nothing: users and sessions have services of their own."""

    def routes(self) -> tuple[Route, ...]:
        """Sign in, check a token."""
        return (Route("POST", "/sign-ins", _signed_in), Route("POST", "/checks", _checked))


def service() -> AuthService:
    """A fresh auth-service."""
    return AuthService()


def _signed_in(request: Request) -> Answer:
    name = request.text("user")
    entered = request.reply("user-service", "PUT", f"/users/{segment(name)}", expected=(400,))
    if entered.status == 400:
        return Answer(400, entered.content)
    return json_answer({"user": name, **request.call("session-service", "POST", "/sessions", {"user": name})}, 201)


def _checked(request: Request) -> Answer:
    found = request.reply(
        "session-service", "POST", "/lookups", {"token": request.body().get("token")}, expected=(404,)
    )
    if found.status == 404:
        raise DeclinedError(401, "sign in again")
    return json_answer(fields("session-service", found))
