//! The README tells the truth.

use std::path::Path;

use crate::run::netflow;

#[test]
fn the_picture_is_what_the_program_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- picture -->\n```console\n$ netflow ").unwrap();
    let (command, rest) = rest.split_once('\n').unwrap();
    let (picture, _) = rest.split_once("```").unwrap();
    let arguments: Vec<&str> = command.split(' ').collect();
    assert_eq!(netflow(root, &arguments).ok(), picture);
}

#[test]
fn a_capture_for_others_is_reported_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- anonymized -->\n```console\n").unwrap();
    let (console, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("fixtures"), folder.path().join("fixtures")).unwrap();
    let commands = console.lines().filter_map(|line| line.strip_prefix("$ netflow "));
    let run = |command: &str| netflow(folder.path(), &command.split(' ').collect::<Vec<_>>()).ok();
    let printed: String = commands.map(|command| format!("$ netflow {command}\n{}", run(command))).collect();
    assert_eq!(printed, console);
}

#[test]
fn the_filtered_report_is_what_the_program_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- filter -->\n```console\n$ netflow ").unwrap();
    let (command, rest) = rest.split_once('\n').unwrap();
    let (picture, _) = rest.split_once("```").unwrap();
    // Of quotes the command has none but those around a whole argument.
    let quoted = command.split('\'').enumerate();
    let arguments: Vec<&str> = quoted
        .flat_map(|(place, text)| if place % 2 == 1 { vec![text] } else { text.split_whitespace().collect() })
        .collect();
    assert_eq!(netflow(root, &arguments).ok(), picture);
}
