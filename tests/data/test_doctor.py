"""The doctor counts what is broken, and refuses what a run could not learn from."""

import io

import pytest
from rich.console import Console

from llava_jax.data.doctor import check, examine
from llava_jax.data.survey import survey
from llava_jax.errors import UserError


@pytest.fixture
def troubled(write, caption, image_folder):
    turns = [{"from": "human", "value": "hello"}, {"from": "human", "value": "again"}]
    source = write(
        [
            caption("fine", "1.png", "abc"),
            caption("gone", "missing.png", "abcd"),
            caption("broken", "broken.png", "ab"),
            caption("many", ["1.png", "2.png"], "a"),
            {"id": "odd", "conversations": turns},
        ]
    )
    (image_folder / "broken.png").write_bytes(b"\x89PNG nonsense")
    return source


def test_findings(troubled, encoder, image_folder):
    report = examine(troubled, encoder()).to_dict()
    assert report["records"] == report["scanned"] == 5
    assert report["images"] == 5
    assert report["bad_images"].keys() == {
        str(image_folder / name) for name in ("missing.png", "broken.png")
    }
    assert len(report["nothing_to_learn"]) == 1 and "(id 'odd')" in report["nothing_to_learn"][0]
    assert report["wrong_markers"] == [3]
    assert report["supervised_tokens"] == 4 + 5 + 3 + 2
    assert report["length_max"] == 9 and report["length_mean"] == 7.5
    assert sum(report["length_histogram"]["counts"]) == 4


def test_the_table_names_the_trouble(troubled, encoder):
    console = Console(file=io.StringIO(), width=200)
    examine(troubled, encoder()).show(console)
    text = console.file.getvalue()
    assert "missing.png: no such file" in text and "record 3" in text and "id 'odd'" in text


def test_a_cap_spreads_over_the_source(captions, encoder):
    findings = examine(captions(11), encoder(), cap=3)
    assert findings.scanned == [0, 5, 10] and findings.pictures == 3
    assert findings.to_dict()["records"] == 11


def refusal(source, encoder, **room):
    with pytest.raises(UserError) as refused:
        check(source, survey(source, encoder), **{"images": 1, "targets": 64, **room})
    return str(refused.value)


def test_refuses_data_that_would_all_be_masked(captions, encoder):
    message = refusal(captions(3), encoder(max_length=4))
    assert "every sample would be masked" in message and "record 0 (id 'data-0')" in message


def test_refuses_wrong_markers_and_what_no_row_can_hold(troubled, captions, encoder):
    assert "record 3 (id 'many'), with 1 for 2" in refusal(troubled, encoder())
    assert "raise `images`" in refusal(captions(3), encoder(), images=0)
    message = refusal(captions(3), encoder(), targets=3)
    assert "1 of 3 records" in message and "with 4: raise `targets`" in message


def test_accepts_good_data(captions, encoder):
    source = captions(3)
    check(source, survey(source, encoder()), images=1, targets=4)
