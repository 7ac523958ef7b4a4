import json
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from llava_jax.errors import UserError
from llava_jax.training.metrics import MetricsLog


def steps_in(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]


def test_a_resumed_run_drops_what_comes_again(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, 0) as log:
        for step in range(5):
            log.write(step, {"loss": 1.0 / (step + 1)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # cut off by a kill
    with MetricsLog(tmp_path, 3) as log:
        assert steps_in(tmp_path) == [0, 1, 2]
        log.write(3, {"loss": 9.0})
    assert steps_in(tmp_path) == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", [b"garbage\n", b"\xff\xff\n", b"{}\n"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 0}\n' + damage + b'{"step": 1}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl has a damaged line.*remove that line"):
        MetricsLog(tmp_path, 2)
    assert len((tmp_path / "metrics.jsonl").read_bytes().splitlines()) == 3


def test_tensorboard_gets_the_same_values(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, 0) as log:
        log.write(0, {"loss": 2.5, "grad_norm": 1.5})
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, found = path.read_bytes(), {}
    while data:  # TFRecord: length, its checksum, event, checksum
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        found |= {value.tag: value.simple_value for value in event.summary.value}
        data = data[16 + size :]
    assert found == {"loss": 2.5, "grad_norm": 1.5}
