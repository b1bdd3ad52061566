"""What is wrong with a request, said in Stripe's own words (https://docs.stripe.com/api/errors)."""

from billing_svc.emulator.objects import Json


class Refused(Exception):
    """A request that Stripe would refuse, with the HTTP status and the error object that it would answer."""

    def __init__(
        self, message: str, *, status: int = 400, type_: str = "invalid_request_error", **more: object
    ) -> None:
        """`more`: other members of the error object (`code`, `param`, `decline_code`); empty ones are left out.

        Raised, it undoes what the request did; a handler that returns it keeps that.
        """
        super().__init__(message)
        self.status = status
        self._error = {"type": type_, "message": message} | {name: value for name, value in more.items() if value}

    def envelope(self) -> Json:
        return {"error": self._error}


def missing(kind: str, id_: str, *, param: str = "id", status: int = 404) -> Refused:
    """No such object."""
    return Refused(f"No such {kind}: '{id_}'", status=status, code="resource_missing", param=param)


def declined(code: str, decline_code: str, message: str) -> Refused:
    """The card's bank said no."""
    return Refused(message, status=402, type_="card_error", code=code, decline_code=decline_code)
