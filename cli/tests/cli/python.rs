//! Pythons with packages from PyPI, each made once and kept with the build.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What reads reports.
const READERS: [&str; 5] = ["duckdb==2.0.0", "pandas==3.1.1", "polars==2.1.0", "pyarrow==26.0.1", "pytz==2026.6"];
/// Spark comes alone, for it is large.
const SPARK: [&str; 1] = ["pyspark==4.3.0"];

/// A Python with DuckDB, pandas, Polars and pyarrow; `None` (having said so) where none can be made.
pub(crate) fn readers() -> Option<PathBuf> {
    let python = environment("python", &READERS, "import duckdb, pandas, polars, pyarrow, pytz");
    missing(python, "NETFLOW_REQUIRE_PYTHON", "no Python with DuckDB, pandas, Polars and pyarrow")
}

/// A Python with Spark, and the Java that it needs; `None` (having said so) where there is none.
pub(crate) fn spark() -> Option<PathBuf> {
    let has_java = Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
    let python = if has_java { environment("spark", &SPARK, "import pyspark") } else { None };
    missing(python, "NETFLOW_REQUIRE_SPARK", "no Python with Spark and a Java")
}

fn missing(python: Option<PathBuf>, required: &str, what: &str) -> Option<PathBuf> {
    if python.is_none() {
        assert!(std::env::var_os(required).is_none(), "{what} could be made");
        eprintln!("skipped: {what} could be made (python3-venv and access to PyPI are needed)");
    }
    python
}

/// Tests run at once, and each may want the same environment.
static MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn environment(name: &str, packages: &[&str], imports: &str) -> Option<PathBuf> {
    let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = home.join("bin/python3");
    let has_packages =
        || Command::new(&python).args(["-c", imports]).output().is_ok_and(|output| output.status.success());
    if !has_packages() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&home).output();
        made.ok().filter(|output| output.status.success())?;
        let install = Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages).output().ok()?;
        if !install.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&install.stderr));
            return None;
        }
    }
    has_packages().then_some(python)
}

/// Runs a script in a folder; what it printed.
#[track_caller]
pub(crate) fn run(python: &Path, folder: &Path, script: &str, arguments: &[&str]) -> String {
    let output = Command::new(python)
        .args(["-c", script])
        .args(arguments)
        .current_dir(folder)
        .env("TZ", "Pacific/Auckland")
        .env("PYTHONUTF8", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}
