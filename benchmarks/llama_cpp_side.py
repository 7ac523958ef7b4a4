"""llama.cpp's side of benchmarks/serving.py: runs in an environment of its own, with
llama-cpp-python alone, and talks in lines of JSON.

  PYTHON llama_cpp_side.py MODEL.gguf TYPE FOLDER THREADS

TYPE is the name of a llama.cpp file type (MOSTLY_Q8_0, MOSTLY_BF16); the converted model is kept in
FOLDER. A line {"rows": R, "prompt": P, "new": N} is answered by the seconds to the first tokens of
R prompts of P tokens, and to all N tokens of each: {"first": s, "all": s, "cpu": s}.
"""

import ctypes
import json
import sys
import time
from pathlib import Path

import llama_cpp
import numpy as np

_ROOM, _ROWS = 512, 8  # tokens of a row, and rows


def main() -> None:
    model, kind, folder, threads = sys.argv[1:]
    side = Side(_converted(Path(model), kind, Path(folder)), int(threads))
    print(json.dumps({"ready": llama_cpp.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(side.answer(**json.loads(line))), flush=True)


def _converted(model: Path, kind: str, folder: Path) -> Path:
    target = folder / f"{model.stem}.{kind}.gguf"
    if not target.exists():
        options = llama_cpp.llama_model_quantize_default_params()
        options.allow_requantize = True
        options.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_{kind}")
        partial = target.with_suffix(".partial")
        if llama_cpp.llama_model_quantize(
            str(model).encode(), str(partial).encode(), ctypes.byref(options)
        ):
            raise RuntimeError(f"llama.cpp could not convert {model} to {kind}")
        partial.rename(target)
    return target


class Side:
    def __init__(self, model: Path, threads: int):
        options = llama_cpp.llama_model_default_params()
        options.use_extra_bufts = False  # repacked weights crash it on some processors
        loaded = llama_cpp.llama_model_load_from_file(str(model).encode(), options)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_seq_max = _ROOM * _ROWS, _ROOM * _ROWS, _ROWS
        context.n_threads = context.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(loaded, context)
        self.batch = llama_cpp.llama_batch_init(_ROOM * _ROWS, 0, 1)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(loaded))

    def answer(self, rows: int, prompt: int, new: int) -> dict[str, float]:
        """Random prompts, each continued greedily."""
        tokens = np.random.default_rng().integers(0, self.vocabulary, (rows, prompt)).tolist()
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        cpu, start = time.process_time(), time.perf_counter()
        newest = self._read([(row, 0, tokens[row]) for row in range(rows)])
        first = time.perf_counter() - start
        for place in range(prompt, prompt + new - 1):
            newest = self._read([(row, place, [newest[row]]) for row in range(rows)])
        return {
            "first": first,
            "all": time.perf_counter() - start,
            "cpu": time.process_time() - cpu,
        }

    def _read(self, pieces: list[tuple[int, int, list[int]]]) -> list[int]:
        """Reads (row, place, tokens); the likeliest token after each of them."""
        batch, number, last = self.batch, 0, []
        for row, place, tokens in pieces:
            for i, token in enumerate(tokens):
                batch.token[number], batch.pos[number] = token, place + i
                batch.n_seq_id[number], batch.seq_id[number][0] = 1, row
                batch.logits[number] = i == len(tokens) - 1
                number += 1
            last.append(number - 1)
        batch.n_tokens = number
        if llama_cpp.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")
        return [int(np.argmax(self._logits(i))) for i in last]

    def _logits(self, place: int) -> np.ndarray:
        pointer = llama_cpp.llama_get_logits_ith(self.context, place)
        return np.ctypeslib.as_array(pointer, (self.vocabulary,))


if __name__ == "__main__":
    main()
