"""The benchmark measures what it says; how long things take is not tested."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from small_run import REPOSITORY

from experiments.benchmarks import acting, against, flops, parts, populations
from gtp_jax.errors import UserError
from gtp_jax.presets import PRESETS

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = {"hidden_dims": (8,), "critic_hidden_dims": (8,)}


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
    result = run("--only=populations", "--members=4", "--updates=1", "--preset=bc", f"--output={file}")
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


def test_without_a_critic_no_time_goes_to_sampling_and_some_to_the_data():
    seconds = parts.measure(dataclasses.replace(PRESETS["bc"], **TINY), num_updates=1)
    assert seconds["sampling"] == 0 < seconds["data"]


def test_the_shares_of_the_parts_are_of_their_sum():
    table = parts.table({"sampling": 0.001, "critic": 0.002, "actor": 0.004, "data": 0.001})
    assert [line.split("|")[3].strip() for line in table.splitlines()[2:]] == ["12%", "25%", "50%", "12%"]


def test_share_of_the_peak_is_what_the_updates_do_a_second_over_it(measured):
    (row,) = measured[1]["populations"]
    done = 4 * row["flops_a_member"] / np.array(row["update_s_all"])
    assert row["share_of_peak"] == pytest.approx(np.median(done / row["peak_flops_all"]))


def test_flops_of_an_update_are_those_of_its_matrix_products():
    config = dataclasses.replace(PRESETS["default_bc"], hidden_dims=(512, 512))
    first, hidden, last = (29 + 8 + 8 + 8) * 512, 512 * 512, 512 * 8
    forward = 2 * 256 * (first + hidden + last)
    backward = 2 * forward - 2 * 256 * first  # the inputs have no gradient
    expected = 3 * forward + 2 * backward  # of the target only the value
    assert flops.update(config, (29, 8), 256) == pytest.approx(expected, rel=0.05)


@pytest.fixture(scope="module")
def played():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acting, "EPISODES", 1)
        return acting.measure(dataclasses.replace(PRESETS["bc"], **TINY))


def test_the_99th_percentile_is_above_the_median(played):
    assert len(played["latencies"]) == 12 and all(0 < row["p50_s"] <= row["p99_s"] for row in played["latencies"])


def test_environments_are_played_with_a_policy_and_without(played):
    without, with_policy = played["rollouts"]
    assert without["sampling_steps"] is None and with_policy["sampling_steps"] == 5
    assert without["steps_per_s"] > 0 and with_policy["steps_per_s"] > 0


def test_times_of_acting_are_two_tables_of_markdown(played):
    lines = acting.table(played).splitlines()
    assert [line.count("|") for line in lines if line] == 5 * [6] + 4 * [3]


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
    assert len(lines) == 3 and {line.count("|") for line in lines} == {13}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--against", "--only=parts"), "--against measures something else than --only=parts; give one of them"),
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
