"""What a state sync can get wrong, and which tests guard against it.

Names are of functions; each must be where it is said to be, so that none gets lost unnoticed.
"""

from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[3]

CHAIN: Final = "node/chain/test_state_sync.py"
REPLAY: Final = "node/chain/test_replay.py"
QUEUE: Final = "node/chain/test_block_operations.py"
STATE: Final = "node/sync/state"
COORDINATOR: Final = f"{STATE}/test_coordinator.py"
TABLES: Final = f"{STATE}/test_coordinator_table.py"
SYNCER: Final = f"{STATE}/test_state_syncer.py"
FAULTS: Final = f"{STATE}/test_state_faults.py"
RACES: Final = "sim/test_state_races.py"
LIFECYCLE: Final = "sim/test_state_lifecycle.py"
ACCOUNTS: Final = "sim/test_state_sync.py"
JOINING: Final = "sim/test_state_joining.py"
REAL: Final = "integration/test_state_sync.py"

EACH_BLOCK_ONCE: Final = (
    RACES,
    "every_block_is_executed_once_and_the_state_is_the_last_targets",
)

GUARDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    # Defects.
    "replay asks the hooks, so that queued blocks are queued again": (
        (CHAIN, "replay_never_defers_what_it_executes"),
    ),
    "a block that comes while a target is finalized runs before its queued parents": (
        (REPLAY, "a_block_that_comes_while_the_target_is_completed_runs_after_its_parents"),
        EACH_BLOCK_ONCE,
    ),
    "a block that comes between the look at the queue and its end is stranded": (
        (REPLAY, "a_final_block_that_comes_before_the_seal_is_not_stranded"),
        (REPLAY, "a_seal_and_pushes_at_the_same_moment_leave_no_block_out"),
        EACH_BLOCK_ONCE,
    ),
    "a target is finalized that some syncer has never fetched": (
        (COORDINATOR, "who_was_done_must_be_done_with_the_new_target"),
        (f"{STATE}/test_registry.py", "they_are_done_when_all_are_done_with_the_newest_target"),
        (f"{STATE}/test_history_syncer.py", "one_that_is_done_resumes_when_the_target_moves"),
        (SYNCER, "it_moves_when_it_was_reached"),
        (f"{STATE}/test_block_syncer.py", "a_later_target_is_done_at_once"),
    ),
    "a pivot that comes while a session is made anew is lost": (
        (LIFECYCLE, "what_became_final_while_no_session_was_there_is_its_target"),
        EACH_BLOCK_ONCE,
    ),
    "after a jump in height there is a pivot for each block, or the target goes back": (
        (f"{STATE}/test_pivot_policy.py", "a_jump_is_one_pivot_and_nothing_goes_back"),
        (f"{STATE}/test_pivot_policy.py", "targets_ascend_and_there_is_at_most_one_in_each_"),
        (CHAIN, "a_target_is_final_and_never_goes_back"),
    ),
    "a target names a state that those who serve it have pruned": (
        (f"{STATE}/test_pivot_policy.py", "the_interval_is_at_most_half_of_what_peers_retain"),
        (FAULTS, "a_target_that_nobody_can_present_is_told_once"),
        (COORDINATOR, "a_target_that_is_lost_is_replaced_whatever_the_policy_says"),
    ),
    "blocks that leave the queue are stored nowhere": (
        (CHAIN, "a_target_takes_its_operations_along"),
        (CHAIN, "what_waits_to_be_executed_is_not_pruned"),
    ),
    "the queue is pruned before the move of the target can fail": (
        (CHAIN, "a_target_whose_commit_fails_has_not_moved_and_leaves_the_queue"),
        (COORDINATOR, "an_update_that_fails_aborts_and_finalizes_nothing"),
        (COORDINATOR, "a_pivot_reaches_every_syncer_before_the_commit_target_moves"),
    ),
    "a block that only has to be verified ends the sync when it is wrong": (
        (REPLAY, "a_branch_that_cannot_be_executed_goes_and_the_sync_ends"),
    ),
    "a failure after finalizing loses operations": (
        (REPLAY, "a_final_block_that_cannot_be_executed_is_an_error_with_its_place"),
        (REPLAY, "replay_goes_on_after_a_crash"),
        (RACES, "a_process_that_ends_after_a_few_commits_gets_its_state_all_the_same"),
    ),
    "cancelled questions keep their places": (
        (FAULTS, "places_are_free_again_however_questions_end"),
        (f"{STATE}/test_history_syncer.py", "questions_that_are_cancelled_keep_no_place"),
        (LIFECYCLE, "cancelled_at_an_answer_it_returns_at_once_and_leaves_nothing"),
    ),
    "progress is not stored at a pivot, so that a crash resumes the old target": (
        (SYNCER, "a_process_that_ends_after_a_pivot_goes_on_with_the_new_target"),
        (SYNCER, "a_process_that_ends_at_a_pivot_before_it_is_stored_goes_for_it_all_the_same"),
    ),
    "accounts start again with each pivot and never get there": (
        (SYNCER, "it_moves_fifty_times_in_a_row"),
        (ACCOUNTS, "it_catches_a_source_that_never_rests"),
        (REAL, "the_target_moves_ten_times_while_one_lies_and_one_leaves"),
    ),
    "the queue grows in memory without a bound": (
        (CHAIN, "the_queue_tells_how_long_it_is"),
        (QUEUE, "a_snapshot_has_at_most_its_limit"),
    ),
    # The coordinator and its policy.
    "a cell of the tables": (
        (TABLES, "each_event_in_each_state"),
        (TABLES, "the_last_syncer_that_runs_and_the_last_that_is_done"),
        (TABLES, "what_becomes_of_a_block_in_each_state"),
        (TABLES, "what_becomes_of_a_target_in_each_state"),
    ),
    "updates at the same time overlap": (
        (COORDINATOR, "updates_never_overlap_and_the_highest_wins"),
    ),
    "an end is told twice, or an error forgotten": (
        (TABLES, "done_is_reported_once"),
        (COORDINATOR, "what_is_over_stays_as_it_is_and_is_told_once"),
    ),
    "blocks at the target or below are executed, or others not exactly once": (
        (COORDINATOR, "pivots_at_150_and_180_over_blocks_100_to_200"),
        (COORDINATOR, "every_block_above_the_target_is_executed_once_and_in_order"),
    ),
    "blocks that come during replay do not append behind": (
        (QUEUE, "what_comes_while_a_snapshot_is_executed_stays_for_the_next"),
        EACH_BLOCK_ONCE,
    ),
    # How syncs begin and end.
    "a syncer counts as complete before all run": (
        (COORDINATOR, "a_syncer_may_be_done_before_all_of_them_run"),
    ),
    "another error than the first is the cause": (
        (f"{STATE}/test_registry.py", "the_first_error_ends_the_others_and_is_the_cause"),
    ),
    "an answer to a cancelled question counts": (
        (FAULTS, "answers_to_cancelled_questions_are_late"),
        (FAULTS, "what_nobody_waits_for_changes_nothing"),
    ),
    # What is fetched, and when the target moves.
    "the accounts are not the source's": (
        (SYNCER, "it_fetches_a_state"),
        (SYNCER, "accounts_that_were_there_before_are_gone"),
        (SYNCER, "changes_meet_accounts_that_are_fetched_and_others"),
        (SYNCER, "a_target_may_empty_the_state"),
    ),
    "the target moves at an awkward moment": (
        (SYNCER, "it_moves_before_the_first_answer"),
        (SYNCER, "it_moves_after_the_download_and_before_the_check"),
        (SYNCER, "it_moves_over_more_blocks_than_an_answer_has"),
        (SYNCER, "it_says_how_far_behind_it_is_at_every_moment"),
    ),
    # Peers and ends of the process.
    "a liar is not found out, or somebody else is blamed": (
        (REAL, "a_liar_among_the_serving_is_found_out"),
        (REAL, "who_lies_again_is_banned"),
        (FAULTS, "who_lies_is_blamed_and_others_are_asked_instead"),
        (FAULTS, "changes_whose_headers_are_forgotten_are_nobodys_fault"),
    ),
    "who is silent, slow or gone holds a sync up": (
        (REAL, "who_is_silent_is_passed_over"),
        (REAL, "who_is_slow_is_asked_less"),
        (REAL, "who_leaves_in_the_middle_is_replaced_at_once"),
    ),
    "a process that ends with a commit, done or undone, does not go on or fetches again": (
        (ACCOUNTS, "a_process_that_ends_at_every_commit_finishes_all_the_same"),
        (ACCOUNTS, "a_process_that_ends_fetches_almost_nothing_twice"),
        (RACES, "each_kind_of_commit_has_been_the_last_one_done_and_undone"),
        (REAL, "a_node_that_ends_in_the_middle_fetches_almost_nothing_again"),
    ),
    "a static sync follows the chain, or does not end at its target": (
        (JOINING, "of_two_that_join_at_one_moment_the_dynamic_one_ends_at_the_head"),
        (JOINING, "a_static_sync_queues_nothing_and_follows_afterwards"),
        (REAL, "a_static_sync_ends_where_it_began_and_follows_from_there"),
    ),
}


@pytest.mark.parametrize("defect", GUARDS)
def test_somebody_guards_against(defect: str) -> None:
    for file, name in GUARDS[defect]:
        assert f"def test_{name}" in (TESTS / file).read_text(), (file, name)
