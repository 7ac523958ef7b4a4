"""The engine: the same answers alone, in a batch and streamed; images once; clear errors."""

import io
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from llava_jax.errors import UserError
from llava_jax.inference import programs, sight
from llava_jax.inference.engine import Answer, Engine, Request, ask
from llava_jax.inference.parameters import prepared
from llava_jax.inference.sampling import SamplingParams
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava
from llava_jax.text.encode import encode_prompt
from llava_jax.text.templates import ASSISTANT, IMAGE, USER
from tests.inference import tiny
from tests.models.batches import make_batch

DRAWN = SamplingParams(1.0, top_k=50, seed=11)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny.engine()


def requests() -> list[Request]:
    """Of every kind and length, so that order, padding and image slots all matter."""
    bus, cat = tiny.picture(1), tiny.picture(2, 30, 50)
    return [
        ask("What is this?", bus, max_new_tokens=24),
        ask("And this one, in a few more words?", cat, max_new_tokens=9, sampling=DRAWN),
        ask("No picture at all", max_new_tokens=30),
        ask("Which differs?", bus, cat, max_new_tokens=12),
        ask("What is this?", cat, max_new_tokens=24, system=""),
        Request(
            [(USER, ["Look: ", IMAGE, "!"]), (ASSISTANT, "Yes."), (USER, "Why?")],
            [bus],
            max_new_tokens=17,
            sampling=SamplingParams(0.8, top_p=0.9, seed=5),
        ),
    ]


@pytest.fixture(scope="module")
def answers(engine: Engine) -> list[Answer]:
    return engine.generate(requests())


def test_answers_depend_on_image_question_and_system_prompt(answers: list[Answer]):
    assert len({answer.text for answer in answers}) == len(answers)
    assert all(len(answer.tokens) > 1 for answer in answers)


def test_batches_of_any_size_give_the_same_answers_in_order(engine: Engine, answers: list[Answer]):
    seen = []
    assert engine.generate(requests(), slots=2, progress=lambda *p: seen.append(p)) == answers
    assert seen == sorted(set(seen)) and seen[-1] == (6, 6) and len(seen) > 3
    assert engine.generate([]) == []


@pytest.mark.parametrize("number", range(6))
def test_a_request_alone_and_streamed_gives_the_same(
    engine: Engine, answers: list[Answer], number: int
):
    request = requests()[number]
    assert "".join(engine.stream(request)) == answers[number].text


def test_the_limit_of_tokens_ends_an_answer(answers: list[Answer]):
    for request, answer in zip(requests(), answers, strict=True):
        if answer.ended == "length":
            assert len(answer.tokens) == request.max_new_tokens
    assert any(answer.ended == "length" for answer in answers)


def test_a_stop_string_ends_its_answer_and_no_other(engine: Engine, answers: list[Answer]):
    stop = answers[2].text[8:11]
    stopped, other = engine.generate(
        [
            ask("No picture at all", max_new_tokens=30, stops=["never", stop]),
            ask("What is this?", tiny.picture(1), max_new_tokens=24),
        ]
    )
    assert stopped.text == answers[2].text[: answers[2].text.index(stop)].rstrip()
    assert stopped.ended == "stop"
    # Its last token is the one that completed the stop string.
    assert engine.tokenizer.decode(stopped.tokens).endswith(stop)
    assert other == answers[0]
    request = ask("No picture at all", max_new_tokens=30, stops=[stop])
    assert "".join(engine.stream(request)) == stopped.text


def test_an_end_token_ends_its_answer(answers: list[Answer]):
    """The third token of an answer, made the tokenizer's end of text."""
    token = answers[0].tokens[2]
    engine = tiny.engine()
    engine._end_tokens = (token,)
    (answer,) = engine.generate([ask("What is this?", tiny.picture(1), max_new_tokens=24)])
    assert answer.ended == "stop"
    assert answer.tokens == answers[0].tokens[: answers[0].tokens.index(token) + 1]


@pytest.mark.parametrize(
    ("template", "as_trained", "tokens", "strings"),
    [
        ("chatml", True, {"</s>", "<|im_end|>"}, ()),
        ("mpt", True, {"</s>", "<|im_end|>"}, ()),
        ("vicuna_v1", True, {"</s>"}, ()),
        ("llama_2", True, {"</s>"}, ()),
        ("hf_llava_1_5", True, {"</s>"}, ()),
        ("llava_v0", True, {"</s>"}, ("###",)),
        ("llava_v0", False, {"</s>"}, ("###",)),
        ("plain", True, {"</s>"}, ("\n",)),
    ],
)
def test_a_template_says_what_ends_its_answers(
    template: str, as_trained: bool, tokens: set[str], strings: tuple[str, ...]
):
    engine = tiny.engine(template, as_trained=as_trained)
    assert {*engine._end_tokens} == {i for t in tokens for i in engine.tokenizer.encode(t)}
    assert engine._end_strings == strings


def test_each_distinct_image_is_computed_once(monkeypatch: pytest.MonkeyPatch):
    engine, computed, see = tiny.engine(), [], programs.see

    def counted(*model: object) -> np.ndarray:
        pixels = model[-1]
        assert isinstance(pixels, np.ndarray)
        computed.append(int(pixels.any(axis=(1, 2, 3)).sum()))
        return see(*model)  # type: ignore[arg-type]

    monkeypatch.setattr(programs, "see", counted)
    bus, cat = tiny.picture(1), tiny.picture(2)
    engine.generate([ask(q, i, max_new_tokens=1) for q in "ab" for i in (bus, cat, bus.copy())])
    assert sum(computed) == 2
    engine.generate([ask("c", cat, tiny.picture(3), max_new_tokens=1)])  # the cat is known
    assert sum(computed) == 3
    monkeypatch.setattr(sight, "_KEPT", 0)  # room for the newest call's alone
    engine.generate([ask("d", cat, max_new_tokens=1)])
    assert sum(computed) == 3
    engine.generate([ask("e", bus, max_new_tokens=1)])
    assert sum(computed) == 4


def test_bytes_of_a_file_are_the_image_in_it(engine: Engine, answers: list[Answer]):
    file = io.BytesIO()
    tiny.picture(1).convert("RGBA").save(file, "PNG")
    request = ask("What is this?", file.getvalue(), max_new_tokens=24)
    assert engine.generate([request]) == [answers[0]]


def test_grey_and_coloured_pixels_of_the_same_bytes_differ(engine: Engine):
    pixels = np.arange(48, dtype=np.uint8)
    images = [
        Image.fromarray(pixels.reshape(4, 12)),
        Image.fromarray(pixels.reshape(4, 4, 3)),
        Image.fromarray(pixels.reshape(12, 4)),
    ]
    texts = [a.text for a in engine.generate([ask("?", i, max_new_tokens=12) for i in images])]
    assert len(set(texts)) == 3


def test_a_typed_marker_or_special_token_is_text(engine: Engine):
    plain, typed = engine.generate(
        [ask("aa", max_new_tokens=1), ask("<image><|im_end|></s>", max_new_tokens=1)]
    )
    # One token a character: nothing became an image's four positions or one special token.
    assert typed.prompt_tokens - plain.prompt_tokens == len("<image><|im_end|></s>") - 2
    with_image = ask("<image>", tiny.picture(1), max_new_tokens=1)
    (shown,) = engine.generate([with_image])
    assert shown.prompt_tokens - plain.prompt_tokens == len("<image>\n") - 2 + tiny.IMAGE_TOKENS


def test_an_answer_takes_what_room_the_model_has_left(engine: Engine):
    longest = engine.config.language.max_length
    (short,) = engine.generate([ask("", max_new_tokens=1)])
    question = "x" * (longest - short.prompt_tokens - 2)
    (answer,) = engine.generate([ask(question, max_new_tokens=50)])
    assert answer.prompt_tokens == longest - 2 and len(answer.tokens) <= 2
    with pytest.raises(UserError, match=f"takes {longest} tokens .* at most {longest}"):
        engine.generate([ask(question + "xx")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Request([(USER, [IMAGE, "two?", IMAGE])], [tiny.picture(1)]), "2 images and 1"),
        (lambda: Request([(USER, "<image> none")], [tiny.picture(1)]), "0 images and 1"),
        (lambda: ask("broken", b"no image"), "cannot read the image"),
        (lambda: Request([("nobody", "hello")]), "nobody"),
        (lambda: ask("none", max_new_tokens=0), "max_new_tokens"),
    ],
)
def test_wrong_requests_are_refused(engine: Engine, make, message: str):
    with pytest.raises(UserError, match=message):
        engine.generate([make()])
    with pytest.raises(UserError, match=message):
        next(engine.stream(make()))


def test_an_unknown_template_is_refused():
    with pytest.raises(UserError, match=r"nonsense.*vicuna_v1"):
        tiny.engine("nonsense")


def test_an_empty_prompt_is_refused():
    with pytest.raises(UserError, match="empty"):
        tiny.engine("plain").generate([ask("without an image nothing is left of this")])


def test_a_stream_may_be_left_early(engine: Engine, answers: list[Answer]):
    stream: Iterator[str] = engine.stream(requests()[2])
    assert answers[2].text.startswith(next(stream))
    stream.close()  # type: ignore[attr-defined]
    assert engine.generate(requests()) == answers


def test_casting_parameters_beforehand_changes_no_answer():
    bfloat16 = Compute(dtype=jnp.bfloat16)
    params = tiny.random_params(tiny.CONFIG, bfloat16)
    cast = prepared(params, bfloat16)
    assert cast["language"]["embed"]["embedding"].dtype == jnp.bfloat16
    assert cast["vision"]["position_embedding"].dtype == jnp.float32
    model, pixels = Llava(tiny.CONFIG, bfloat16), np.asarray(tiny.picture(1, 56, 56))[None]
    tokens = jnp.arange(20)[None]
    batch = {
        "images": pixels[None],
        "tokens": tokens,
        "positions": tokens,
        "segments": jnp.ones_like(tokens),
        "image_slots": jnp.where(tokens < 4, tokens, -1),
    }
    logits = [jax.jit(model.apply)({"params": p}, batch) for p in (params, cast)]
    np.testing.assert_array_equal(*logits)


# Images in tiles

PICTURES = [(100, 40), (30, 90), (7, 9), (300, 1)]


@pytest.fixture(scope="module")
def tiling() -> Engine:
    return tiny.engine(config=tiny.TILES)


def tiled_requests() -> list[Request]:
    pictures = [tiny.picture(i, *shape) for i, shape in enumerate(PICTURES)]
    alone = [ask("What?", picture, max_new_tokens=9) for picture in pictures]
    return [*alone, ask("Which?", *pictures[:3], max_new_tokens=9), ask("No picture")]


@pytest.fixture(scope="module")
def tiled_answers(tiling: Engine) -> list[Answer]:
    return tiling.generate(tiled_requests())


def test_prompts_take_what_each_image_takes(tiling: Engine, tiled_answers: list[Answer]):
    (text,) = tiling.generate([ask("What?", max_new_tokens=1)])
    for shape, answer in zip(PICTURES, tiled_answers, strict=False):
        layout = tiny.TILES.layout(shape)
        assert answer.prompt_tokens == text.prompt_tokens + len(layout.slots) + len("\n")


def test_tiled_answers_are_the_model_s_own(tiling: Engine, tiled_answers: list[Answer]):
    """Against prefill and decode over a batch that was put together here."""
    anyres, requests = tiny.TILES.anyres, tiled_requests()
    assert anyres is not None
    pictures = [p for r in requests for p in r.images if isinstance(p, Image.Image)]
    ids = [
        encode_prompt(request.turns, tiling.template, tiling.tokenizer, as_trained=True).tolist()
        for request in requests
    ]
    views = np.concatenate([anyres.views(picture, 56) for picture in pictures])
    layouts = [tiny.TILES.layout(picture.size) for picture in pictures]
    batch = make_batch(ids, tiny.TILES.image_tokens, views, layouts=layouts)
    model = (tiny.TILES, Compute(), tiny.random_params(tiny.TILES, Compute()))
    expected = programs.greedy(*model, batch, 256).tolist()
    for answer, tokens in zip(tiled_answers, expected, strict=True):
        assert answer.tokens == tokens[: len(answer.tokens)]


def test_a_tiled_answer_alone_and_streamed(tiling: Engine, tiled_answers: list[Answer]):
    assert len({answer.text for answer in tiled_answers}) == len(tiled_answers)
    assert "".join(tiling.stream(tiled_requests()[4])) == tiled_answers[4].text


def test_a_broken_image_of_a_tiling_model_is_refused(tiling: Engine):
    with pytest.raises(UserError, match="cannot read the image"):
        tiling.generate([ask("broken", b"no image")])
