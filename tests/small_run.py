"""A small run of `experiments.train`, and what tests read of what it leaves."""

import json
import pathlib
import time

from gtp_jax.data import generate_mazes
from gtp_jax.tasks import get

REPOSITORY = pathlib.Path(__file__).parents[1]
POINT = get("pointmaze/umaze")
DATA = generate_mazes.dataset_id(POINT, 2000, 0)
# Guided, so that the critic is covered, and with a kill between any two of six checkpoints.
SMALL = (
    "--config=configs/pointmaze.py",
    "--config.agent.hidden_dims=(16,)",
    "--config.agent.critic_hidden_dims=(16,)",
    "--config.agent.eta=3",
    "--config.num_seeds=2",
    "--config.num_steps=600",
    "--config.batch_size=32",
    "--config.generate.num_transitions=2000",
    "--config.eval.episodes=2",
    "--config.eval.sampling_steps=(1,2)",
    "--config.eval.interval=300",
    "--config.log.interval=100",
    "--config.checkpoint.interval=100",
)


def read(path):
    return json.loads(path.read_text())


def metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def digests(workdir):
    return [member["params_digest"] for member in read(workdir / "results.json")["members"]]


def wait_until(process, happened, seconds: float = 300) -> None:
    """Waits for something while a process runs."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.01)
