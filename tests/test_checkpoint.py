"""A checkpoint gives back every bit, is there as a whole or not at all, and is never silently wrong."""

import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gtp_jax import checkpoint
from gtp_jax.agent_state import AgentState
from gtp_jax.errors import UserError


def state(seed=0, *, critic=False):
    """A state like those of training, with numbers of its own for each seed."""
    key = jax.random.PRNGKey(seed)
    params = {"kernel": jax.random.normal(key, (3, 2)), "bias": jnp.zeros(2)}
    value, opt = ({"q": params}, optax.adam(1e-3).init(params)) if critic else (None, None)
    return AgentState(
        step=jnp.array(seed, jnp.int32),
        failure=jnp.array(-1, jnp.int32),
        numbers={"eta": jnp.float32(seed)},
        action_mask=jnp.ones(2),
        key=key,
        obs_mean=jnp.zeros(4),
        obs_std=jnp.ones(4),
        actor=params,
        actor_ema=jax.tree.map(jnp.copy, params),
        actor_opt=optax.adam(1e-3).init(params),
        critic=value,
        critic_target=jax.tree.map(jnp.copy, value),
        critic_opt=opt,
    )


def saved(workdir, *steps):
    """Saves a state of each seed `step` with progress {"step": step}."""
    checkpoints = checkpoint.Checkpoints(workdir)
    for step in steps:
        checkpoints.save(step, state(step), {"step": step})
    checkpoints.close()
    return workdir


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.fixture
def reopen(tmp_path):
    """Opens the directory's checkpoints, as a new process would."""
    opened = []

    def open_():
        opened.append(checkpoint.Checkpoints(tmp_path))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.mark.parametrize("critic", [False, True], ids=["without a critic", "with a critic"])
def test_a_state_comes_back_bit_for_bit(critic, tmp_path, reopen):
    original = state(critic=critic)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(3, original, {})
    checkpoints.close()
    assert reopen().latest_step == 3
    assert_same(reopen().restore(state(1, critic=critic)), original)


def test_progress_comes_back(tmp_path, reopen):
    progress = {"timing": {"train_s": 0.1}, "datasets": {"antmaze/umaze": {"id": "D4RL/antmaze/umaze-v1"}}}
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, state(), progress)
    checkpoints.close()
    assert reopen().progress() == progress


def test_the_state_may_be_donated_at_once(tmp_path, reopen):
    checkpoints, original = checkpoint.Checkpoints(tmp_path), {"weights": jnp.arange(1e6)}
    overwrite = jax.jit(lambda tree: jax.tree.map(jnp.negative, tree), donate_argnums=0)
    overwrite({"weights": jnp.zeros(1_000_000)})  # compiled beforehand, to be at it while the checkpoint is written
    checkpoints.save(1, original, {})
    jax.block_until_ready(overwrite(original))
    checkpoints.close()
    np.testing.assert_array_equal(reopen().restore({"weights": jnp.zeros(1_000_000)})["weights"], np.arange(1e6))


def test_members_are_found_wherever_their_rows_are(tmp_path, reopen):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, {"bc": jnp.array([5.0, 5.0, 6.0, 7.0])}, {"slots": {"bc": [0, 0, 2, 1]}})
    checkpoints.close()
    assert reopen().restore_members({"bc": jnp.zeros(3)})["bc"].tolist() == [5.0, 7.0, 6.0]


@pytest.mark.parametrize("slots", [{}, {"bc": 3}, {"bc": [0, 1, 1]}, {"bc": [0, 1, 2, 2]}, {"bc": [[0], 1, 2]}])
def test_rows_that_are_not_told_are_refused(slots, tmp_path, reopen):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, {"bc": jnp.zeros(3)}, {"slots": slots})
    checkpoints.close()
    with pytest.raises(UserError, match="cannot be restored"):
        reopen().restore_members({"bc": jnp.zeros(3)})


def test_an_empty_directory_has_no_checkpoint(reopen):
    assert reopen().latest_step is None


def test_the_last_two_are_kept(tmp_path):
    saved(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]


def test_one_cut_off_while_it_was_written_does_not_count(tmp_path, reopen):
    folder = saved(tmp_path, 1, 2) / "checkpoints"
    shutil.copytree(folder / "2", folder / "3.orbax-checkpoint-tmp")
    shutil.rmtree(folder / "3.orbax-checkpoint-tmp" / "state")
    assert reopen().latest_step == 2
    assert_same(reopen().restore(state()), state(2))


def test_saving_goes_on_after_one_was_cut_off(tmp_path, reopen):
    folder = saved(tmp_path, 1, 2) / "checkpoints"
    shutil.copytree(folder / "2", folder / "3.orbax-checkpoint-tmp")
    saved(tmp_path, 3)
    assert_same(reopen().restore(state()), state(3))


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_a_truncated_file_is_refused_in_one_line_or_does_no_harm(tmp_path):
    """Some files of Orbax repeat what others hold, so not every one is missed."""
    original, refused = saved(tmp_path / "whole", 1, 2) / "checkpoints" / "2", []
    for name in files(original):
        workdir = tmp_path / "damaged"
        shutil.copytree(tmp_path / "whole", workdir)
        path = workdir / "checkpoints" / "2" / name
        os.truncate(path, path.stat().st_size // 2)
        checkpoints = checkpoint.Checkpoints(workdir)
        try:
            assert checkpoints.progress() == {"step": 2}
            assert_same(checkpoints.restore(state()), state(2))
        except UserError as error:
            assert len(str(error).splitlines()) == 1 and f"{workdir}/checkpoints/2 cannot be restored" in str(error)
            refused.append(name)
        checkpoints.close()
        shutil.rmtree(workdir)
    assert any("state" in name.parts for name in refused) and any("progress" in name.parts for name in refused)


def test_deleting_the_damaged_one_goes_back_one_as_its_message_says(tmp_path, reopen):
    folder = saved(tmp_path, 1, 2) / "checkpoints"
    shutil.rmtree(folder / "2")
    assert_same(reopen().restore(state()), state(1))


def test_a_state_of_another_structure_is_refused(tmp_path, reopen):
    saved(tmp_path, 1)
    with pytest.raises(UserError, match="cannot be restored"):
        reopen().restore(state(critic=True))


def test_a_state_with_what_this_version_has_not_is_refused_by_that_name(tmp_path, reopen):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, state(1)._replace(numbers={"eta": jnp.float32(1), "dropped": jnp.float32(1)}), {"step": 1})
    checkpoints.close()
    with pytest.raises(UserError, match="it has .*dropped.*, which this version of gtp_jax has not"):
        reopen().restore(state())


@pytest.mark.parametrize("name", ["_CHECKPOINT_METADATA", "progress/metadata", "state/_METADATA"])
def test_deeply_nested_json_is_refused(name, tmp_path, reopen):
    (saved(tmp_path, 1) / "checkpoints" / "1" / name).write_text("[" * 100_000)
    with pytest.raises(UserError, match="RecursionError"):
        reopen().progress()
        reopen().restore(state())
