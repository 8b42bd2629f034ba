"""Every config file loads, every field can be set by a flag, and what makes no sense is refused by name."""

import dataclasses
import importlib.util
import json
import pathlib
import re

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from gtp_jax import config as gtp_config
from gtp_jax import tasks
from gtp_jax.agent_config import AgentConfig
from gtp_jax.errors import UserError
from gtp_jax.population import Member
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
    assert variant in (None, "all") or config.tasks == (f"{name}/{variant}",)


def test_every_task_has_a_variant():
    assert {f"{name}/{variant}" for name, variant in variants()} >= set(tasks.TASKS)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_an_unknown_variant_is_an_error_that_lists_those_there_are(path):
    with pytest.raises(ValueError, match="unknown variant 'giant'.*umaze.*medium"):
        module(path).get_config("giant")


def test_members_are_tasks_times_seeds():
    both = "--config.tasks=('antmaze/umaze','antmaze/medium-play')"
    config = load(both, "--config.seed=3", "--config.num_seeds=2", file="antmaze.py")
    assert gtp_config.members(config) == [
        Member("antmaze/umaze", 3),
        Member("antmaze/umaze", 4),
        Member("antmaze/medium-play", 3),
        Member("antmaze/medium-play", 4),
    ]


# ------------------------------------------------------------------------------------------------- the agent's fields


def another(name):
    """A valid value of a field that is not the default one."""
    value = getattr(PRESETS["default"], name)
    choices = {"distance": "squared", "time_weight": "uniform", "target": "ema", "critic": "td"}
    if isinstance(value, str):
        return choices[name]
    changes = {bool: lambda: not value, float: lambda: value / 2, int: lambda: value + 1, tuple: lambda: (32, 32)}
    return changes[type(value)]()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(AgentConfig)])
def test_a_flag_sets_the_agents_field_and_no_other(name):
    base, changed = load(), load(f"--config.agent.{name}={another(name)}")
    gtp_config.validate(changed)
    expected = dataclasses.replace(gtp_config.agent_config(base), **{name: another(name)})
    assert gtp_config.agent_config(changed) == expected != gtp_config.agent_config(base)


@pytest.mark.parametrize("name", PRESETS)
def test_fields_that_are_not_set_are_the_presets(name):
    config = gtp_config.base()
    config.preset = name
    assert gtp_config.agent_config(config) == PRESETS[name]


def test_a_config_is_the_same_after_a_trip_through_its_file():
    config = load("--config.agent.eta=0.5", "--config.agent.hidden_dims=(32,32)")
    again = ml_collections.ConfigDict(json.loads(config.to_json()))
    assert gtp_config.agent_config(again) == gtp_config.agent_config(config)
    assert gtp_config.members(again) == gtp_config.members(config)


# ------------------------------------------------------------------------------------------------- bad values

COUNTS = ["num_seeds", "num_steps", "batch_size", "generate.num_transitions"]
COUNTS += ["eval.episodes", "eval.interval", "checkpoint.interval"]


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
    refused(f"--config.agent.{name}={value}", f"agent.{name} = {value} must be finite")


@pytest.mark.parametrize(
    "flag, message",
    [
        ("preset=best", "preset = 'best' must be one of default, long_horizon, paper"),
        ("tasks=('antmaze/giant',)", "unknown task 'antmaze/giant'; known tasks: antmaze/umaze"),
        ("tasks=()", "tasks = () must name at least one"),
        ("tasks=('pointmaze/umaze','pointmaze/umaze')", "and none twice"),
        ("tasks=('pointmaze/umaze','antmaze/umaze')", "must have observations and actions of one width"),
        ("eval.sampling_steps=()", "eval.sampling_steps = () must name at least one"),
        ("eval.sampling_steps=(1,1)", "and none twice"),
        ("eval.sampling_steps=(5,0)", "eval.sampling_steps[1] = 0 must be a whole number of at least 1"),
        ("eval.sampling_steps=(1.5,)", "eval.sampling_steps[0] = 1.5 must be a whole number"),
        ("agent.eta=-1", "agent.eta = -1.0 must be at least 0"),
        ("agent.learning_rate=0", "agent.learning_rate = 0.0 must be positive"),
        ("agent.sigma_max=0.001", "agent.sigma_max = 0.001 must be greater than sigma_min = 0.002"),
        ("agent.max_intervals=9", "agent.max_intervals = 9 must be at least 10"),
        ("agent.discount=1.1", "agent.discount = 1.1 must lie between 0 and 1"),
        ("agent.expectile=-0.1", "agent.expectile = -0.1 must lie between 0 and 1"),
        ("agent.max_weight=0.5", "agent.max_weight = 0.5 must be at least 1"),
        ("agent.num_step_returns=0", "agent.num_step_returns = 0 must be at least 1"),
        ("agent.critic=mc", "agent.critic = 'mc' must be one of expectile, td"),
        ("agent.hidden_dims=(16,0)", "agent.hidden_dims = (16, 0) must be whole numbers of at least 1"),
        ("agent.hidden_dims=(1.5,)", "agent.hidden_dims = (1.5,) must be whole numbers of at least 1"),
        ("agent.critic_hidden_dims=('a',)", "agent.critic_hidden_dims = ('a',) must be whole numbers of at least 1"),
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
