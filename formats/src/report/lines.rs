//! Columns of text as aligned lines.
//!
//! In: titles and texts. Out: lines in which each column is as wide as what it holds, as a terminal shows it; where that is too
//! wide, names lose their ends. Never here: what the columns mean.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What stands for the rest of a name.
const REST: char = '…';
/// No name is made shorter than this.
const LEAST: usize = 10;
/// Between two columns.
const GAP: &str = "  ";
/// Red, and as before.
const ALARM: [&str; 2] = ["\x1b[31m", "\x1b[0m"];

/// One column.
#[derive(Debug, Default)]
pub(super) struct TextColumn {
    /// Its title.
    pub(super) title: String,
    /// Numbers, which are read from their ends.
    pub(super) right: bool,
    /// Names: what is too long may lose its end.
    pub(super) shrinks: bool,
    /// Whatever is not 0 is bad news.
    pub(super) alarms: bool,
    /// A text for each row.
    pub(super) texts: Vec<String>,
    /// What stands under them.
    pub(super) total: String,
}

impl TextColumn {
    /// It holds nothing, or nothing but zeros.
    pub(super) fn is_idle(&self) -> bool {
        self.texts.iter().chain([&self.total]).all(|text| is_idle(text))
    }

    fn width(&self) -> usize {
        self.texts.iter().chain([&self.title, &self.total]).map(|text| text.width()).max().unwrap_or(0)
    }

    fn cell(&self, text: &str, width: usize, is_colored: bool) -> String {
        let shown = shortened(text, width);
        let blanks = " ".repeat(width.saturating_sub(shown.width()));
        let shown = if is_colored && self.alarms && !is_idle(text) { alarm(&shown) } else { shown };
        if self.right { blanks + &shown } else { shown + &blanks }
    }
}

fn is_idle(text: &str) -> bool {
    matches!(text, "" | "0")
}

/// The text in red.
pub(super) fn alarm(text: &str) -> String {
    let [red, plain] = ALARM;
    format!("{red}{text}{plain}")
}

/// The lines: titles, rows, `between`, and what stands under the columns where that is wanted.
pub(super) fn lines(
    columns: &[TextColumn],
    width: Option<u16>,
    is_colored: bool,
    between: &str,
    has_totals: bool,
) -> String {
    let widths = fitted(columns, width.map(usize::from));
    let line = |texts: &mut dyn Iterator<Item = (&str, bool)>| {
        let cells: Vec<String> = columns
            .iter()
            .zip(&widths)
            .zip(texts)
            .map(|((column, width), (text, is_row))| column.cell(text, *width, is_colored && is_row))
            .collect();
        format!("{}\n", format!(" {}", cells.join(GAP)).trim_end())
    };
    let mut text = line(&mut columns.iter().map(|column| (column.title.as_str(), false)));
    let rows = columns.iter().map(|column| column.texts.len()).max().unwrap_or(0);
    for row in 0..rows {
        text += &line(&mut columns.iter().map(|column| (column.texts.get(row).map_or("", String::as_str), true)));
    }
    text += between;
    if has_totals {
        text += &line(&mut columns.iter().map(|column| (column.total.as_str(), true)));
    }
    text
}

/// The widths of the columns: where they do not fit, the widest names are made shorter, each by the same measure.
fn fitted(columns: &[TextColumn], most: Option<usize>) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(TextColumn::width).collect();
    let Some(most) = most else { return widths };
    let least = |column: &TextColumn| LEAST.max(column.title.width());
    loop {
        let all = 1 + widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        let can_shrink =
            columns.iter().zip(&mut widths).filter(|(column, width)| column.shrinks && **width > least(column));
        let widest = can_shrink.map(|(_, width)| width).max();
        match widest {
            Some(width) if all > most => *width -= 1,
            _ => return widths,
        }
    }
}

/// As much of the text as fits.
fn shortened(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut width = 1;
    for char in text.chars() {
        width += char.width().unwrap_or(0);
        if width > most {
            break;
        }
        shown.push(char);
    }
    shown.push(REST);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(title: &str, texts: &[&str]) -> TextColumn {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        TextColumn { title: title.into(), texts, ..TextColumn::default() }
    }

    #[test]
    fn wide_signs_take_two_columns_and_marks_none() {
        // 日本 takes four columns, e with a combining accent one.
        let name = column("name", &["日本", "e\u{301}te", "plain"]);
        let count = TextColumn { right: true, ..column("n", &["1", "22", "333"]) };
        assert_eq!(
            lines(&[name, count], None, false, "", false),
            " name     n\n 日本     1\n e\u{301}te     22\n plain  333\n"
        );
    }

    #[test]
    fn names_lose_their_ends_where_it_is_narrow_and_nothing_else_does() {
        let long =
            TextColumn { shrinks: true, ..column("name", &["abcdefghijklmnopqrst", "日本語日本語日本語日"]) };
        let longer = TextColumn { shrinks: true, ..column("other", &["0123456789", "x"]) };
        let address = column("address", &["2001:db8::1234:5678", ""]);
        let table = [long, longer, address];
        let width = |most: u16| lines(&table, Some(most), false, "", false);
        assert!(!width(54).contains(REST), "{}", width(54));
        assert_eq!(
            width(50),
            " name              other       address\n abcdefghijklmno…  0123456789  2001:db8::1234:5678\n 日本語日本語日…   x\n"
        );
        for most in [50, 49, 46, 44] {
            assert!(width(most).lines().all(|line| line.width() <= usize::from(most)), "{}", width(most));
        }
        // What cannot be is not done: no number and no address is cut.
        assert_eq!(width(20), width(44));
    }

    #[test]
    fn colour_is_for_what_is_not_zero() {
        let failed = TextColumn { alarms: true, right: true, total: "3".into(), ..column("failed", &["0", "3", ""]) };
        let text = lines(&[failed], None, true, "", true);
        assert_eq!(text, " failed\n      0\n      \u{1b}[31m3\u{1b}[0m\n\n      \u{1b}[31m3\u{1b}[0m\n");
    }
}
