from llava_jax.instruct.sets.split import is_held_out, split

NAMES = [f"{number:012}.jpg" for number in range(2000)]


def test_about_the_share_is_held_out_and_no_image_on_both_sides() -> None:
    items = [(name, kind) for name in NAMES for kind in ("conversation", "detail")]
    train, held_out = split(items, lambda item: item[0], share=0.1, seed=0)
    assert len(train) + len(held_out) == len(items)
    assert 300 < len(held_out) < 500
    assert not {name for name, _ in train} & {name for name, _ in held_out}


def test_more_data_moves_no_image() -> None:
    few, many = (split(names, str, 0.1, 0)[1] for names in (NAMES[::2], NAMES))
    assert set(few) == set(many) & set(NAMES[::2])


def test_a_larger_share_holds_out_more_and_the_seed_others() -> None:
    small, large, other = (
        set(split(NAMES, str, share, seed)[1]) for share, seed in ((0.1, 0), (0.2, 0), (0.1, 1))
    )
    assert small < large
    assert len(small & other) < 0.3 * len(small)
    assert split(NAMES, str, 0.0, 0)[1] == [] == split(NAMES, str, 1.0, 0)[0]


def test_names_of_one_image_fall_on_one_side() -> None:
    for number in range(50):
        names = f"COCO_train2014_{number:012}.jpg", f"train2017/{number:012}.png"
        assert len({is_held_out(name, 0.5, 0) for name in names}) == 1
