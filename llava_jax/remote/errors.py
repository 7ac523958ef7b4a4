"""What an endpoint does instead of answering, and what follows from it."""

import email.utils
import time
from dataclasses import dataclass

import httpx2
import openai

from llava_jax.errors import UserError
from llava_jax.remote.endpoint import Endpoint

_TRIES = 5  # of a request that meets the same kind of trouble
_CROWDED_TRIES = 30  # of one that the endpoint wants later
_LONGEST_WAIT = 600.0  # seconds; an endpoint that wants more is asked another day
_CROWDED = {429, 503, 529}
_TEMPORARY = {408, 409, 425}


@dataclass(eq=False)
class Failure(Exception):
    """An attempt that brought no answer.

    tries: how often a prompt is sent that meets this kind.
    crowded: fewer requests at once would help.
    charged: the endpoint may have worked, and want money for it.
    wait: seconds after which the endpoint wants the request again (Retry-After).
    """

    kind: str
    reason: str
    tries: int = _TRIES
    crowded: bool = False
    charged: bool = False
    wait: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


def failure_of(error: Exception, endpoint: Endpoint) -> Failure:
    """What an error of the openai client means for its prompt.

    Raises UserError where it would meet every other prompt too.
    """
    match error:
        case TimeoutError():
            reason = f"no answer in {endpoint.timeout:g} seconds"
            return Failure("timeout", reason, crowded=True, charged=True)
        case openai.APIStatusError():
            return _status_failure(error, endpoint)
        case openai.APIConnectionError(__cause__=httpx2.ConnectError() as cause):
            return Failure("unreachable", _words(cause))
        case openai.APIConnectionError():
            return Failure("broken off", _words(error.__cause__ or error), charged=True)
        case UnicodeEncodeError():
            return Failure("rejected", "the prompt holds half a character", tries=1)
    raise error


def unreadable(content: str) -> Failure:
    """An answer in which the fields of a chat completion are not found."""
    beginning = " ".join(content[:100].split())
    return Failure("unreadable", f"no chat completion but {beginning!r}", charged=True)


def _status_failure(error: openai.APIStatusError, endpoint: Endpoint) -> Failure:
    status, reason = error.status_code, f"HTTP {error.status_code}, {_words(error)}"
    where = f"{endpoint.base_url} ({reason})"
    if status == 401:
        raise UserError(f"the API key is not valid for {where}: set OPENAI_API_KEY to one that is")
    if status == 403:
        raise UserError(
            f"{endpoint.model} is not allowed at {where}: ask for access, or choose another model"
        )
    if status == 404 or error.code == "model_not_found":
        raise UserError(
            f"no model {endpoint.model} at {where}: see that the URL ends as the server wants it "
            "(most end in /v1) and that it knows the model"
        )
    if status == 402 or error.code == "insufficient_quota":
        raise UserError(f"there is no money left at {where}: add some there")
    if status in _CROWDED:
        wait = _retry_after(error.response.headers)
        if wait > _LONGEST_WAIT:
            raise UserError(f"{where} wants no request for {wait / 60:.0f} minutes: wait as long")
        return Failure("crowded", reason, _CROWDED_TRIES, crowded=True, wait=wait)
    if status >= 500 or status in _TEMPORARY:
        return Failure("server error", reason)
    filtered = error.code in {"content_filter", "content_policy_violation"}
    return Failure("filtered" if filtered else "rejected", reason, tries=1)


def _retry_after(headers: httpx2.Headers) -> float:
    """Seconds to wait, of a header that gives seconds or a date; 0 without one that can be read."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else 0.0


def _words(error: BaseException) -> str:
    """The error's message in one short line."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(message or error).split())[:200] or type(error).__name__
