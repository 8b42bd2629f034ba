"""The benchmark measures what it says; how long things take is not tested."""

import json
import os
import subprocess
import sys

import pytest
from small_run import REPOSITORY

from experiments.benchmarks import against, populations
from gtp_jax.errors import UserError


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.benchmark", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What is printed and what is written."""
    file = tmp_path_factory.mktemp("benchmark") / "benchmark.json"
    result = run("--members=4", "--updates=1", "--preset=bc", f"--output={file}")
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(file.read_text())


def test_a_population_is_timed_and_weighed(measured):
    (row,) = measured[1]["populations"]
    assert row["member_updates_per_s"] == pytest.approx(row["members"] / row["update_s"])
    assert len(row["update_s_all"]) == 7 and row["compile_s"] > 0
    assert row["peak_resident_bytes"] > row["program_bytes"] > row["members"] * row["state_bytes_a_member"]


def test_a_second_population_compiles_nothing_new(measured):
    assert [row["compiled_anew"] for row in measured[1]["populations"]] == [[]]
    assert "of other seeds and numbers, compiled nothing anew" in measured[0]


def test_cost_is_relative_to_four_members_and_growth_to_the_row_before():
    counts, seconds, taken = (1, 4, 32), (0.5, 1.0, 8.8), (100, 130, 970)
    rows = [
        {"members": count, "update_s": each, "program_bytes": size, "peak_resident_bytes": 2 * size}
        for count, each, size in zip(counts, seconds, taken)
    ]
    populations.relate(rows)
    assert [row["relative_cost"] for row in rows] == pytest.approx([2.0, 1.0, 1.1])
    assert [row["program_bytes_a_member"] for row in rows] == [None, 10, 30]
    assert [row["peak_resident_bytes_a_member"] for row in rows] == [None, 20, 60]
    populations.relate(rows[:1])
    assert rows[0]["relative_cost"] is None


def test_the_table_is_markdown_with_a_row_for_each(measured):
    lines = [line for line in measured[0].splitlines() if line.startswith("|")]
    assert len(lines) == 3 and {line.count("|") for line in lines} == {12}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--members=2,0",), "--members=2,0 must be whole numbers of at least 1"),
        (("--output=/nowhere/at/all.json",), "--output=/nowhere/at/all.json lies in no folder"),
    ],
)
def test_it_refuses(arguments, message):
    result = run(*arguments)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and message in result.stderr


@pytest.mark.parametrize("system", ["diffusion_ql", "consistency_ac"])
def test_what_ours_is_timed_against_learns(system):
    """Rewarded are actions above 0; the data hold both modes."""
    torch = pytest.importorskip("torch")
    from experiments.benchmarks import reference

    torch.set_num_threads(1)  # other tests have the other cores
    torch.manual_seed(0)
    agent = getattr(reference, system)(3, 2, (64, 64))
    sign = torch.randint(0, 2, (256, 1)) * 2.0 - 1
    obs, action, reward = torch.zeros(256, 3), 0.5 * sign.expand(256, 2), (sign[:, 0] > 0).float()
    losses = [agent.update(obs, action, reward, obs, torch.zeros(256)) for _ in range(300)]
    assert sum(critic for critic, _ in losses[-10:]) < 0.2 * sum(critic for critic, _ in losses[:10])
    assert agent.actor_ema.sample(obs).mean() > 0.2


def test_without_pytorch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="needs PyTorch: pip install"):
        against.measure(1)
