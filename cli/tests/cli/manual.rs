//! What is generated from the definition of the arguments: help, manual, completions.

use std::path::Path;
use std::process::Command;

use crate::run::netflow;

/// All commands, those below `fixture` too.
fn commands(folder: &Path) -> Vec<String> {
    let below = |of: &[&str]| -> Vec<String> {
        let help = netflow(folder, &[of, &["--help"]].concat()).ok();
        let (_, list) = help.split_once("Commands:\n").unwrap();
        let lines = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
        lines
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .filter(|name| name != "help")
            .collect()
    };
    let fixture = below(&["fixture"]).into_iter().map(|name| format!("fixture {name}"));
    below(&[]).into_iter().filter(|name| name != "fixture").chain(fixture).collect()
}

#[test]
fn every_command_has_an_example_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    netflow(folder.path(), &["manual", "man"]).ok();
    let commands = commands(folder.path());
    assert!(commands.len() >= 18, "{commands:?}");
    for command in commands {
        let help = netflow(folder.path(), &command.split(' ').chain(["--help"]).collect::<Vec<_>>()).ok();
        assert!(help.contains(&format!("  netflow {command}")) && help.contains("Example"), "{help}");
        let page = folder.path().join(format!("man/netflow-{}.1", command.replace(' ', "-")));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains("Example") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(folder.path().join("man/netflow.1").is_file() && folder.path().join("man/netflow-fixture.1").is_file());
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("netflow.bash"), netflow(folder.path(), &["completions", "bash"]).ok()).unwrap();
    let complete = |words: &str| {
        let script = format!(
            "source ./netflow.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _netflow netflow \"${{COMP_WORDS[COMP_CWORD]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["-c", &script]).current_dir(&folder).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete("netflow rep"), "report\nreplay\n");
    assert_eq!(complete("netflow report --parq"), "--parquet\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(netflow(folder.path(), &["completions", shell]).ok().contains("netflow"), "{shell}");
    }
}

#[test]
fn every_help_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for command in commands(folder.path()) {
        let help = netflow(folder.path(), &command.split(' ').chain(["--help"]).collect::<Vec<_>>()).ok();
        text += &format!("$ netflow {command} --help\n{help}\n");
    }
    // Accept with `INSTA_UPDATE=always`, and review.
    insta::assert_snapshot!("help", text);
}
