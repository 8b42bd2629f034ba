"""Metrics are whole lines and TensorBoard events, each step once, also after a kill and a resume."""

import contextlib
import json
import struct
import time

import pytest
from tensorboardX.proto.event_pb2 import Event

from gtp_jax.logging import MetricsLogger

NAMES = ["pointmaze/umaze-seed0", "pointmaze/umaze-seed1"]


def log(workdir, steps, *, resume=0):
    with contextlib.closing(MetricsLogger(workdir, NAMES, resume)) as logger:
        for step in steps:
            rows = [{"loss": step + 0.5}, {"loss": -step}]
            logger.write(step, rows, rows)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def steps(workdir):
    return [line["step"] for line in lines(workdir)]


def events(workdir, name):
    """All events of one member, file by file, in the order written."""
    found = []
    for path in sorted((workdir / "tensorboard" / name).iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, start = path.read_bytes(), 0
        while start < len(data):  # TFRecord: length, its checksum, content, its checksum
            (size,) = struct.unpack_from("<Q", data, start)
            found.append(Event.FromString(data[start + 12 : start + 12 + size]))
            start += 16 + size
    return found


def scalars(workdir, name):
    """What TensorBoard shows: {step: value}, without what a later start of the run purged."""
    shown = {}
    for event in events(workdir, name):
        if event.session_log.status == event.session_log.START:
            shown = {step: value for step, value in shown.items() if step < event.step}
        for value in event.summary.value:
            assert value.tag == "loss" and event.step not in shown
            shown[event.step] = value.simple_value
    return shown


def test_a_line_holds_the_step_and_one_value_a_member(tmp_path):
    log(tmp_path, [10])
    assert lines(tmp_path) == [{"step": 10, "loss": [10.5, -10]}]


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    with contextlib.closing(MetricsLogger(tmp_path, NAMES, 0)) as logger:
        logger.write(10, [{}, {}], [{"loss": 0.0}, {}])
        assert steps(tmp_path) == [10]


def test_resuming_drops_what_came_after_the_checkpoint_and_holds_each_step_once(tmp_path):
    log(tmp_path, [10, 20, 30])
    log(tmp_path, [30, 40], resume=20)
    assert steps(tmp_path) == [10, 20, 30, 40]


def test_starting_again_from_nothing_keeps_nothing(tmp_path):
    log(tmp_path, [10, 20])
    log(tmp_path, [10], resume=0)
    assert steps(tmp_path) == [10]


@pytest.mark.parametrize("half", ['{"step": 20, "lo', '{"step": 20, "loss": [20.5, -20]}', "{"])
def test_resuming_drops_a_half_written_last_line(half, tmp_path):
    log(tmp_path, [10])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(half)
    log(tmp_path, [20], resume=10)
    assert lines(tmp_path) == [{"step": 10, "loss": [10.5, -10]}, {"step": 20, "loss": [20.5, -20]}]


def test_tensorboard_has_a_run_for_each_member_with_its_own_values(tmp_path):
    log(tmp_path, [10, 20])
    assert scalars(tmp_path, NAMES[0]) == {10: 10.5, 20: 20.5}
    assert scalars(tmp_path, NAMES[1]) == {10: -10.0, 20: -20.0}


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path):
    log(tmp_path, [10, 20, 30])
    time.sleep(1.1)  # event files are named after the second they begin in
    log(tmp_path, [30, 40], resume=20)
    assert list(scalars(tmp_path, NAMES[0])) == [10, 20, 30, 40]


def test_a_metric_that_a_member_does_not_have_is_null(tmp_path):
    with contextlib.closing(MetricsLogger(tmp_path, NAMES, 0)) as logger:
        logger.write(10, [{}, {}], [{"loss": 1.0}, {"other": 2.0}])
    assert lines(tmp_path) == [{"step": 10, "loss": [1.0, None], "other": [None, 2.0]}]


def test_only_the_first_process_writes_the_lines_of_all(tmp_path):
    with contextlib.closing(MetricsLogger(tmp_path, NAMES[:1], 0, is_first=False)) as logger:
        logger.write(10, [{"loss": 1.0}], [{"loss": 1.0}, {"loss": 2.0}])
    assert not (tmp_path / "metrics.jsonl").exists() and scalars(tmp_path, NAMES[0]) == {10: 1.0}


def test_a_member_without_metrics_of_its_own_is_an_error(tmp_path):
    with contextlib.closing(MetricsLogger(tmp_path, NAMES, 0)) as logger, pytest.raises(ValueError):
        logger.write(10, [{"loss": 0.0}], [{"loss": 0.0}])


def test_a_value_that_is_not_finite_keeps_the_line_valid_json(tmp_path):
    logger = MetricsLogger(tmp_path, ["member"], step=0)
    logger.write(1, [{}], [{"loss": float("nan")}])
    logger.close()
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] == [None]
