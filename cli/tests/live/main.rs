//! The program on the running kernel: what it records and reports is compared with what the applications counted.
//!
//! Needs root and a kernel that can be recorded; without, every test is skipped and says why, unless
//! `NETFLOW_REQUIRE_LIVE=1` is set. `cargo test -p netflow --test live -- NAME` runs the tests whose names contain NAME.
#![allow(clippy::unwrap_used, clippy::panic)]

mod ci_example;
mod cluster;
mod containers;
mod departure;
mod doctor;
mod endings;
mod filter;
mod lab;
mod names;
mod overload;
mod points;
mod privileges;
mod recording;
mod rotation;
mod scenarios;
mod sections;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    netflow_fixtures::traffic::run_role_if_asked();
    let mut arguments = Arguments::from_args();
    // All tests record the same kernel, and the counts of one are the others' traffic.
    arguments.test_threads = Some(1);
    let missing = recording::what_is_missing();
    if let Some(why) = &missing {
        if std::env::var_os("NETFLOW_REQUIRE_LIVE").is_some_and(|value| value == "1") {
            eprintln!("FAILED: this host cannot record, and NETFLOW_REQUIRE_LIVE=1 says that it must: {why}");
            return ExitCode::FAILURE;
        }
        eprintln!("skipped: all live tests, because this host cannot record: {why}");
    }
    let tests: [(&str, fn()); 44] = [
        ("report_equals_what_the_applications_counted", scenarios::report_equals_what_the_applications_counted),
        ("why_connects_failed_and_what_was_never_accepted", scenarios::why_connects_failed_and_what_was_never_accepted),
        ("twenty_thousand_connections", scenarios::twenty_thousand_connections),
        ("snapshots_in_a_storm", scenarios::snapshots_in_a_storm),
        ("a_tiny_ring_loses_and_says_so", overload::a_tiny_ring_loses_and_says_so),
        ("a_recorder_that_was_stopped_goes_on", overload::a_recorder_that_was_stopped_goes_on),
        ("a_pipe_that_nobody_reads", overload::a_pipe_that_nobody_reads),
        ("sockets_without_room_for_their_state", overload::sockets_without_room_for_their_state),
        ("each_file_of_an_overloaded_recording", overload::each_file_of_an_overloaded_recording),
        ("killed_at_any_moment", overload::killed_at_any_moment),
        ("killed_between_sections", overload::killed_between_sections),
        ("the_sections_of_a_file_add_up", sections::the_sections_of_a_file_add_up),
        ("every_scenario_in_several_sections", sections::every_scenario_in_several_sections),
        ("files_that_rotate_have_sections", sections::files_that_rotate_have_sections),
        ("a_command_is_recorded_to_its_end", endings::a_command_is_recorded_to_its_end),
        ("a_failed_command_fails_the_recording", endings::a_failed_command_fails_the_recording),
        ("limits_end_a_recording", endings::limits_end_a_recording),
        ("the_example_of_a_ci_job_works", ci_example::the_example_of_a_ci_job_works),
        ("a_full_disk_ends_a_recording", endings::a_full_disk_ends_a_recording),
        ("paths_that_cannot_be_written", endings::paths_that_cannot_be_written),
        ("some_connections_are_recorded_and_add_up", filter::some_connections_are_recorded_and_add_up),
        ("a_cluster_is_kept_in_the_recording", cluster::a_cluster_is_kept_in_the_recording),
        ("a_container_is_a_column_of_the_report", containers::a_container_is_a_column_of_the_report),
        ("nothing_stays_in_the_kernel", departure::nothing_stays_in_the_kernel),
        ("a_command_that_is_left_behind_holds_nothing", departure::a_command_that_is_left_behind_holds_nothing),
        ("three_capabilities_are_enough_to_record", privileges::three_capabilities_are_enough_to_record),
        ("capabilities_of_the_file_are_enough_to_record", privileges::capabilities_of_the_file_are_enough_to_record),
        ("a_command_keeps_the_callers_privileges", privileges::a_command_keeps_the_callers_privileges),
        ("a_command_of_another_user_is_ended", privileges::a_command_of_another_user_is_ended),
        ("files_go_on_in_a_folder_of_another_user", privileges::files_go_on_in_a_folder_of_another_user),
        ("missing_capabilities_are_named", privileges::missing_capabilities_are_named),
        ("doctor_by_privileges", doctor::doctor_by_privileges),
        ("doctor_in_containers", doctor::doctor_in_containers),
        ("doctor_for_people", doctor::doctor_for_people),
        ("streams_and_closed_pipes", endings::streams_and_closed_pipes),
        ("the_files_of_a_recording_add_up", rotation::the_files_of_a_recording_add_up),
        ("every_scenario_in_several_files", rotation::every_scenario_in_several_files),
        ("the_oldest_files_are_removed", rotation::the_oldest_files_are_removed),
        ("answers_name_the_connections_that_follow", names::answers_name_the_connections_that_follow),
        ("names_and_translations_can_be_left_out", names::names_and_translations_can_be_left_out),
        ("translations_within_a_namespace", names::translations_within_a_namespace),
        ("translations_on_the_way", names::translations_on_the_way),
        ("points_add_up_to_what_the_applications_counted", points::points_add_up_to_what_the_applications_counted),
        ("live_ends_by_itself_and_with_its_reader", points::live_ends_by_itself_and_with_its_reader),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let ignored = missing.is_some();
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        trial.with_ignored_flag(ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
