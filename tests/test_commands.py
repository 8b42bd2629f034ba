"""The commands keep their promises: what they write, that a kill costs nothing, and one line for every mistake."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from small_run import DATA, REPOSITORY, SMALL, digests, metrics, read

from experiments import cli


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of it that a test may change."""
    return pathlib.Path(shutil.copytree(finished, tmp_path / "copy"))


# ------------------------------------------------------------------------------------------------- what is written


def test_the_source_of_the_data_is_in_the_first_lines(finished):
    first = (finished / "stdout").read_text().splitlines()[:6]
    assert any(DATA in line and "(generated)" in line and "2000 transitions" in line for line in first), first


def test_config_json_holds_what_was_asked_for(finished):
    config = read(finished / "config.json")
    agent = config["agents"]["default"]
    assert (config["num_steps"], agent["hidden_dims"], agent["eta"]) == (600, [16], 3.0)


def test_results_json_is_as_the_contract_says(finished):
    results = read(finished / "results.json")
    assert results["num_steps"] == 600 and results["device"] in ("cpu", "gpu", "tpu") and "jax" in results["versions"]
    for name in ("total_s", "dataset_s", "compile_s", "train_s", "eval_s", "member_updates_per_s"):
        assert results["timing"][name] > 0
    assert [(m["task"], m["seed"]) for m in results["members"]] == [("pointmaze/umaze", 0), ("pointmaze/umaze", 1)]
    for member in results["members"]:
        assert member["hparams"]["eta"] == 3.0 and member["agent"] == "default" and member["diverged"] is False
        assert member["params_digest"].startswith("sha256:") and len(member["params_digest"]) == 7 + 64
        assert member["dataset"] == {"id": DATA, "source": "generated", "num_transitions": 2000}
        assert list(member["eval"]) == ["1", "2"]
        for score in member["eval"].values():
            assert score["episodes"] == 2 and 0 <= score["success_rate"] <= 1
            assert score["normalized_score"] == 100 * score["return_mean"] and score["return_std"] >= 0


def test_seeds_train_different_members(finished):
    assert len(set(digests(finished))) == 2


def test_metrics_have_every_interval_once_and_a_value_for_each_member(finished):
    lines = metrics(finished)
    losses, scores = ([line["step"] for line in lines if name in line] for name in ("actor_loss", "success_rate_K2"))
    assert losses == [100, 200, 300, 400, 500, 600] and scores == [300]
    assert all(len(values) == 2 for line in lines for name, values in line.items() if name != "step")


def test_tensorboard_has_events_of_each_member(finished):
    for seed in (0, 1):
        (events,) = (finished / "tensorboard" / "pointmaze" / f"umaze-seed{seed}").iterdir()
        assert events.stat().st_size > 0


def test_the_last_two_checkpoints_are_there(finished):
    assert {path.name for path in (finished / "checkpoints").iterdir()} == {"500", "600"}


def test_evaluation_needs_neither_data_nor_hub(copy, succeed, tmp_path):
    arguments = [f"--workdir={copy}", "--sampling_steps=2", "--episodes=2"]
    output = succeed("evaluate", *arguments, MINARI_DATASETS_PATH=str(tmp_path / "empty"))
    evaluation = read(copy / "evaluation.json")
    assert evaluation["step"] == 600 and "pointmaze/umaze" in output
    # The same episodes as training's own, of the same parameters.
    trained = [member["eval"]["2"] for member in read(copy / "results.json")["members"]]
    assert [member["eval"] for member in evaluation["members"]] == [{"2": score} for score in trained]


def test_evaluation_draws_the_paths_if_asked(copy, succeed):
    succeed("evaluate", f"--workdir={copy}", "--sampling_steps=2", "--episodes=1", "--pictures")
    assert (copy / "paths-pointmaze-umaze.png").read_bytes().startswith(b"\x89PNG")


def test_programs_begin_in_silence(environment):
    code = "import experiments.train; from gtp_jax import environments as e, tasks; e.make(tasks.get('antmaze/umaze'))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# ------------------------------------------------------------------------------------------------- again


def test_a_finished_run_may_be_started_again(copy, succeed, finished):
    succeed("train", *SMALL, f"--workdir={copy}")
    old, new = read(finished / "results.json"), read(copy / "results.json")
    assert new["members"] == old["members"] and metrics(copy) == metrics(finished)
    assert read(copy / "config.json") == read(finished / "config.json")


# ------------------------------------------------------------------------------------------------- sweeps


def test_a_sweep_is_trained_told_apart_and_evaluated(succeed, finished, tmp_path):
    sweep = [flag for flag in SMALL if "eta" not in flag] + ["--config.agent.eta=(0,3)"]
    output = succeed("train", *sweep, f"--workdir={tmp_path}")
    members = read(tmp_path / "results.json")["members"]
    assert [(m["hparams"]["eta"], m["seed"]) for m in members] == [(0, 0), (0, 1), (3, 0), (3, 1)]
    assert "| eta |" in output and {path.name for path in (tmp_path / "tensorboard" / "pointmaze").iterdir()} == {
        f"umaze-seed{seed}-eta{eta}" for seed in (0, 1) for eta in (0, 3)
    }
    succeed("evaluate", f"--workdir={tmp_path}", "--sampling_steps=2", "--episodes=2")
    trained, evaluated = (
        [(m["hparams"]["eta"], m["eval"]["2"]) for m in read(tmp_path / f"{name}.json")["members"]]
        for name in ("results", "evaluation")
    )
    assert trained == evaluated


# ------------------------------------------------------------------------------------------------- several programs

SHORT = tuple(flag for flag in SMALL if "eta" not in flag) + ("--config.num_steps=200", "--config.eval.interval=200")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, succeed):
    """A run of two programs, one with a critic and one without."""
    workdir = tmp_path_factory.mktemp("mixed") / "run"
    (workdir.parent / "stdout").write_text(
        succeed("train", *SHORT, "--config.preset=default,default_bc", f"--workdir={workdir}")
    )
    return workdir


def test_a_program_trains_to_the_same_parameters_beside_another(mixed, succeed, tmp_path):
    succeed("train", *SHORT, "--config.preset=default_bc", f"--workdir={tmp_path}")
    assert digests(mixed)[2:] == digests(tmp_path)


def test_several_programs_resume_from_their_checkpoint(mixed, succeed, tmp_path):
    copy = shutil.copytree(mixed, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints" / "200")
    output = succeed("train", *SHORT, "--config.preset=default,default_bc", f"--workdir={copy}")
    assert "resumed from update 100" in output
    assert digests(copy) == digests(mixed) and metrics(copy) == metrics(mixed)


def test_metrics_of_one_program_alone_are_null_for_the_other(mixed):
    (line,) = [line for line in metrics(mixed) if line["step"] == 200]
    assert [value is None for value in line["critic_loss"]] == [False, False, True, True]
    assert [value is None for value in line["actor_loss"]] == [False] * 4


def test_the_table_keeps_several_programs_apart(mixed):
    output = (mixed.parent / "stdout").read_text()
    assert "| default    |" in output and "| default_bc |" in output


def test_several_programs_are_evaluated_and_drawn_apart(mixed, succeed, tmp_path):
    copy = shutil.copytree(mixed, tmp_path / "copy")
    succeed("evaluate", f"--workdir={copy}", "--sampling_steps=2", "--episodes=2", "--pictures")
    trained, evaluated = (
        [(m["agent"], m["seed"], m["eval"]["2"]) for m in read(copy / f"{name}.json")["members"]]
        for name in ("results", "evaluation")
    )
    assert trained == evaluated
    assert {path.name for path in copy.glob("*.png")} == {
        "paths-default-pointmaze-umaze.png",
        "paths-default_bc-pointmaze-umaze.png",
    }


def test_a_run_of_another_version_is_refused(mixed, refusal, tmp_path):
    copy = shutil.copytree(mixed, tmp_path / "copy")
    config = read(copy / "config.json")
    del config["agents"]
    (copy / "config.json").write_text(json.dumps(config))
    for program, arguments in [("train", SHORT), ("evaluate", ())]:
        assert "holds a run of another version" in refusal(program, *arguments, f"--workdir={copy}")


def test_a_run_whose_agents_lack_a_setting_is_of_another_version(mixed, refusal, tmp_path):
    copy = shutil.copytree(mixed, tmp_path / "copy")
    config = read(copy / "config.json")
    del config["agents"]["default"]["num_candidates"]
    (copy / "config.json").write_text(json.dumps(config))
    assert "holds a run of another version of gtp_jax: 'agent.num_candidates'" in refusal(
        "evaluate", f"--workdir={copy}"
    )


def test_a_run_without_its_config_is_not_resumed(copy, refusal):
    (copy / "config.json").unlink()
    assert "holds a run without its config.json" in refusal("train", *SMALL, f"--workdir={copy}")


def test_multigoal_is_trained_evaluated_and_drawn(succeed, tmp_path):
    small = ("num_steps=20", "eval.interval=20", "checkpoint.interval=20", "num_seeds=1", "eval.episodes=20")
    flags = [f"--config.{flag}" for flag in (*small, "preset=default_bc,bc", "eval.sampling_steps=(1,)")]
    output = succeed("train", "--config=configs/multigoal.py", *flags, f"--workdir={tmp_path}")
    assert "off mode" in output and "ms per action" in output
    succeed("evaluate", f"--workdir={tmp_path}", "--sampling_steps=1,2", "--episodes=20", "--pictures")
    assert (tmp_path / "trajectories.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------------- mistakes


@pytest.fixture
def refusal(start):
    """Runs a command that has to refuse, in seconds and with status 2, and returns its only line on stderr."""

    def run(*arguments, **changes):
        process = start(*arguments, **changes)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2, errors
        assert len(errors.splitlines()) == 1 and "Traceback" not in errors, errors
        return errors

    return run


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--config is needed"),
        (["--config=configs/nothing.py"], "No such file or directory: 'configs/nothing.py'"),
        (
            ["--config=configs/pointmaze.py:giant"],
            "unknown variant 'giant' of pointmaze; there are open, umaze, medium, large",
        ),
        ([*SMALL, "--config.num_stepz=3"], "unknown config field 'num_stepz'; did you mean \"num_steps\"?"),
        ([*SMALL, "--config.agnt.eta=3"], "unknown config field"),
        ([*SMALL, "antmaze"], "unexpected argument 'antmaze'"),
        ([*SMALL, "--config.tasks=antmaze/giant"], "unknown task 'antmaze/giant'; known tasks: antmaze/umaze"),
        ([*SMALL, "--config.num_steps=-5"], "num_steps = -5 must be a whole number of at least 1"),
        ([*SMALL, "--config.num_seeds=0"], "num_seeds = 0 must be a whole number of at least 1"),
        ([*SMALL, "--config.agent.eta=nan"], "agent.eta = nan must be a finite number"),
        ([*SMALL, "--config.agent.eta=inf"], "agent.eta = inf must be a finite number"),
        ([*SMALL, "--config.dataset=pointmaze"], "dataset = 'pointmaze' must be auto, generated, a file"),
        ([*SMALL, "--config.dataset=D4RL/pointmaze/umaze-v2"], "hub cannot be reached"),
    ],
    ids=lambda value: value[-1].removeprefix("--config.") if isinstance(value, list) and value else "",
)
def test_train_refuses(arguments, message, refusal, tmp_path):
    assert message in refusal("train", *arguments, f"--workdir={tmp_path / 'run'}")


def test_a_refusal_sends_no_commands_to_the_terminal(capsys):
    with pytest.raises(SystemExit):
        cli.fail("a run with dataset = \x1b[2J")
    assert capsys.readouterr().err == "error: a run with dataset = ?[2J\n"


def test_train_refuses_a_working_directory_it_cannot_make(refusal, tmp_path):
    (tmp_path / "file").touch()
    message = refusal("train", *SMALL, f"--workdir={tmp_path / 'file' / 'run'}")
    assert f"working directory {tmp_path / 'file' / 'run'} cannot be used" in message


def test_train_refuses_a_store_it_cannot_make(refusal, tmp_path):
    (tmp_path / "file").touch()
    message = refusal("train", *SMALL, f"--workdir={tmp_path / 'run'}", MINARI_DATASETS_PATH=str(tmp_path / "file"))
    assert "MINARI_DATASETS_PATH" in message


def test_train_refuses_a_run_of_another_config(copy, refusal):
    message = refusal("train", *SMALL, "--config.agent.eta=1", f"--workdir={copy}")
    assert "holds a run with agents.default.eta = 3, not 1; use another --workdir" in message


def test_a_refused_run_does_not_keep_its_working_directory_from_the_corrected_one(refusal, tmp_path):
    """Both ask for data that are not there; the second must not be told of the first."""
    workdir = f"--workdir={tmp_path}"
    refusal("train", *SMALL, "--config.dataset=D4RL/wrong-v2", workdir)
    assert "data set D4RL/right-v2" in refusal("train", *SMALL, "--config.dataset=D4RL/right-v2", workdir)


def test_train_refuses_a_truncated_data_file(finished, environment, refusal, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(environment["MINARI_DATASETS_PATH"], store)
    os.truncate(store / DATA / "data" / "main_data.hdf5", 50_000)
    message = refusal("train", *SMALL, f"--workdir={tmp_path / 'run'}", MINARI_DATASETS_PATH=str(store))
    assert f"data set {DATA} cannot be read" in message and f"move {store / DATA} away" in message


@pytest.mark.parametrize("program, part", [("train", "progress/metadata"), ("evaluate", "state/d/*")])
def test_a_truncated_checkpoint_is_refused(program, part, copy, refusal):
    folder = copy / "checkpoints" / "600"
    largest = max(folder.glob(part), key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    arguments = SMALL if program == "train" else ["--episodes=1"]
    assert f"checkpoint {folder} cannot be restored" in refusal(program, *arguments, f"--workdir={copy}")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--workdir is needed"),
        (["--workdir={}/none"], "none does not hold a run"),
        (["--workdir={}", "--episodes=0"], "flag --episodes=0"),
        (["--workdir={}", "--seed=4294967296"], "flag --seed=4294967296"),
        (["--workdir={}", "--sampling_steps=5,0"], "--sampling_steps=5,0 must be whole numbers of at least 1"),
        (["--workdir={}", "--config=configs/nothing.py"], "No such file or directory: 'configs/nothing.py'"),
        (["--workdir={}", *SMALL[:2]], "--config.agent.hidden_dims changes nothing here"),
    ],
)
def test_evaluate_refuses(arguments, message, refusal, tmp_path):
    assert message in refusal("evaluate", *[argument.format(tmp_path) for argument in arguments])


def test_evaluate_refuses_a_run_without_a_checkpoint(copy, refusal):
    shutil.rmtree(copy / "checkpoints")
    assert "holds no checkpoint yet" in refusal("evaluate", f"--workdir={copy}")


def test_tables_refuses_an_argument(refusal):
    assert "unexpected argument 'README.md'" in refusal("tables", "README.md")
