"""The table of scores says what results.json holds, in Markdown and in LaTeX."""

from gtp_jax import tables


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
    header, _, *body = rows(tables.table(members))
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
    header, _, *body = rows(tables.table(members))
    assert header[0] == "run" and [(row[0], row[6]) for row in body] == [("BC", "50.0"), ("RL", "100.0")]


def test_agents_are_kept_apart():
    members = [
        {**member("antmaze/umaze", 0, {"5": rate}), "agent": agent} for agent, rate in [("bc", 0.5), ("iql", 1.0)]
    ]
    header, _, *body = rows(tables.table(members))
    assert header[0] == "agent" and [(row[0], row[6]) for row in body] == [("bc", "50.0"), ("iql", "100.0")]


def test_a_number_that_differs_between_members_has_a_column():
    members = [{**member("antmaze/umaze", 0, {"5": eta}), "hparams": {"eta": eta, "rho": 7.0}} for eta in (0.5, 1.0)]
    header, _, *body = rows(tables.table(members))
    assert "rho" not in header and [row[header.index("eta")] for row in body] == ["0.5", "1"]


def test_the_time_an_action_takes_has_a_column_where_it_is_known():
    members = [{**member("antmaze/umaze", 0, {"1": 0.5, "5": 1.0}), "agent": "bc"}]
    header, _, *body = rows(tables.table(members, {"action_ms": {"bc": {"1": 0.25, "5": 1.5}}}))
    assert [row[header.index("ms per action")] for row in body] == ["0.25", "1.50"]


def test_the_speed_of_training_has_a_column_where_there_are_several_agents():
    members = [{**member("antmaze/umaze", 0, {"5": 0.5}), "agent": agent} for agent in ("bc", "iql")]
    header, _, *body = rows(tables.table(members, {"updates_per_s": {"bc": 100.4, "iql": 50.0}}))
    assert [row[header.index("updates/s")] for row in body] == ["100", "50"]


def test_the_speed_of_training_has_no_column_where_nobody_measured_it():
    members = [{**member("antmaze/umaze", 0, {"5": 0.5}), "agent": agent} for agent in ("bc", "iql")]
    assert "updates/s" not in tables.table(members, {"updates_per_s": {}})


def test_multigoal_has_a_table_of_its_own():
    score = {"off_mode": 0.25, "mode_shares": [0.1, 0.2, 0.3, 0.4], "energy_distance": 0.5, "episodes": 8}
    plane = {**member("multigoal", 0, {}), "eval": {"2": score}}
    maze, multigoal = tables.table([member("antmaze/umaze", 0, {"5": 1.0}), plane]).split("\n\n")
    assert "multigoal" not in maze and rows(multigoal)[2] == [
        "multigoal",
        "2",
        "0.250 +- 0.000",
        "0.10 to 0.40",
        "0.5000 +- 0.0000",
        "1 x 8",
        "0",
    ]


def test_tasks_that_are_scored_by_their_return_have_a_table_of_their_own():
    def hopper(seed, score):
        scores = {"5": {"episodes": 10, "success_rate": 0.0, "normalized_score": score, "return_mean": 10 * score}}
        return {**member("gym/hopper-medium", seed, {}), "eval": scores}

    # The mean of 80, 90 and 100 has the standard error 10 / sqrt(3), and Student's t with 2 degrees of freedom 4.303.
    several, alone = tables.table([hopper(0, 80.0), hopper(1, 90.0), hopper(2, 100.0)]), tables.table([hopper(0, 80.0)])
    head, _, row = rows(several)
    assert (row[head.index("normalised score [95 %]")], row[head.index("return")]) == ("90.0 [65.2, 114.8]", "900.0")
    assert "success" not in several and rows(alone)[2][head.index("normalised score [95 %]")] == "80.0"


def test_the_table_marks_members_that_diverged():
    members = [member("antmaze/umaze", 0, {"5": 1.0}), {**member("antmaze/umaze", 1, {"5": 0.0}), "diverged": True}]
    assert rows(tables.table(members))[2][-1] == "0, 1 (diverged)"


def test_the_table_is_markdown_of_even_width():
    lines = tables.table([member("antmaze/umaze", 0, {"1": 0.5, "10": 1.0})]).splitlines()
    assert len({len(line) for line in lines}) == 1 and set(lines[1]) == {"|", "-"}


# ------------------------------------------------------------------------------------------------- notation


def test_what_stands_beside_a_score_has_a_column_that_is_empty_elsewhere():
    members = [member("antmaze/umaze", 0, {"1": 0.5, "5": 1.0})]
    ((head, *body),) = tables.scores(members, {}, lambda group, k: {"mine": f"{len(group)} at {k}"} if k == "5" else {})
    assert head[-1] == "mine" and [row[-1] for row in body] == ["", "1 at 5"]


def test_markdown_cells_cannot_end_themselves_or_hold_tags():
    assert tables.markdown([["a|b"], ["<script>\nx"]]).splitlines() == [
        r"| a\|b          |",
        "|---------------|",
        "| &lt;script> x |",
    ]


def test_latex_cells_hold_no_commands():
    text = tables.latex([["run", "score [95 %]"], [r"a_b & \input{x}~^#$", "1.0"]])
    assert text.splitlines() == [
        r"\begin{tabular}{ll}",
        r"\toprule",
        r"run & score [95 \%] \\",
        r"\midrule",
        r"a\_b \& \textbackslash{}input\{x\}\textasciitilde{}\textasciicircum{}\#\$ & 1.0 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def compared(rates: dict[tuple[str, str], list[float]]) -> list[list[str]]:
    """The rows of some agents and tasks, of whose seeds each has a success rate."""
    return tables.comparison(
        [
            {"agent": agent, "task": task, "eval": {"5": {"success_rate": rate, "episodes": 10}}}
            for (agent, task), each in rates.items()
            for rate in each
        ],
        "5",
    )


def test_a_comparison_has_agents_by_tasks_and_the_best_in_bold():
    rates = {("gtp", "a"): [0.5, 0.7], ("gtp", "b"): [0.0, 0.0], ("bc", "a"): [0.1, 0.1], ("bc", "b"): [0.2, 0.4]}
    head, gtp, bc = compared(rates)
    assert head == ["K = 5", "a", "b", "mean"]
    assert gtp[1].startswith("**0.60 [") and gtp[2].startswith("0.00 [") and gtp[3] == "0.30"
    assert bc[1].startswith("0.10 [") and bc[2].startswith("**0.30 [") and bc[3] == "0.20"


def test_a_comparison_at_a_k_leaves_out_who_was_not_measured_there():
    members = [
        {"agent": agent, "task": "a", "eval": {k: {"success_rate": 0.5, "episodes": 10}}}
        for agent, k in (("gtp", "1"), ("bc", "5"))
    ]
    _, gtp, bc = tables.comparison(members, "5")
    assert gtp[1] == gtp[2] == "" and bc[1].startswith("0.50 [")


def test_a_comparison_leaves_out_what_was_not_measured():
    _, gtp, bc = compared({("gtp", "a"): [0.5], ("gtp", "b"): [0.7], ("bc", "b"): [0.1]})
    assert gtp[1].startswith("0.50 [") and gtp[2].startswith("**0.70 [") and gtp[3] == "0.60"
    assert bc[1] == bc[3] == "" and bc[2].startswith("0.10 [")
