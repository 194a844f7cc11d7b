//! The README tells the truth.

use std::path::Path;

use crate::run::netflow;

/// The folder of the README.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What stands in the README on a console, behind a mark.
fn console(mark: &str) -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("<!-- {mark} -->\n```console\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// The program prints what stands behind the mark, below its command.
fn is_printed(mark: &str) {
    let console = console(mark);
    let (command, picture) = console.split_once('\n').unwrap();
    // Of quotes the command has none but those around a whole argument.
    let quoted = command.strip_prefix("$ netflow ").unwrap().split('\'').enumerate();
    let arguments: Vec<&str> = quoted
        .flat_map(|(place, text)| if place % 2 == 1 { vec![text] } else { text.split_whitespace().collect() })
        .collect();
    assert_eq!(netflow(root(), &arguments).ok(), picture);
}

#[test]
fn the_picture_is_what_the_program_prints() {
    is_printed("picture");
}

#[test]
fn the_filtered_report_is_what_the_program_prints() {
    is_printed("filter");
}

#[test]
fn a_capture_for_others_is_reported_as_it_says() {
    let console = console("anonymized");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("fixtures"), folder.path().join("fixtures")).unwrap();
    let commands = console.lines().filter_map(|line| line.strip_prefix("$ netflow "));
    let run = |command: &str| netflow(folder.path(), &command.split(' ').collect::<Vec<_>>()).ok();
    let printed: String = commands.map(|command| format!("$ netflow {command}\n{}", run(command))).collect();
    assert_eq!(printed, console);
}
