"""A run's folder, local or in a bucket: where its files go, and what is said if they cannot."""

from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.report import read_report, update_report
from llava_jax.run_folder import is_remote, on_disk, refuse_url, run_folder, writable, write_whole
from llava_jax.training.metrics import MetricsLog


def test_a_local_folder_is_its_own_place_on_disk(tmp_path: Path) -> None:
    assert run_folder(str(tmp_path)) == on_disk(tmp_path) == tmp_path and not is_remote(tmp_path)
    assert run_folder("~/run") == Path.home() / "run"


def test_places_that_cannot_be_written_are_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match="--workdir is empty"):
        run_folder("")
    with pytest.raises(UserError, match="make room, or name a folder"):
        write_whole(tmp_path / "file" / "recipe.json", b"{}")
    for place in (tmp_path, tmp_path / "file" / "x.json"):
        with pytest.raises(UserError, match=r"--out=.* cannot be written"):
            writable("--out", str(place))
    assert writable("--out", str(tmp_path / "file")).read_text() == "kept"
    assert not writable("--out", str(tmp_path / "new" / "x.json")).exists()


def test_urls_have_places_of_their_own_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path))
    places = {on_disk(run_folder(f"gs://bucket/{name}")) for name in ("a", "b", "b/c", "b")}
    assert len(places) == 3 and all(place.is_relative_to(tmp_path) for place in places)


def test_urls_that_cannot_be_written_to(gcs: None, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"http://host/run.*give gs://BUCKET"):
        run_folder("http://host/run")
    with pytest.raises(UserError, match=r"--source=gs://b/run is a URL.*gcloud storage cp"):
        refuse_url("--source", "gs://b/run")
    refuse_url("--source", "llava-hf/llava-1.5-7b-hf")
    with pytest.raises(UserError, match=r"gs://no_such_bucket/a.json .*see that the bucket exists"):
        write_whole(run_folder("gs://no_such_bucket/a.json"), b"{}")


def test_a_report_in_a_bucket(gcs: None) -> None:
    folder = run_folder("gs://bucket/report")
    assert read_report(folder) == {}
    update_report(folder, evaluated={"align": 8})
    update_report(folder, held_out=0.5)
    assert read_report(folder) == {"evaluated": {"align": 8}, "held_out": 0.5}


def test_metrics_in_a_bucket_go_on_where_they_were_published(
    gcs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder("gs://bucket/stage")

    def lines() -> list[str]:
        return (folder / "metrics.jsonl").read_text().splitlines()

    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path / "first"))
    lost = MetricsLog(folder, 0)  # never closed: its machine is taken away
    for step in range(4):
        lost.write(step, {"loss": 1.0})
    lost.publish()
    lost.write(4, {"loss": 1.0})
    assert len(lines()) == 4
    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path / "second"))
    with MetricsLog(folder, 3) as log:
        log.write(3, {"loss": 2.0})
    assert lines() == [f'{{"step": {i}, "loss": {1.0 if i < 3 else 2.0}}}' for i in range(4)]
    (path,) = (tmp_path / "second").rglob("events*")
    assert (folder / "tensorboard" / path.name).read_bytes() == path.read_bytes()
