"""A sweep is as few runs as can hold it, refuses before the first, and outlives failures and interruptions."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from small_run import REPOSITORY, read

TINY = (
    "--config=configs/multigoal.py",
    "--config.preset=bc",
    "--config.num_seeds=1",
    "--config.num_steps=20",
    "--config.batch_size=8",
    "--config.agent.hidden_dims=(8,)",
    "--config.generate.num_transitions=100",
    "--config.eval.episodes=10",
    "--config.eval.sampling_steps=(1,)",
    "--config.eval.interval=1000000",
    "--config.log.interval=20",
    "--config.checkpoint.interval=1000000",
)
# The first of three runs fails, since multigoal has no recorded data; the others hold the same.
GRID = ("--grid=dataset=nowhere|auto|generated", "--grid=agent.learning_rate=1e-3|1e-4")


@pytest.fixture(scope="module")
def start_sweep(start):
    return functools.partial(start, "sweep")


@pytest.fixture(scope="module")
def sweep(start_sweep):
    """Runs a sweep to its end and returns its status, stdout and stderr."""

    def run(*arguments, **changes):
        process = start_sweep(*arguments, **changes)
        output = process.communicate(timeout=300)
        return process.returncode, *output

    return run


@pytest.fixture(scope="module")
def ended(tmp_path_factory, sweep):
    """Working directory, status, stdout and stderr of a sweep with a failure; tests only read them."""
    workdir = tmp_path_factory.mktemp("ended")
    return workdir, *sweep(*TINY, *GRID, f"--workdir={workdir}")


# ------------------------------------------------------------------------------------------------- what runs there are

BASE = "--config=configs/multigoal.py"
PLANS = {  # grid, the runs' names, what the first is told
    "nothing": ([], ["all"], []),
    "numbers": (["agent.eta=0|3"], ["all"], ["agent.eta=(0,3)"]),
    "names": (
        ["preset=bc|gtp,ctm_bc", "agent.critic=td|expectile"],
        ["all"],
        ["preset=bc,gtp,ctm_bc", "agent.critic=td,expectile"],
    ),
    "tasks": (
        ["tasks=antmaze/umaze|pointmaze/umaze"],
        ["all"],
        ["tasks=('antmaze/umaze', 'pointmaze/umaze')"],
    ),
    "widths and sizes": (
        ["agent.hidden_dims=(8, 8)|8", "batch_size=16|32"],
        [f"hidden_dims={dims}-batch_size={size}" for dims in ("8x8", "8") for size in (16, 32)],
        ["agent.hidden_dims=(8, 8)", "batch_size=16"],
    ),
    "all kinds": (
        ["num_steps=1|2", "agent.eta=0|3", "preset=bc|gtp"],
        ["num_steps=1", "num_steps=2"],
        ["agent.eta=(0,3)", "preset=bc,gtp", "num_steps=1"],
    ),
    "a value that is no file name": (["dataset=D4RL/x-v1|auto"], ["dataset=D4RL-x-v1", "dataset=auto"], None),
}
MISTAKES = {  # grid, what is said
    "no value": (["batch_size"], "--grid=batch_size must be FIELD=VALUE|VALUE|..., as in --grid='agent.eta=0|3|10'"),
    "an empty value": (["batch_size=8|"], "--grid=batch_size=8| must be"),
    "an unknown field": (["agent.etha=1|2"], "unknown config field 'etha'; did you mean \"eta\"?"),
    "a wrong type": (["agent.num_step_returns=1|ten"], "--config.agent.num_step_returns=ten: invalid literal"),
    "a bad value of the last run": (["num_steps=5|0"], "num_steps = 0 must be a whole number of at least 1"),
    "a bad number": (["agent.eta=1|-1"], "agent.eta = -1 must be at least 0"),
    "no number": (["agent.eta=1|one"], "agent.eta = (1,one) must be a finite number"),
    "a bad name": (["preset=bc|bcc"], "preset = 'bcc' must be one of"),
    "a field twice": (["batch_size=8", "batch_size=9"], "batch_size is given twice"),
    "a field of --config": (["num_seeds=1|2"], "num_seeds is given twice"),
    "a value twice": (["agent.hidden_dims=8|(8,)"], "two runs would be called hidden_dims=8;"),
    "seeds": (["seed=0|1"], "seed cannot be in a --grid"),
}


SHARES = ["1/1", "1/2", "2/2", "6/6", "0/2", "3/2", "half"]


@pytest.fixture(scope="module")
def planned():
    """By grid: [name, arguments] of each run; by share: a share of 0 to 4; or the line that refuses.

    One process, since importing takes seconds.
    """
    code = """
import contextlib, io, json, sys
from experiments import cli, sweep
def told(function, *arguments):
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try: return function(*arguments)
        except sweep.UserError as error: return f"{error}"
        except SystemExit: return errors.getvalue()
def plan(grid): return [(run.name, run.arguments) for run in sweep.plan(grid, sys.argv[1:])]
grids, shares = json.load(sys.stdin)
plans = {"&".join(grid): told(plan, grid) for grid in grids}
json.dump(plans | {each: told(sweep.share, [*range(5)], each) for each in shares}, sys.stdout)
"""
    grids = [grid for grid, *_ in (*PLANS.values(), *MISTAKES.values())]
    command = [sys.executable, "-c", code, BASE, "--config.num_seeds=2"]
    result = subprocess.run(command, cwd=REPOSITORY, input=json.dumps([grids, SHARES]), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("case", PLANS)
def test_runs_are_as_few_as_can_hold(case, planned):
    grid, names, told = PLANS[case]
    runs = planned["&".join(grid)]
    assert [name for name, _ in runs] == names
    if told is not None:
        assert runs[0][1] == [BASE, "--config.num_seeds=2", *(f"--config.{each}" for each in told)]


@pytest.mark.parametrize("case", MISTAKES)
def test_a_grid_is_refused_that_has(case, planned):
    grid, message = MISTAKES[case]
    said = planned["&".join(grid)]
    assert isinstance(said, str) and message in said and len(said.splitlines()) == 1, said


def test_shares_are_every_run_once(planned):
    assert [planned[each] for each in SHARES[:4]] == [[0, 1, 2, 3, 4], [0, 2, 4], [1, 3], []]


@pytest.mark.parametrize("share", SHARES[4:])
def test_a_share_is_refused_that_is_none(share, planned):
    assert planned[share] == f"--share={share} must be I/N, from 1/N to N/N"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--config and --workdir are needed"),
        ([*TINY, "--workdir={}/run", "--grid", "agent.eta=0|nan"], "agent.eta = (0,nan) must be a finite number"),
    ],
    ids=["no flags", "a bad grid"],
)
def test_a_mistake_is_one_line_before_anything_is_written(arguments, message, sweep, tmp_path):
    status, _, errors = sweep(*[argument.format(tmp_path) for argument in arguments])
    assert (status, len(errors.splitlines()), list(tmp_path.iterdir())) == (2, 1, []) and message in errors


# ------------------------------------------------------------------------------------------------- what they leave


def test_a_run_that_fails_does_not_end_the_sweep(ended):
    workdir, *_ = ended
    assert sorted(path.parent.name for path in workdir.glob("*/results.json")) == ["dataset=auto", "dataset=generated"]


def test_a_run_that_fails_is_named_at_the_end(ended):
    _, status, _, errors = ended
    assert status == 1 and "multigoal has no recorded data" in errors
    assert errors.splitlines()[-1] == "error: 1 of 3 runs failed, for reasons given above: dataset=nowhere (status 2)"


def test_one_file_has_the_members_of_all_runs(ended):
    found = read(ended[0] / "sweep.json")
    assert [(member["label"], member["hparams"]["learning_rate"]) for member in found["members"]] == [
        (label, number) for label in ("dataset=auto", "dataset=generated") for number in (1e-3, 1e-4)
    ]
    assert list(found["runs"]) == ["dataset=auto", "dataset=generated"]
    assert found["runs"]["dataset=auto"]["num_steps"] == 20


def test_one_table_has_all_runs(ended):
    rows = [line.split("|")[1:4] for line in ended[2].rpartition("| run ")[2].splitlines()]
    assert [[cell.strip() for cell in row] for row in rows[2:6]] == [
        [label, "multigoal", number]
        for label in ("dataset=auto", "dataset=generated")
        for number in ("0.001", "0.0001")
    ]
    assert "2 of 3 runs are done" in ended[2]


def test_a_share_runs_its_own_runs_only_and_what_is_done_no_more_and_takes_no_device(ended, sweep):
    workdir, *_ = ended
    before = read(workdir / "sweep.json")
    status, output, errors = sweep(*TINY, *GRID, f"--workdir={workdir}", "--share=2/3", JAX_PLATFORMS="none")
    assert (status, errors) == (0, "") and output.startswith("run 1 of 1, dataset=auto: done before\n")
    assert read(workdir / "sweep.json") == before


def test_what_is_done_is_not_taken_for_other_numbers(ended, sweep, tmp_path):
    """Not even without its checkpoints, which somebody may have deleted."""
    copy = shutil.copytree(ended[0], tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    status, _, errors = sweep(*TINY, GRID[0], "--grid=agent.learning_rate=1e-3|1e-5", f"--workdir={copy}")
    assert status == 2 and "holds a run with agents.bc.learning_rate = [0.001, 0.0001], not [0.001, 1e-05]" in errors


def test_a_share_without_runs_ends_well(sweep, tmp_path):
    """As the last of an array of more jobs than there are runs."""
    status, output, errors = sweep(*TINY, *GRID, f"--workdir={tmp_path / 'new'}", "--share=4/4")
    assert (status, errors) == (0, "") and "0 of 3 runs are done" in output
    assert read(tmp_path / "new" / "sweep.json") == {"runs": {}, "members": []}


def test_a_working_directory_that_cannot_be_made_is_refused(sweep, tmp_path):
    (tmp_path / "file").touch()
    status, _, errors = sweep(*TINY, f"--workdir={tmp_path / 'file' / 'sweep'}")
    assert (status, len(errors.splitlines())) == (2, 1) and "sweep cannot be used" in errors


# ------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("send, number", [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGINT)])
def test_a_signal_to_the_sweep_or_to_all_its_group_stops_it_and_the_run_is_saved(send, number, start_sweep, tmp_path):
    """A terminal's Ctrl-C goes to the group: to the run itself and to the sweep, which passes it on."""
    long = ["--config.num_steps=1000000", "--grid=batch_size=8|16", f"--workdir={tmp_path}"]
    process = start_sweep(*(flag for flag in TINY if "num_steps" not in flag and "batch_size" not in flag), *long)
    first, second = (tmp_path / f"batch_size={size}" for size in (8, 16))
    deadline = time.monotonic() + 120
    while not (first / "metrics.jsonl").exists() or not (first / "metrics.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.01)
    send(process.pid, number)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number and "Traceback" not in errors, errors
    assert not second.exists()
    assert len(list((first / "checkpoints").glob("[0-9]*"))) == 1
