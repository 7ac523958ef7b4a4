"""Batches: right, the same whoever makes them, and resumed exactly."""

import logging

import numpy as np
import pytest

from llava_jax.data.bad_images import BadImages
from llava_jax.data.features import FeatureCache
from llava_jax.data.pipeline import BatchShape, SourceSpec, make_dataset
from llava_jax.data.records import LlavaJson
from llava_jax.data.tfds_builder import build
from llava_jax.errors import UserError
from llava_jax.images import Preprocessing

SQUARE = Preprocessing(8, "crop")
SHAPE = BatchShape(rows=4, length=64, images=5)


@pytest.fixture
def mixture(captions, encoder):
    """Makes a packed mixture of two sources."""
    sources = [SourceSpec(captions(60, "many"), 2.0), SourceSpec(captions(15, "few"), 1.0, 0.5)]

    def make(**options):
        options = {"steps": 12, "pack_rows": True, **options}
        return make_dataset(sources, encoder(), SHAPE, SQUARE, seed=1, **options)

    return make


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def samples_in(batch, letters):
    """(text, colour of the image, loss weight) of each packed sample."""
    for row in range(len(batch["tokens"])):
        for segment in range(1, batch["segments"][row].max() + 1):
            here = batch["segments"][row] == segment
            learned = here & (batch["loss_weights"][row] > 0)
            slots = batch["image_slots"][row][here]
            slots = slots[slots >= 0]
            assert (batch["positions"][row][here] == np.arange(here.sum())).all()
            assert (np.diff(slots) == 1).all() and len(slots) == 4 and slots[0] % 4 == 0
            text = letters.decode(batch["tokens"][row][learned].tolist())
            colour = batch["images"][row, slots[0] // 4, 0, 0].tolist()
            yield text, colour, batch["loss_weights"][row][learned].max()


def test_every_sample_meets_its_own_image(mixture, letters):
    seen = [sample for batch in mixture() for sample in samples_in(batch, letters)]
    assert len(seen) > 100
    for text, (red, green, blue), weight in seen:
        assert text == "abc"[red % 3] * (1 + red % 30) + "\n"
        assert (green, blue) == (100, 50) and weight in (0.5, 1.0)
    assert 0.25 < np.mean([weight == 0.5 for *_, weight in seen]) < 0.4


def test_the_static_batch(mixture):
    dataset = mixture()
    assert len(dataset) == 12
    batches = list(dataset)
    assert len(batches) == 12
    for batch in batches:
        assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
            "tokens": ((4, 64), "int32"),
            "positions": ((4, 64), "int32"),
            "segments": ((4, 64), "int32"),
            "loss_weights": ((4, 64), "float32"),
            "image_slots": ((4, 64), "int32"),
            "images": ((4, 5, 8, 8, 3), "uint8"),
        }
    filled = np.mean([batch["segments"] > 0 for batch in batches])
    assert filled == pytest.approx(dataset.plan.fill) and filled > 0.9


@pytest.mark.parametrize("stop", [0, 5, 12])
def test_resumes_exactly_mid_epoch(mixture, stop):
    whole = list(mixture())
    first = iter(mixture())
    for _ in range(stop):
        next(first)
    state = first.get_state()
    resumed = iter(mixture())
    resumed.set_state(state)
    assert_same(resumed, whole[stop:])
    first.set_state({**state, "row": 0})  # back to the start, in the same iterator
    assert_same(first, whole)


def shares(count):
    """The rows of each of `count` processes."""
    return [rows.tolist() for rows in np.split(np.arange(SHAPE.rows), count)]


def test_processes_share_each_batch_and_may_become_more(mixture):
    whole = list(mixture())

    def shared(count, state=None):
        iterators = [iter(mixture(own_rows=rows)) for rows in shares(count)]
        for iterator in iterators:
            if state is not None:
                iterator.set_state(state)
        for parts in zip(*iterators, strict=True):
            yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    assert_same(shared(2), whole)
    begun = iter(mixture(own_rows=[2, 3]))
    for _ in range(7):
        next(begun)
    assert_same(shared(4, begun.get_state()), whole[7:])
    assert_same(shared(1, begun.get_state()), whole[7:])


def test_a_run_that_changes_its_processes_on_the_way(mixture):
    """Two processes, then one, then four: the global batches are those of an undisturbed run."""
    whole = list(mixture())
    state, met = None, []
    for count, batches in ((2, 3), (1, 4), (4, 5)):
        iterators = [iter(mixture(own_rows=rows)) for rows in shares(count)]
        for iterator in iterators:
            if state is not None:
                iterator.set_state(state)
        for _ in range(batches):
            parts = [next(iterator) for iterator in iterators]
            met.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        states = [iterator.get_state() for iterator in iterators]
        assert all(other == states[0] for other in states)  # any process may save it
        state = states[0]
    assert_same(met, whole)


@pytest.mark.slow
def test_workers_give_the_same_batches_states_and_errors(mixture, image_folder):
    for name in ("many3.png", "few3.png"):
        (image_folder / name).write_bytes(b"nothing")
    alone = mixture()
    before = iter(alone)
    whole = [next(before) for _ in range(3)]
    state = before.get_state()
    whole += list(before)
    alone.bad_images.times.clear()

    dataset = mixture(workers=2)
    iterator = iter(dataset)
    iterator.set_state(state)
    assert_same([next(iterator) for _ in range(5)], whole[3:8])
    later = iterator.get_state()
    assert_same(iterator, whole[8:])
    iterator.close()

    before.set_state(state)
    list(before)
    assert dataset.bad_images.times == alone.bad_images.times
    assert sum(dataset.bad_images.times.values()) > 0
    before.set_state(later)
    assert_same(before, whole[8:])


def test_one_sample_a_row_and_the_last_batch_filled_up(captions, encoder):
    source = captions(10)
    options = {"seed": 0, "epochs": 1.0}
    dataset = make_dataset([SourceSpec(source)], encoder(), SHAPE, SQUARE, **options)
    batches = list(dataset)
    assert len(batches) == len(dataset) == 3
    rows = np.concatenate([batch["segments"] for batch in batches])
    assert rows.max(1).tolist() == [1] * 10 + [0] * 2
    assert sorted((rows > 0).sum(1).tolist()) == [0, 0, *(4 + 2 + i for i in range(10))]


def test_json_and_tfds_give_the_same_batches(captions, encoder, tmp_path, image_folder):
    loose = captions(10)
    built = build(loose.path, image_folder, tmp_path / "tfds", BadImages())
    options = {"seed": 0, "epochs": 1.0, "pack_rows": True}
    both = [
        make_dataset([SourceSpec(source)], encoder(), SHAPE, SQUARE, **options)
        for source in (loose, built)
    ]
    assert_same(*both)


def test_features_take_the_place_of_images(captions, encoder, tmp_path):
    source = captions(10)
    cache = FeatureCache.build(
        tmp_path / "features",
        [source],
        lambda images: images.reshape(3, -1, 16)[:, :6].astype(np.float32),
        tower="t",
        preprocessing=SQUARE,
        batch=3,
        bad_images=BadImages(),
    )
    options = {"seed": 0, "epochs": 1.0, "pack_rows": True}
    spec = SourceSpec(source, features=cache)
    with_features = list(make_dataset([spec], encoder(), SHAPE, SQUARE, **options))
    with_images = list(make_dataset([SourceSpec(source)], encoder(), SHAPE, SQUARE, **options))
    for batch, pixels in zip(with_features, with_images, strict=True):
        features = batch.pop("features")
        images = pixels.pop("images")
        assert features.shape == (4, 5, 6, 16) and features.dtype.name == "bfloat16"
        assert_same([batch], [pixels])
        expected = images.reshape(4, 5, -1, 16)[:, :, :6]
        np.testing.assert_array_equal(features.astype(np.float32), expected.astype(np.float32))
    with pytest.raises(UserError, match="either all sources"):
        make_dataset([spec, SourceSpec(source)], encoder(), SHAPE, SQUARE, **options)


def test_bad_images_are_skipped_and_reported(captions, encoder, image_folder, caplog):
    source = captions(12)
    (image_folder / "data3.png").write_bytes(b"nothing")
    (image_folder / "data7.png").unlink()
    options = {"seed": 0, "epochs": 2.0, "pack_rows": True}
    dataset = make_dataset([SourceSpec(source)], encoder(), SHAPE, SQUARE, **options)
    batches = list(dataset)
    samples = sum(int(batch["segments"].max(1).sum()) for batch in batches)
    assert samples == 2 * 10
    bad = {str(image_folder / name) for name in ("data3.png", "data7.png")}
    assert dataset.bad_images.times == dict.fromkeys(bad, 2)
    assert dataset.bad_images.to_dict()[str(image_folder / "data7.png")] == "no such file"
    assert all(f"{name}" in caplog.text for name in bad) and len(caplog.records) == 2


def test_bad_images_may_end_the_run(captions, encoder, image_folder):
    source = captions(12)
    (image_folder / "data3.png").write_bytes(b"nothing")
    options = {"seed": 0, "epochs": 1.0, "on_bad_image": "fail"}
    dataset = make_dataset([SourceSpec(source)], encoder(), SHAPE, SQUARE, **options)
    with pytest.raises(UserError, match=r"data3\.png: cannot identify .* on_bad_image='skip'"):
        list(dataset)


def test_a_run_survives_when_no_image_can_be_read(captions, encoder, image_folder):
    source = captions(6)
    for path in image_folder.iterdir():
        path.unlink()
    dataset = make_dataset([SourceSpec(source)], encoder(), SHAPE, SQUARE, seed=0, epochs=1.0)
    for batch in dataset:
        assert not batch["loss_weights"].any() and not batch["segments"].any()
    assert len(dataset.bad_images.times) == 6


def test_records_with_nothing_to_learn_are_left_out_and_named(write, caption, encoder, caplog):
    odd = {"id": "odd", "conversations": [{"from": "gpt", "value": "alone"}]}
    source = write([caption("a", "1.png", "x"), odd, caption("b", "2.png", "y")])
    with caplog.at_level(logging.WARNING):
        dataset = make_dataset([SourceSpec(source)], encoder(), SHAPE, SQUARE, seed=0, epochs=1.0)
    assert sorted(dataset.plan.records.tolist()) == [0, 2]
    assert "1 of 3 records" in caplog.text and "(id 'odd')" in caplog.text


def test_sizes_that_do_not_go_together(captions, encoder):
    spec = SourceSpec(captions(3))

    def make(sources=(spec,), length=64, shape=SHAPE, **options):
        encode = encoder(max_length=length)
        make_dataset(list(sources), encode, shape, SQUARE, seed=0, epochs=1.0, **options)

    with pytest.raises(UserError, match="at least one source"):
        make(sources=())
    with pytest.raises(UserError, match="samples of 65 tokens do not fit in 64"):
        make(length=65)
    with pytest.raises(UserError, match="every sample would be masked"):
        make(length=4)


def test_a_state_of_other_data_is_refused(mixture):
    state = iter(mixture()).get_state()
    with pytest.raises(UserError, match="belongs to other data"):
        iter(mixture(pack_rows=False)).set_state(state)
    with pytest.raises(UserError, match="within a batch of 4 rows"):
        iter(mixture()).set_state({**state, "row": 6})


def test_real_pairs(shared_data, encoder):
    folder = shared_data / "lcs_2k"
    source = LlavaJson(folder / "chat.json", folder / "images")
    shape = BatchShape(rows=8, length=256, images=8)
    encode = encoder(max_length=256)
    options = {"seed": 0, "steps": 4, "pack_rows": True}
    dataset = make_dataset([SourceSpec(source)], encode, shape, Preprocessing(28), **options)
    assert dataset.plan.fill > 0.95
    texts = {record.conversations[1]["value"] + "\n" for record in source}
    for batch in dataset:
        for row in range(8):
            learned = batch["loss_weights"][row] > 0
            for segment in np.unique(batch["segments"][row][learned]):
                tokens = batch["tokens"][row][learned & (batch["segments"][row] == segment)]
                assert encode.tokenizer.decode(tokens.tolist()) in texts
