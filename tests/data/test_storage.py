"""Remote data are the same data: read lazily or copied once, and clear about what went wrong."""

import http.server
import json
import multiprocessing
import os
import pickle
import shutil
import threading
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest

from llava_jax.config import Source
from llava_jax.data import storage
from llava_jax.data.bad_images import BadImages
from llava_jax.data.pipeline import SourceSpec, make_dataset
from llava_jax.data.plan import BatchShape
from llava_jax.data.records import LlavaJson, Record, StoredImage
from llava_jax.data.storage import RemoteFile, copied
from llava_jax.data.tfds_builder import LlavaTfds, build
from llava_jax.errors import UserError
from llava_jax.images import ImageError, Preprocessing
from llava_jax.training.stage import open_source

NOWHERE = "http://127.0.0.1:9/data"  # a port at which nobody listens


@pytest.fixture(params=["memory", "gs"])
def remote(request, gcs, tmp_path, monkeypatch) -> str:
    """The URL of an empty folder; copies of what it holds go to a cache of the test's own."""
    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path / "cache"))
    return f"{request.param}://bucket/{tmp_path.name}"


def upload(folder: Path, url: str) -> None:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        put(f"{url}/{path.relative_to(folder)}", path.read_bytes())


def put(url: str, content: bytes) -> None:
    system, path = fsspec.core.url_to_fs(url)
    system.pipe_file(path, content)


@pytest.fixture
def downloads(monkeypatch) -> list[str]:
    """The names of the files that are copied from now on."""
    names, download = [], RemoteFile.download

    def counted(self, target, tell):
        names.append(self.name)
        download(self, target, tell)

    monkeypatch.setattr(RemoteFile, "download", counted)
    return names


@pytest.fixture
def uploaded(captions, tmp_path, image_folder, remote):
    """Five captions here, and their URLs there."""
    local = captions(5)
    put(f"{remote}/data.json", local.path.read_bytes())
    upload(image_folder, f"{remote}/images")
    return local, f"{remote}/data.json", f"{remote}/images"


def in_memory(record: Record) -> Record:
    images = tuple(StoredImage(image.name, image.read()) for image in record.images)
    return Record(record.id, record.conversations, images)


def test_the_same_records(uploaded, downloads):
    local, data, images = uploaded
    source = LlavaJson(data, images)
    assert source.name == data and [in_memory(r) for r in source] == [in_memory(r) for r in local]
    assert source[3].images[0].load() == local[3].images[0].load()
    again = pickle.loads(pickle.dumps(source))
    assert again[4] == source[4] and len(pickle.dumps(source)) < 1000
    LlavaJson(data, images)
    assert downloads == ["data.json"]  # once, and no image


def test_changed_data_are_copied_anew(uploaded, downloads):
    local, data, images = uploaded
    before = LlavaJson(data, images)
    first = before.fingerprint()
    assert LlavaJson(data, images).fingerprint() == first
    records = json.loads(local.path.read_text())
    put(data, json.dumps(records[:2]).encode())
    after = LlavaJson(data, images)
    assert len(after) == 2 and after.fingerprint() != first and len(downloads) == 2
    assert before[4].id == "data-4"  # a run that goes on keeps what it began with


def test_keys_and_missing_images(uploaded):
    _, data, images = uploaded
    image = LlavaJson(data, images)[1].images[0]
    key = image.key()
    assert image.key() == key
    put(f"{images}/data1.png", b"no image")
    assert image.key() != key
    with pytest.raises(ImageError, match=r"images/data1\.png: cannot identify"):
        image.load()
    gone = StoredImage("gone.png", RemoteFile(f"{images}/gone.png"))
    for read in (gone.read, gone.load, gone.key):
        with pytest.raises(ImageError, match=r"://.*images/gone\.png: no such file"):
            read()


def test_what_is_not_there(uploaded, remote):
    _, data, _ = uploaded
    with pytest.raises(UserError, match=r"cannot read the data .*nowhere\.json: there is no such"):
        LlavaJson(f"{remote}/nowhere.json")
    with pytest.raises(UserError, match=r"none of 5 images looked for .*such as data0\.png"):
        LlavaJson(data, f"{remote}/elsewhere")
    with pytest.raises(UserError, match="holds no TFDS data set"):
        LlavaTfds(f"{remote}/images")
    with pytest.raises(UserError, match="build in a local folder"):
        build(data, None, f"{remote}/built", BadImages())


def test_a_tfds_build(uploaded, remote, tmp_path, downloads):
    local, data, images = uploaded
    built = build(data, images, tmp_path / "tfds", BadImages())  # from remote records, too
    upload(tmp_path / "tfds", f"{remote}/tfds")
    downloads.clear()
    source = LlavaTfds(f"{remote}/tfds")
    assert list(source) == list(built) == [in_memory(record) for record in local]
    assert source.name == f"{remote}/tfds/llava_records/1.0.0"
    assert source.fingerprint() == built.fingerprint()
    again = pickle.loads(pickle.dumps(source))
    assert again[2] == source[2] and len(pickle.dumps(source)) < 1000
    LlavaTfds(f"{remote}/tfds/llava_records/1.0.0")
    assert sorted(downloads) == sorted(p.name for p in built.path.iterdir())


def test_a_recipe_may_name_either(uploaded, remote, tmp_path):
    local, data, images = uploaded
    build(local.path, local.image_folder, tmp_path / "tfds", BadImages())
    upload(tmp_path / "tfds", f"{remote}/tfds")
    assert isinstance(open_source(Source(data, images), tmp_path), LlavaJson)
    folder = f"{remote}/tfds/llava_records/1.0.0"
    assert isinstance(open_source(Source(folder), tmp_path), LlavaTfds)


@pytest.mark.parametrize("remote", ["gs"], indirect=True)  # memory:// is one process's own
def test_worker_processes_make_the_same_batches(uploaded, encoder):
    local, data, images = uploaded

    def batches(source, workers):
        return make_dataset(
            [SourceSpec(source)],
            encoder(),
            BatchShape(2, 64, 1),
            Preprocessing(8, "crop"),
            seed=1,
            steps=4,
            workers=workers,
        )

    pairs = zip(batches(local, 0), batches(LlavaJson(data, images), 2), strict=True)
    for expected, batch in pairs:
        assert expected["images"].any()
        for name in expected:
            np.testing.assert_array_equal(batch[name], expected[name])


def test_a_copy_that_broke_off_goes_on(remote, monkeypatch, downloads):
    files = {}
    for name in "abc":
        put(f"{remote}/{name}", name.encode() * 1000)
        files[name] = RemoteFile(f"{remote}/{name}")
    download = RemoteFile.download

    def breaks(self, target, tell):
        download(self, target, tell)
        if self.name == "b":
            target.write_bytes(b"bbb")

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFile, "download", breaks)
        with pytest.raises(UserError, match="b broke off at 3 of 1000 bytes"):
            copied(files)
    downloads.clear()
    folder = copied(files)
    assert "b" in downloads and "a" not in downloads
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: name.encode() * 1000 for name in "abc"
    }


def test_a_full_disk(remote, monkeypatch):
    put(f"{remote}/big", b"big")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage._replace(free=2))
    with pytest.raises(UserError, match=r"the disk has 0\.0\. Make room there, or set LLAVA"):
        copied({"big": RemoteFile(f"{remote}/big")})


def test_storage_that_cannot_be_reached_is_no_bad_image():
    for url in (NOWHERE, "nonsense://data"):
        image = StoredImage("1.png", RemoteFile(url) / "1.png")
        for ask in (image.load, image.key, lambda url=url: LlavaJson(f"{url}/chat.json")):
            with pytest.raises(UserError, match=r"cannot read .*://.*Check the address") as refused:
                ask()
            assert not isinstance(refused.value, ImageError)  # skipping would lose the data set


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("remote", ["gs"], indirect=True)
def test_storage_that_goes_away_ends_the_run(uploaded, encoder, workers):
    """Also with on_bad_image="skip", and seen from a worker's process."""
    _, data, images = uploaded
    source = LlavaJson(data, images)
    source.image_folder = RemoteFile(NOWHERE)
    options = {"seed": 1, "steps": 4, "workers": workers}
    batches = make_dataset(
        [SourceSpec(source)], encoder(), BatchShape(2, 64, 1), Preprocessing(8, "crop"), **options
    )
    with pytest.raises(UserError, match=f"cannot read {NOWHERE}.*Check the address"):
        list(batches)
    assert not batches.bad_images.times


class Counting(http.server.SimpleHTTPRequestHandler):
    """Serves a folder slowly, and remembers what was asked for."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        threading.Event().wait(1)
        super().do_GET()

    def log_message(self, *_) -> None:
        pass


def open_and_count(url: str) -> int:
    return len(copied({"data.json": RemoteFile(url)}).joinpath("data.json").read_bytes())


def test_processes_of_one_host_share_a_copy(tmp_path, monkeypatch):
    """Over http, which is one more protocol."""
    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data.json").write_bytes(b"x" * 5000)
    handler = partial(Counting, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/data.json"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(open_and_count, [url] * 3, chunksize=1) == [5000] * 3
    server.shutdown()
    assert Counting.asked.count("/data.json") == 1, Counting.asked
    assert os.listdir(tmp_path / "cache" / "remote")
