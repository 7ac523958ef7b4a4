"""What a client is told when it gets no answer, in the shape of OpenAI's errors."""

from collections.abc import Mapping

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

UNSUPPORTED = "unsupported"  # the type of validation errors whose text is all there is to say


class ErrorDetail(BaseModel):
    """code: for programs; param: the part of the request that is at fault."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    error: ErrorDetail


class ApiError(HTTPException):
    """A request that is refused or failed; the message goes to the client as it stands."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(status, message, dict(headers or {}))
        kind = "server_error" if status >= 500 else "invalid_request_error"
        if status == 429:
            kind = "rate_limit_exceeded"
        self.body = ErrorBody(error=ErrorDetail(message=message, type=kind, param=param, code=code))

    def response(self) -> JSONResponse:
        return JSONResponse(self.body.model_dump(), self.status_code, self.headers)


def failed() -> ApiError:
    """Of a request that met an error of ours; it says nothing of what that was."""
    return ApiError(500, "The server had an error while processing your request.")


def busy() -> ApiError:
    """For one that there is no room for now."""
    return ApiError(
        429,
        "The server is answering as many requests as it can: try again later.",
        code="rate_limit_exceeded",
        headers={"Retry-After": "1"},
    )


def from_http(error: HTTPException) -> ApiError:
    """An error of the framework's, such as an unknown path, in our shape."""
    return ApiError(error.status_code, str(error.detail), headers=error.headers)


def from_validation(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a body; what it holds is not repeated.

    Tags in brackets name the branches of `protocol`'s unions: they are no part of the body.
    """
    first = error.errors()[0]
    kind, message = first["type"], first["msg"]
    if kind == UNSUPPORTED:
        return ApiError(400, message, code="unsupported_value")
    place = [part for part in first["loc"][1:] if not str(part).startswith("(")]
    if kind == "json_invalid" or not place:
        return ApiError(400, "We could not parse the JSON body of your request.")
    name = _path(place)
    if kind == "extra_forbidden":
        return ApiError(400, f"Unrecognized request argument supplied: {name}")
    if kind == "missing":
        text, code = f"Missing required parameter: '{name}'.", "missing_required_parameter"
    else:
        text, code = f"Invalid value for '{name}': {message}.", "invalid_value"
    return ApiError(400, text, param=name, code=code)


def _path(place: list[str | int]) -> str:
    """As in OpenAI's errors: messages[0].content."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return printable(path.removeprefix("."))


def printable(text: str) -> str:
    """A client's own words, short, and without what cannot be encoded."""
    return text[:100].encode("ascii", "backslashreplace").decode()
