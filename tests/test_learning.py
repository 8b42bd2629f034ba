"""What training reaches on a real environment; minutes long: `python -m pytest -m slow`."""

import json
import subprocess
import sys

import pytest

from experiments.tables import ROOT
from gtp_jax.evaluation import success_interval


def _success(workdir, *flags: str) -> list[float]:
    command = [
        sys.executable,
        "-m",
        "experiments.train",
        "--config=configs/pointmaze.py:medium",
        f"--workdir={workdir}",
    ]
    shared = ["--config.dataset=generated", "--config.eval.episodes=100", "--config.eval.sampling_steps=(5,)"]
    subprocess.run([*command, *shared, *flags], cwd=ROOT, check=True)
    members = json.loads((workdir / "results.json").read_text())["members"]
    return [member["eval"]["5"]["success_rate"] for member in members]


@pytest.mark.slow
def test_the_critic_finds_the_goal_that_cloning_does_not(tmp_path):
    guided, cloned = _success(tmp_path / "guided"), _success(tmp_path / "cloned", "--config.agent.eta=0.0")
    assert sum(guided) / len(guided) >= 0.9
    assert success_interval(guided, 100)[0] > success_interval(cloned, 100)[1]
