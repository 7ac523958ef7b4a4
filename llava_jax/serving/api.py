"""The routes: OpenAI's chat API, health and metrics."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from llava_jax.serving import errors
from llava_jax.serving.completion import completion, events
from llava_jax.serving.errors import ApiError, ErrorBody
from llava_jax.serving.gate import CHAT, HEALTH, Gate
from llava_jax.serving.protocol import ChatCompletion, ChatRequest, ModelCard, ModelList
from llava_jax.serving.service import Service

_REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody},
    "5XX": {"model": ErrorBody},
}
router = APIRouter(responses=_REFUSALS)


def create_app(service: Service, api_key: str = "") -> FastAPI:
    """The application. api_key: what clients must show; "" for nothing."""
    app = FastAPI(title="llava_jax", redirect_slashes=False)
    app.state.service = service
    app.include_router(router)
    app.add_middleware(Gate, service=service, api_key=api_key)
    for kind, answer in (
        (HTTPException, _refused),
        (RequestValidationError, _invalid),
        (Exception, _failed),
    ):
        app.add_exception_handler(kind, answer)
    return app


def _service(request: Request) -> Service:
    return request.app.state.service


async def _closing() -> AsyncIterator[AsyncExitStack]:
    """What is entered here is left when the response has been sent, or its client has gone."""
    async with AsyncExitStack() as stack:
        yield stack


_Service = Annotated[Service, Depends(_service)]
_Closing = Annotated[AsyncExitStack, Depends(_closing)]


@router.post(
    CHAT,
    response_model=ChatCompletion,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def complete(asked: ChatRequest, service: _Service, closing: _Closing) -> Response:
    """Answers a conversation, whole or as a stream of server-sent events."""
    answers = await closing.enter_async_context(service.answers(asked))
    tokenizer = service.engine.tokenizer
    if asked.stream:
        stream = events(asked, answers, tokenizer)
        headers = {"Cache-Control": "no-cache"}
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")
    while not answers.done:
        await answers.change()
    answer = completion(asked, answers.writings, tokenizer)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/v1/models")
async def models(service: _Service) -> ModelList:
    """The one model."""
    return ModelList(data=[_card(service)])


@router.get("/v1/models/{model:path}")
async def model(model: str, service: _Service) -> ModelCard:
    """What there is to say of a model."""
    service.check_model(model)
    return _card(service)


@router.get(HEALTH)
async def health(service: _Service) -> JSONResponse:
    """200 while requests are taken, else 503."""
    status = service.status
    return JSONResponse({"status": status}, 200 if status == "ok" else 503)


@router.get("/metrics", response_class=Response)
async def metrics(service: _Service) -> Response:
    """For Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _card(service: Service) -> ModelCard:
    return ModelCard(id=service.name, created=service.created)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return (error if isinstance(error, ApiError) else errors.from_http(error)).response()


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return errors.from_validation(error).response()


async def _failed(_: Request, error: Exception) -> Response:
    return errors.failed().response()
