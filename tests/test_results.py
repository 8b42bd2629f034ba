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
from gtp_jax.agent import AgentState
from gtp_jax.agent_config import AgentConfig
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


# ------------------------------------------------------------------------------------------------- the table


def member(task, seed, rates):
    scores = {k: {"episodes": 50, "success_rate": r, "normalized_score": 100 * r} for k, r in rates.items()}
    dataset = {"id": f"D4RL/{task}-v1", "source": "minari-local"}
    return {"task": task, "seed": seed, "diverged": False, "dataset": dataset, "eval": scores}


def rows(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_table_pools_seeds_and_has_a_row_for_each_task_and_number_of_sampling_steps():
    members = [
        member("antmaze/umaze", 0, {"1": 0.5, "5": 0.96}),
        member("antmaze/umaze", 1, {"1": 0.5, "5": 0.96}),
        member("antmaze/large-play", 0, {"1": 0.0, "5": 0.3}),
    ]
    header, _, *body = rows(results.table(members))
    assert header == ["task", "data set", "source", "K", "success rate [95 %]", "normalised score", "episodes", "seeds"]
    umaze, large = ["antmaze/umaze", "D4RL/antmaze/umaze-v1"], ["antmaze/large-play", "D4RL/antmaze/large-play-v1"]
    assert body == [
        [*umaze, "minari-local", "1", "0.500 [0.404, 0.596]", "50.0", "2 x 50", "0, 1"],
        [*umaze, "minari-local", "5", "0.960 [0.902, 0.984]", "96.0", "2 x 50", "0, 1"],
        [*large, "minari-local", "1", "0.000 [0.000, 0.071]", "0.0", "1 x 50", "0"],
        [*large, "minari-local", "5", "0.300 [0.191, 0.438]", "30.0", "1 x 50", "0"],
    ]


def test_runs_with_labels_are_kept_apart():
    members = [
        {**member("antmaze/umaze", 0, {"5": rate}), "label": label} for label, rate in [("BC", 0.5), ("RL", 1.0)]
    ]
    header, _, *body = rows(results.table(members))
    assert header[0] == "run" and [(row[0], row[6]) for row in body] == [("BC", "50.0"), ("RL", "100.0")]


def test_agents_are_kept_apart():
    members = [
        {**member("antmaze/umaze", 0, {"5": rate}), "agent": agent} for agent, rate in [("bc", 0.5), ("iql", 1.0)]
    ]
    header, _, *body = rows(results.table(members))
    assert header[0] == "agent" and [(row[0], row[6]) for row in body] == [("bc", "50.0"), ("iql", "100.0")]


def test_a_number_that_differs_between_members_has_a_column():
    members = [{**member("antmaze/umaze", 0, {"5": eta}), "hparams": {"eta": eta, "rho": 7.0}} for eta in (0.5, 1.0)]
    header, _, *body = rows(results.table(members))
    assert "rho" not in header and [row[header.index("eta")] for row in body] == ["0.5", "1"]


def test_the_time_an_action_takes_has_a_column_where_it_is_known():
    members = [{**member("antmaze/umaze", 0, {"1": 0.5, "5": 1.0}), "agent": "bc"}]
    header, _, *body = rows(results.table(members, {"action_ms": {"bc": {"1": 0.25, "5": 1.5}}}))
    assert [row[header.index("ms an action")] for row in body] == ["0.25", "1.50"]


def test_the_speed_of_training_has_a_column_where_there_are_several_agents():
    members = [{**member("antmaze/umaze", 0, {"5": 0.5}), "agent": agent} for agent in ("bc", "iql")]
    header, _, *body = rows(results.table(members, {"updates_per_s": {"bc": 100.4, "iql": 50.0}}))
    assert [row[header.index("updates/s")] for row in body] == ["100", "50"]


def test_the_speed_of_training_has_no_column_where_nobody_measured_it():
    members = [{**member("antmaze/umaze", 0, {"5": 0.5}), "agent": agent} for agent in ("bc", "iql")]
    assert "updates/s" not in results.table(members, {"updates_per_s": {}})


def test_multigoal_has_a_table_of_its_own():
    score = {"off_mode": 0.25, "mode_shares": [0.1, 0.2, 0.3, 0.4], "energy_distance": 0.5, "episodes": 8}
    plane = {**member("multigoal", 0, {}), "eval": {"2": score}}
    maze, multigoal = results.table([member("antmaze/umaze", 0, {"5": 1.0}), plane]).split("\n\n")
    assert "multigoal" not in maze and rows(multigoal)[2] == [
        "multigoal",
        "2",
        "0.250 +- 0.000",
        "0.10 to 0.40",
        "0.5000 +- 0.0000",
        "1 x 8",
        "0",
    ]


def test_the_table_marks_members_that_diverged():
    members = [member("antmaze/umaze", 0, {"5": 1.0}), {**member("antmaze/umaze", 1, {"5": 0.0}), "diverged": True}]
    assert rows(results.table(members))[2][-1] == "0, 1 (diverged)"


def test_the_table_is_markdown_of_even_width():
    lines = results.table([member("antmaze/umaze", 0, {"1": 0.5, "10": 1.0})]).splitlines()
    assert len({len(line) for line in lines}) == 1 and set(lines[1]) == {"|", "-"}
