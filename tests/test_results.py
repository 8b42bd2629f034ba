"""A digest tells parameters apart to the bit, result files are whole or absent, the table says what they hold."""

import json
import os
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtp_jax import placement as placing
from gtp_jax import results
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState
from gtp_jax.population import Member, Program


def params():
    rng = np.random.default_rng(0)
    return {
        "actor": {"kernel": rng.normal(size=(3, 2)).astype(np.float32), "bias": np.zeros(2, np.float32)},
        "critic": None,
        "steps": np.array(7, np.int32),
    }


# ------------------------------------------------------------------------------------------------- digests


@given(st.sampled_from(["kernel", "bias"]), st.data())
def test_the_digest_changes_with_any_bit(name, data):
    changed = params()
    view = changed["actor"][name].view(np.uint8).reshape(-1)
    view[data.draw(st.integers(0, view.size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert results.params_digest(changed) != results.params_digest(params())


def test_the_digest_does_not_change_with_the_order_of_keys():
    reordered = {key: params()[key] for key in reversed(params())}
    reordered["actor"] = {key: params()["actor"][key] for key in reversed(params()["actor"])}
    assert results.params_digest(reordered) == results.params_digest(params())


def test_the_digest_is_that_of_device_arrays_too():
    assert results.params_digest({"a": jnp.arange(3.0)}) == results.params_digest(
        {"a": np.arange(3.0, dtype=np.float32)}
    )


def test_the_digest_is_that_of_values_not_of_their_layout_in_memory():
    kernel = params()["actor"]["kernel"]
    assert results.params_digest({"a": np.asfortranarray(kernel)}) == results.params_digest({"a": kernel})


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((3, 2), np.float32)},
        {"a": np.zeros((2, 3), np.int32)},
        {"a": {"a": np.zeros((2, 3), np.float32)}},
    ],
    ids=["name", "shape", "dtype", "nesting"],
)
def test_the_digest_changes_with_the_structure(other):
    assert results.params_digest(other) != results.params_digest({"a": np.zeros((2, 3), np.float32)})


# ------------------------------------------------------------------------------------------------- files


def test_what_is_written_is_read_back(tmp_path):
    content = {"members": [{"task": "antmaze/umaze", "rate": 0.1}], "none": None}
    results.write_json(tmp_path / "results.json", content)
    assert json.loads((tmp_path / "results.json").read_text()) == content
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path, over, broken = tmp_path / "results.json", threading.Event(), []
    results.write_json(path, [0] * 1000)

    def read():
        while not over.is_set():
            try:
                assert len(set(json.loads(path.read_text()))) == 1
            except Exception as error:
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for value in range(200):
        results.write_json(path, [value] * 1000)
    over.set()
    reader.join()
    assert not broken


def test_what_cannot_be_written_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    def full(_):
        raise OSError("No space left on device")

    results.write_json(tmp_path / "results.json", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.write_json(tmp_path / "results.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert json.loads((tmp_path / "results.json").read_text()) == "old"


# ------------------------------------------------------------------------------------------------- entries


def entries_of(weights, failures=(-1, -1)):
    """Of two members that have these weights and are otherwise empty."""
    empty = AgentState(*[None] * len(AgentState._fields))
    members = tuple(Member("pointmaze/umaze", seed, AgentConfig(eta=1.0)) for seed in range(len(weights)))
    scores = {5: [{"success_rate": 0.1 * seed} for seed in range(len(weights))]}
    state = empty._replace(actor_ema={"kernel": weights}, failure=np.array(failures), step=np.array([9, 7]))
    return results.member_entries(
        Program("mine", members),
        state,
        placing.over(jax.devices()[:1], len(members)),
        datasets={"pointmaze/umaze": {}},
        scores=scores,
    )


def test_an_entry_has_the_scores_and_the_digest_of_its_own_member():
    first, second = entries_of(np.float32([[1.0, 2.0], [3.0, 4.0]]))
    assert (first["seed"], first["eval"]["5"]["success_rate"]) == (0, 0.0)
    assert (second["seed"], second["eval"]["5"]["success_rate"]) == (1, 0.1)
    alone = results.params_digest({"actor": {"kernel": np.float32([3.0, 4.0])}, "critic": None})
    assert second["params_digest"] == alone != first["params_digest"]


def test_a_member_that_failed_has_diverged_at_a_step_in_a_quantity_and_others_have_not():
    sound, failed = entries_of(np.zeros((2, 2), np.float32), failures=(-1, 2))
    assert not sound["diverged"] and "diverged_step" not in sound
    assert failed["diverged"] and (failed["diverged_step"], failed["diverged_quantity"]) == (7, "actor_loss")
