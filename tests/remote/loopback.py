"""A chat API on this machine that does as it is told, well or badly, and counts what it is asked.

    with Loopback(script) as server: Endpoint(server.url, "model") ...

A script is given the body of a request and how often its last message came before, and says what
to do. The command line (see main) serves plain answers, for clients in other processes.
"""

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the server does with a request.

    latency: seconds before it answers. error: the fields of the API's error object, with a status.
    raw: sent instead of the JSON of a completion. cut: closes after so many bytes of the response.
    """

    text: str = "Fine."
    latency: float = 0.0
    finish_reason: str = "stop"
    usage: tuple[int, int] | None = (10, 5)
    status: int = 200
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: int | None = None

    def response(self) -> bytes:
        body = json.dumps(self._content()).encode() if self.raw is None else self.raw
        headers = {"Content-Type": "application/json", "Content-Length": len(body)} | self.headers
        lines = [f"HTTP/1.1 {self.status} Status", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    def _content(self) -> dict[str, Any]:
        if self.status != 200:
            return {"error": {"message": "as told", **self.error}}
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        content = {"id": "1", "object": "chat.completion", "created": 0, "model": "told-1",
                   "choices": [choice]}  # fmt: skip
        if self.usage:
            prompt, answer = self.usage
            content["usage"] = {"prompt_tokens": prompt, "completion_tokens": answer}
        return content


Script = Callable[[Body, int], Reply]


class Loopback:
    """The server, in a thread. A context manager.

    at_once: requests beyond it get 429 with `retry_after`.
    asked: how often each last message came; answered: how often it got 200; refused: 429s sent;
    most: the most requests that were inside together; bodies: of all requests.
    """

    def __init__(self, script: Script, at_once: int | None = None, retry_after: str = "0.05"):
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.refused, self.inside, self.most = 0, 0, 0
        self.bodies: list[Body] = []
        self.headers: list[str] = []
        self._script, self._at_once, self._retry_after = script, at_once, retry_after
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Loopback":
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _serve(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length:")[2].split()[0])
                body = json.loads(await reader.readexactly(length))
                reply = await self._reply(body, head)
                response = reply.response()
                writer.write(response[: reply.cut])
                await writer.drain()
                if reply.cut is not None:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _reply(self, body: Body, head: str) -> Reply:
        content = body["messages"][-1]["content"]
        if self._at_once is not None and self.inside >= self._at_once:
            self.refused += 1
            return Reply(status=429, headers={"Retry-After": self._retry_after})
        times = self.asked[content]
        self.asked[content] += 1
        self.bodies.append(body)
        self.headers.append(head)
        reply = self._script(body, times)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(reply.latency)
        finally:
            self.inside -= 1
        if reply.status == 200:
            self.answered[content] += 1
        return reply


def main() -> None:
    """LATENCY AT_ONCE: prints its URL, serves until its input ends, prints counts as JSON."""
    latency, at_once = float(sys.argv[1]), int(sys.argv[2])
    text = "What stands beside what. " * 40  # 1 KB, as a teacher writes
    with Loopback(lambda *_: Reply(text, latency), at_once) as server:
        print(server.url, flush=True)
        start = time.process_time()
        sys.stdin.read()
        counts = {"requests": server.asked.total(), "refused": server.refused}
        print(json.dumps({**counts, "most": server.most, "cpu": time.process_time() - start}))


if __name__ == "__main__":
    main()
