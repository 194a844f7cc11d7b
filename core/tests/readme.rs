//! What the README names is there.

#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "this test reads the project's own sources; core itself opens nothing")]

use std::path::{Path, PathBuf};

const CRATES: [(&str, &str); 4] = [
    ("netflow_core", "core/src"),
    ("netflow_formats", "formats/src"),
    ("netflow_capture", "capture-ebpf/src"),
    ("netflow", "cli/src"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn readme() -> String {
    std::fs::read_to_string(root().join("core/README.md")).unwrap()
}

/// Every piece of code in the tables.
fn code(readme: &str) -> impl Iterator<Item = &str> {
    readme.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// All Rust sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The module at the head of the path, or any where there is none, has the names that follow.
fn exists(folder: &Path, path: &[&str]) -> bool {
    let module = (1..=path.len()).rev().find_map(|length| {
        let module = folder.join(path[..length].join("/"));
        let file = module.with_extension("rs");
        // A folder's module names what the files in it have.
        let files = if file.is_file() { vec![file] } else { module.is_dir().then(|| sources(&module))? };
        Some((files, &path[length..]))
    });
    let (files, names) = module.unwrap_or_else(|| (sources(folder), path));
    files.iter().any(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        names.iter().all(|name| has_word(&text, name))
    })
}

#[test]
fn every_item_that_it_names_exists() {
    let readme = readme();
    let mut count = 0;
    for item in code(&readme).filter(|code| code.contains("::") && !code.starts_with("tests/")) {
        let path: Vec<&str> = item.split("::").collect();
        let (_, folder) =
            CRATES.iter().find(|(name, _)| *name == path[0]).unwrap_or_else(|| panic!("{item}: which crate?"));
        assert!(exists(&root().join(folder), &path[1..]), "{item} does not exist");
        count += 1;
    }
    assert!(count > 50, "the tables were read: {count}");
}

#[test]
fn every_test_that_it_names_exists() {
    let readme = readme();
    let faults = readme.lines().filter(|line| line.starts_with("| Q"));
    let mut numbers = 0;
    for line in faults {
        let (_, tests) = line.trim_end_matches('|').rsplit_once('|').unwrap();
        for name in tests.split('`').skip(1).step_by(2) {
            if name.starts_with("capture-ebpf/") {
                assert!(root().join(name).is_dir(), "{name}");
                continue;
            }
            let (file, name) = name.split_once("::").unwrap_or(("tests/faults.rs", name));
            let text = std::fs::read_to_string(root().join("core").join(file)).unwrap();
            assert!(text.contains(&format!("fn {name}(")), "{file}: {name}");
        }
        numbers += 1;
    }
    assert_eq!(numbers, 33);
}
