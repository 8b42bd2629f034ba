"""The data of a run are the same for all its processes, and stay what they were."""

import pytest

from experiments import datasets
from gtp_jax.errors import UserError

LOCAL = {"id": "D4RL/pointmaze/umaze-v2", "source": "minari-local", "num_transitions": 700}
REMOTE = {**LOCAL, "source": "minari-remote"}
STAND_IN = {"id": "gtp_jax/pointmaze/umaze-700-seed0-v1", "source": "generated", "num_transitions": 700}


def test_processes_with_different_data_of_a_task_are_refused():
    with pytest.raises(UserError, match="processes of this run have different data of maze: D4RL.*, and gtp_jax"):
        datasets.agreed({}, [{"maze": LOCAL}, {"maze": STAND_IN}])


def test_processes_may_have_the_same_data_from_different_places():
    assert datasets.agreed({}, [{"maze": LOCAL}, {"maze": REMOTE}]) == {"maze": LOCAL}


def test_processes_with_different_tasks_know_the_data_of_all():
    assert datasets.agreed({}, [{"maze": LOCAL}, {"other": STAND_IN}]) == {"maze": LOCAL, "other": STAND_IN}


def test_a_resumed_run_keeps_the_record_that_it_began_with():
    assert datasets.agreed({"maze": REMOTE}, [{"maze": LOCAL}]) == {"maze": REMOTE}
