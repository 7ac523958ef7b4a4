"""The survey measures what the encoder makes of each record, and remembers it."""

from llava_jax.data.records import LlavaJson
from llava_jax.data.samples import ConversationEncoder
from llava_jax.data.survey import survey


def test_numbers_of_each_record(write, caption, encoder):
    turns = [{"from": "human", "value": "typed <image>"}, {"from": "gpt", "value": "yes"}]
    source = write(
        [
            caption("short", "1.png", "abc"),
            caption("two", ["1.png", "missing.png"], "abc"),
            caption("long", "1.png", "a" * 100),
            {"id": "text", "conversations": turns},
        ]
    )
    found = survey(source, encoder(max_length=20))
    assert found.lengths.tolist() == [4 + 3 + 1, 4 + 3 + 1, 20, 0]
    assert found.supervised.tolist() == [4, 4, 16, 0]
    assert found.markers.tolist() == [1, 1, 1, 0]
    assert found.images.tolist() == [1, 2, 1, 0]
    assert found.usable.tolist() == [True, True, True, False]
    assert list(found.problems) == [3] and "(id 'text')" in found.problems[3]


def test_records_whose_answers_are_cut_off(captions, encoder):
    found = survey(captions(2), encoder(max_length=4))
    assert not found.usable.any()
    assert "lies beyond the 4 tokens that are kept" in found.problems[1]


def test_the_cache_is_found_again_until_data_or_encoding_change(captions, encoder, tmp_path):
    source, calls = captions(5), []

    class Counting(ConversationEncoder):
        def __call__(self, record):
            calls.append(record.id)
            return super().__call__(record)

    def look(max_length=64):
        plain = encoder(max_length=max_length)
        counting = Counting(plain.template, plain.tokenizer, plain.image_tokens, max_length)
        found = survey(source, counting, cache=tmp_path / "cache")
        return found.lengths.tolist(), found.problems

    first = look()
    assert first[0] == [4 + 1 + 1 + i for i in range(5)] and len(calls) == 5
    assert look() == first and len(calls) == 5
    assert look(max_length=4)[0] == [4] * 5 and len(calls) == 10
    assert list(look(max_length=4)[1]) == [0, 1, 2, 3, 4] and len(calls) == 10
    source = captions(6)
    assert len(look()[0]) == 6 and len(calls) == 16


def test_real_pairs(shared_data, encoder):
    folder = shared_data / "lcs_2k"
    source = LlavaJson(folder / "chat.json", folder / "images")
    found = survey(source, encoder(max_length=256), range(0, 1600, 10))
    assert found.usable.all() and not found.problems
    assert (found.markers == 1).all() and (found.images == 1).all()
    caption = source[10].conversations[1]["value"]
    assert found.supervised[1] == len(caption) + 1
