//! The page around the data.
//!
//! In: data that can be written as JSON. Out: HTML. Never here: what the data means.

use std::io::Write;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::data::Data;
use crate::report::ReportError;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// What others wrote, then what uses it.
const SCRIPTS: [&str; 7] = [
    include_str!("../../../assets/chart.min.js"),
    include_str!("../../../assets/table-core.min.js"),
    include_str!("format.js"),
    include_str!("grid.js"),
    include_str!("charts.js"),
    include_str!("over_time.js"),
    include_str!("page.js"),
];
/// Stands before and behind the name of a part in the template.
const MARK: &str = "@@";

/// Writes the page with this data.
pub(super) fn write<W: Write>(data: &Data, mut out: W) -> Result<(), ReportError> {
    let data = escaped(&serde_json::to_string(data)?);
    for (index, piece) in TEMPLATE.split(MARK).enumerate() {
        match (index % 2, piece) {
            (0, text) => out.write_all(text.as_bytes())?,
            (_, "policy") => out.write_all(policy().as_bytes())?,
            (_, "style") => out.write_all(STYLE.as_bytes())?,
            (_, "data") => out.write_all(data.as_bytes())?,
            (_, "scripts") => SCRIPTS.iter().try_for_each(|script| writeln!(out, "<script>{script}</script>"))?,
            (_, _) => {}
        }
    }
    out.flush()?;
    Ok(())
}

/// JSON that ends no script and begins no comment. These characters are in its strings only, where they may be written as
/// their numbers.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => text.push(char),
        }
    }
    text
}

/// What the page may do: show its own style, run its own scripts, and ask for nothing.
fn policy() -> String {
    let scripts: Vec<String> = SCRIPTS.iter().map(|script| hash(script)).collect();
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        scripts.join(" "),
        hash(STYLE)
    )
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_script_is_escaped() {
        let json = serde_json::to_string("</script><!--\u{2028}&\u{2029}]]>\"\\").unwrap();
        let text = escaped(&json);
        assert_eq!(text, r#""\u003c/script\u003e\u003c!--\u2028\u0026\u2029]]\u003e\"\\""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "</script><!--\u{2028}&\u{2029}]]>\"\\");
    }

    #[test]
    fn nothing_of_the_page_ends_too_early() {
        for script in SCRIPTS {
            let script = script.to_lowercase();
            for end in ["</script", "<!--", "sourcemappingurl"] {
                assert!(!script.contains(end), "{end} in {}", &script[..80]);
            }
        }
        assert!(!STYLE.to_lowercase().contains("</style"));
        let parts: Vec<&str> = TEMPLATE.split(MARK).skip(1).step_by(2).collect();
        assert_eq!(parts, ["policy", "style", "data", "scripts"]);
    }

    #[test]
    fn the_fixed_part_is_small() {
        let bytes = TEMPLATE.len() + STYLE.len() + SCRIPTS.iter().map(|script| script.len()).sum::<usize>();
        assert!(bytes < 400_000, "{bytes} bytes");
    }
}
