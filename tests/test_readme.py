"""README keeps its promises: its program runs, its tables are those of the result files."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from experiments import tables
from gtp_jax.errors import UserError

README = (tables.ROOT / "README.md").read_text()


PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_program_runs_as_printed():
    (program,) = [program for program in PROGRAMS if "get_config" not in program and "policy" not in program]
    result = subprocess.run([sys.executable, "-c", program], cwd=tables.ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_an_exported_policy_acts_by_the_programs_as_printed(finished, succeed, tmp_path):
    succeed("export", f"--workdir={finished}", f"--out={tmp_path / 'policy'}")
    for program, shape in zip([p for p in PROGRAMS if "policy" in p], ("(1, 2)", "(2,)"), strict=True):
        name = re.search(r"^    (actions?) = ", program, re.MULTILINE).group(1)
        command = [sys.executable, "-c", f"{program}print({name}.shape)"]
        environment = {**os.environ, "PYTHONPATH": str(tables.ROOT)}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.stdout == f"{shape}\n", result.stderr


def test_the_objective_of_ones_own_trains_beside_gtp(tmp_path):
    (config,) = [program for program in PROGRAMS if "anchored" in program]
    (tmp_path / "mine.py").write_text(config)
    small = [
        "num_steps=20",
        "eval.interval=20",
        "checkpoint.interval=20",
        "eval.episodes=10",
        "eval.sampling_steps=(2,)",
    ]

    def run(*command):
        environment = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
        command = [sys.executable, "-m", *command]
        return subprocess.run(command, cwd=tables.ROOT, env=environment, capture_output=True, text=True)

    arguments = [f"--config={tmp_path / 'mine.py'}", f"--workdir={tmp_path / 'run'}"]
    result = run("experiments.train", *arguments, *(f"--config.{change}" for change in small))
    assert result.returncode == 0, result.stderr
    assert "default_bc-gtp" in result.stdout and "default_bc-anchored" in result.stdout
    result = run("experiments.evaluate", arguments[1], "--episodes=5")
    assert result.returncode == 2 and "'anchored' is not registered; give the run's --config=FILE" in result.stderr
    result = run("experiments.evaluate", *arguments, "--episodes=5", "--sampling_steps=2")
    assert result.returncode == 0 and "default_bc-anchored" in result.stdout, result.stderr


def test_an_environment_of_ones_own_is_trained_for_from_a_file_of_rows(succeed, tmp_path):
    (config,) = [program for program in PROGRAMS if "mine/cheetah" in program]
    (tmp_path / "mine.py").write_text(config)
    random, rows = np.random.default_rng(0), 50
    columns = {"observations": random.normal(size=(rows, 17)), "actions": random.uniform(-1, 1, (rows, 6))}
    columns |= {"rewards": random.normal(size=rows), "terminals": np.arange(rows) == rows - 1}
    np.savez(tmp_path / "rows.npz", **columns)
    small = (
        "num_steps=2",
        "eval.episodes=1",
        "eval.sampling_steps=(1,)",
        "num_seeds=1",
        f"dataset={tmp_path}/rows.npz",
    )
    flags = [f"--config={tmp_path / 'mine.py'}", *(f"--config.{change}" for change in small)]
    assert "mine/cheetah" in succeed("train", *flags, f"--workdir={tmp_path / 'run'}")


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.name)
def test_tables_are_those_of_the_result_files(page):
    assert tables.fill(page.read_text(), tables.ROOT) == page.read_text()


def test_a_comparison_of_several_runs_is_one_table_with_the_command_of_each():
    runs = [tables.ROOT / f"docs/results/antmaze-h100-{name}.json" for name in ("consistency-ac", "diffusion-ql")]
    text = tables.section("comparison", runs)
    heads = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert heads == ["K = 5", "consistency_ac", "diffusion_ql"]
    table, told = text.split("<details>")
    assert "python" not in table and told.split("</details>")[0].count("`python -m experiments.train ") == 2


def test_scores_are_a_comparison_without_commands():
    runs = [tables.ROOT / f"docs/results/antmaze-h100-{name}.json" for name in ("consistency-ac", "diffusion-ql")]
    scores, whole = tables.section("scores", runs), tables.section("comparison", runs)
    assert scores.count("| consistency_ac") == 1 and whole.startswith(f"{scores}\n<details>")


def test_a_comparison_refuses_to_pool_two_runs_of_the_same_agents():
    runs = [tables.ROOT / f"docs/results/antmaze-medium-diverse-10k{name}.json" for name in ("", "-again")]
    with pytest.raises(UserError, match="10k-again.json: one agent of one task and seed is in several"):
        tables.section("comparison", runs)


def test_quick_start_is_exactly_two_commands_of_one_line():
    section = README.split("## Quick start")[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert [block.count("\n") for block in blocks] == [1, 1]


def test_every_file_named_exists():
    for name in re.findall(r"`((?:gtp_jax|experiments|configs)/[\w/]+\.py)`", README):
        assert (pathlib.Path(tables.ROOT) / name).exists(), name
