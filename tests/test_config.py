"""Every config file loads, every field can be set by a flag, and what makes no sense is refused by name."""

import dataclasses
import importlib.util
import pathlib
import re

import pytest
from absl import flags
from ml_collections import config_flags

from gtp_jax import config as gtp_config
from gtp_jax import tasks
from gtp_jax.agent_config import AgentConfig
from gtp_jax.errors import UserError
from gtp_jax.presets import PRESETS

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def variants():
    """(file, variant) as the files' docstrings list them; None is the default."""
    found = []
    for path in sorted(CONFIGS.glob("*.py")):
        listed = re.search(r"VARIANT is (.*?)\.", module(path).__doc__, re.DOTALL)
        words = re.findall(r"[a-z][\w-]+", re.sub(r"\(.*?\)|\bor\b", "", listed[1])) if listed else []
        found += [(path.stem, word) for word in [None, *words]]
    return found


def agent_config(config):
    """Of a config with one program and no sweep."""
    (program,) = gtp_config.programs(config)
    (settings,) = {member.config for member in program.members}
    return settings


def load(*overrides, file="pointmaze.py"):
    """The config as the command line gives it."""
    values, arguments = flags.FlagValues(), ["train", f"--config={CONFIGS / file}", *overrides]
    holder = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    values(arguments)
    return holder.value


# ------------------------------------------------------------------------------------------------- config files


@pytest.mark.parametrize("name, variant", variants())
def test_every_variant_that_a_config_file_lists_is_valid(name, variant):
    config = load(file=f"{name}.py" + (f":{variant}" if variant else ""))
    gtp_config.validate(config)
    assert f"{name}/{variant}" not in tasks.TASKS or config.tasks == (f"{name}/{variant}",)


def test_every_task_has_a_variant():
    assert {"multigoal", *(f"{name}/{variant}" for name, variant in variants())} >= set(tasks.TASKS)


@pytest.mark.parametrize(
    "name, known",
    [("antmaze", "umaze.*medium"), ("pointmaze", "umaze.*medium"), ("multigoal", "none"), ("ablations", "losses")],
)
def test_an_unknown_variant_is_an_error_that_lists_those_there_are(name, known):
    with pytest.raises(ValueError, match=f"unknown variant 'giant' of {name}; .*{known}"):
        module(CONFIGS / f"{name}.py").get_config("giant")


def test_members_are_tasks_times_seeds():
    both = "--config.tasks=('antmaze/umaze','antmaze/medium-play')"
    config = load(both, "--config.seed=3", "--config.num_seeds=2", file="antmaze.py")
    (program,) = gtp_config.programs(config)
    assert [(member.task, member.seed) for member in program.members] == [
        ("antmaze/umaze", 3),
        ("antmaze/umaze", 4),
        ("antmaze/medium-play", 3),
        ("antmaze/medium-play", 4),
    ]


def test_numbers_in_tuples_are_all_combinations_in_one_program():
    flags = ["--config.agent.eta=(0,1.5)", "--config.agent.discount=(0.9,0.99)", "--config.num_seeds=2"]
    (program,) = gtp_config.programs(load(*flags, "--config.tasks=('pointmaze/umaze','pointmaze/medium')"))
    assert [(m.config.eta, m.config.discount, m.seed) for m in program.members if m.task == "pointmaze/medium"] == [
        (eta, discount, seed) for eta in (0, 1.5) for discount in (0.9, 0.99) for seed in (0, 1)
    ]
    assert len(program.members) == 16


def test_a_sweep_that_comes_to_no_guidance_at_all_has_no_critic():
    guided, cloning = (gtp_config.programs(load(f"--config.agent.eta={eta}"))[0] for eta in ("(0,1)", "(0,)"))
    assert guided.structure.uses_critic and not cloning.structure.uses_critic


@pytest.mark.parametrize("eta", ["()", "(1,1)", "(1,1.0)"])
def test_an_empty_or_repetitive_sweep_is_refused(eta):
    refused(f"--config.agent.eta={eta}", "must hold at least one number, and none twice")


# ------------------------------------------------------------------------------------------------- programs


@pytest.mark.parametrize(
    "file, variant", [each for each in variants() if each[0] not in ("local", "ablations", "multigoal")]
)
def test_a_published_system_is_its_preset_in_every_config_but_for_the_widths(file, variant):
    (program,) = gtp_config.programs(
        load("--config.preset=idql", file=f"{file}.py:{variant}" if variant else f"{file}.py")
    )
    widths = dict.fromkeys(("hidden_dims", "critic_hidden_dims"), ())
    found = {dataclasses.replace(member.config, **widths) for member in program.members}
    assert found == {dataclasses.replace(PRESETS["idql"], **widths)}


def test_one_preset_is_one_program_of_its_name():
    (program,) = gtp_config.programs(load("--config.preset=paper"))
    assert program.label == "paper" and {m.config.sigma_max for m in program.members} == {80.0}


def test_presets_and_objectives_with_commas_are_all_combinations():
    programs = gtp_config.programs(load("--config.preset=default,paper", "--config.agent.objective=gtp,ctm"))
    assert [(p.label, p.structure.objective, p.members[0].config.sigma_max) for p in programs] == [
        ("default-gtp", "gtp", 3.0),
        ("default-ctm", "ctm", 3.0),
        ("paper-gtp", "gtp", 80.0),
        ("paper-ctm", "ctm", 80.0),
    ]


def test_programs_share_the_fields_that_are_set():
    programs = gtp_config.programs(load("--config.preset=default,idql", "--config.agent.learning_rate=0.01"))
    assert [program.members[0].config.learning_rate for program in programs] == [0.01, 0.01]


def test_every_field_that_is_a_name_takes_several():
    programs = gtp_config.programs(load("--config.agent.guidance=weights,q", "--config.agent.target=ema,online"))
    assert [(p.structure.guidance, p.structure.target) for p in programs] == [
        ("weights", "ema"),
        ("weights", "online"),
        ("q", "ema"),
        ("q", "online"),
    ]


def test_a_setting_that_no_objective_has_a_use_for_is_refused():
    refused("--config.agent.solver=heun", "agent.solver = heun has no part in agent.objective = gtp; leave it out")


def test_a_setting_that_one_of_several_objectives_has_a_use_for_is_allowed():
    gtp_config.validate(load("--config.agent.solver=heun", "--config.agent.objective=gtp,ctm"))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_a_guided_preset_stays_guided_in_every_config_file(path):
    assert agent_config(load("--config.preset=iql", file=path.name)).eta == PRESETS["iql"].eta


@pytest.mark.parametrize("flag", ["preset=paper,paper", "agent.critic=td,td"])
def test_the_same_program_twice_is_refused(flag):
    refused(f"--config.{flag}", "names one of its choices twice")


# ------------------------------------------------------------------------------------------------- the agent's fields


def another(name):
    """A valid value of a field that is not the default one."""
    value = getattr(PRESETS["default"], name)
    choices = {"distance": "squared", "time_weight": "uniform", "target": "ema", "critic": "td", "guidance": "q"}
    choices |= {"objective": "ctm", "sampler": "heun", "spacing": "linear", "solver": "heun"}
    if isinstance(value, str):
        return choices[name]
    changes = {
        bool: lambda: not value,
        float: lambda: value / 2 or 0.5,
        int: lambda: value + 1,
        tuple: lambda: (32, 32),
    }
    return changes[type(value)]()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(AgentConfig)])
def test_a_flag_sets_the_agents_field_and_no_other(name):
    shared = [] if name == "objective" else ["--config.agent.objective=ctm"]  # which has a use for every field
    base, changed = load(*shared), load(f"--config.agent.{name}={another(name)}", *shared)
    gtp_config.validate(changed)
    expected = dataclasses.replace(agent_config(base), **{name: another(name)})
    assert agent_config(changed) == expected != agent_config(base)


@pytest.mark.parametrize("name", PRESETS)
def test_fields_that_are_not_set_are_the_presets(name):
    config = gtp_config.base()
    config.preset = name
    assert agent_config(config) == PRESETS[name]


def test_a_programs_fields_lead_back_to_its_members():
    flags = ("--config.agent.eta=(0.5,2)", "--config.agent.discount=(0.9,0.99)", "--config.agent.hidden_dims=(32,32)")
    (program,) = gtp_config.programs(load(*flags))
    assert program.fields["eta"] == (0.5, 2) and program.fields["hidden_dims"] == (32, 32)
    assert gtp_config.combinations(program.fields) == list(dict.fromkeys(m.config for m in program.members))


# ------------------------------------------------------------------------------------------------- bad values

COUNTS = ["num_seeds", "num_steps", "batch_size", "generate.num_transitions"]
COUNTS += ["eval.episodes", "eval.interval", "checkpoint.interval", "log.interval"]


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", COUNTS)
def test_a_count_below_1_is_refused(name, value):
    refused(f"--config.{name}={value}", f"{name} = {value} must be a whole number of at least 1")


@pytest.mark.parametrize("name", ["seed", "generate.seed", "eval.seed"])
def test_a_negative_seed_is_refused(name):
    refused(f"--config.{name}=-1", f"{name} = -1 must lie between 0 and 2^31 - 1")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", ["eta", "learning_rate", "sigma_max", "discount"])
def test_a_setting_that_is_not_finite_is_refused(name, value):
    refused(f"--config.agent.{name}={value}", f"agent.{name} = {value} must be a finite number")


@pytest.mark.parametrize(
    "flag, message",
    [
        ("preset=best", "preset = 'best' must be one of default, default_bc, long_returns"),
        ("preset=paper,best", "preset = 'best' must be one of default, default_bc, long_returns"),
        ("agent.objective=gan", "agent.objective = 'gan' must be one of gtp, ctm"),
        ("tasks=('antmaze/giant',)", "unknown task 'antmaze/giant'; known tasks: antmaze/umaze"),
        ("tasks=()", "tasks = () must name at least one"),
        ("tasks=('pointmaze/umaze','pointmaze/umaze')", "and none twice"),
        ("eval.sampling_steps=()", "eval.sampling_steps = () must name at least one"),
        ("eval.sampling_steps=(1,1)", "and none twice"),
        ("eval.sampling_steps=(5,0)", "eval.sampling_steps[1] = 0 must be a whole number of at least 1"),
        ("eval.sampling_steps=(1.5,)", "eval.sampling_steps[0] = 1.5 must be a whole number"),
        ("agent.eta=-1", "agent.eta = -1 must be at least 0"),
        ("agent.eta=(0,-1)", "agent.eta = -1 must be at least 0"),
        ("agent.eta=much", "agent.eta = much must be a finite number"),
        ("agent.learning_rate=0", "agent.learning_rate = 0 must be positive"),
        ("agent.sigma_max=0.001", "agent.sigma_max = 0.001 must be greater than sigma_min = 0.002"),
        ("agent.max_intervals=9", "agent.max_intervals = 9 must be at least 10"),
        ("agent.discount=1.1", "agent.discount = 1.1 must lie between 0 and 1"),
        ("agent.expectile=-0.1", "agent.expectile = -0.1 must lie between 0 and 1"),
        ("agent.max_weight=0.5", "agent.max_weight = 0.5 must be at least 1"),
        ("agent.num_step_returns=0", "agent.num_step_returns = 0 must be at least 1"),
        ("agent.critic=mc", "agent.critic = 'mc' must be one of expectile, td, value"),
        ("agent.hidden_dims=(16,0)", "agent.hidden_dims = (16, 0) must be some whole numbers of at least 1"),
        ("agent.hidden_dims=()", "agent.hidden_dims = () must be some whole numbers of at least 1"),
        ("agent.hidden_dims=(1.5,)", "agent.hidden_dims = (1.5,) must be some whole numbers of at least 1"),
        ("agent.critic_hidden_dims=('a',)", "critic_hidden_dims = ('a',) must be some whole numbers of at least 1"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(flag, message):
    refused(f"--config.{flag}", message)


def test_one_data_set_for_many_tasks_is_refused():
    both = "--config.tasks=('pointmaze/umaze','pointmaze/medium')"
    refused([both, "--config.dataset=D4RL/pointmaze/umaze-v2"], "is one data set, but there are 2 tasks")


def refused(arguments, message):
    arguments = [arguments] if isinstance(arguments, str) else arguments
    with pytest.raises(UserError) as caught:
        gtp_config.validate(load(*arguments))
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1
