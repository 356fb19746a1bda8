//! How results look: tables for people, JSON for scripts, colours only where they are wanted.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use console::{Style, Term};
use serde::Serialize;

/// Prints a value as JSON.
pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a value as JSON in one line; false when the reader has gone away.
pub fn json_line<T: Serialize>(value: &T) -> anyhow::Result<bool> {
    let text = serde_json::to_string(value)?;
    Ok(writeln!(io::stdout().lock(), "{text}").is_ok())
}

/// Prints one line of data. A reader that has gone away (`| head`) is no error.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints one line that is no data.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints an error with everything that led to it.
pub fn error(error: &anyhow::Error) {
    let mark = paint_err(Style::new().red().bold(), "error");
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    say(format!("{mark}: {}", chain.join("\n  caused by: ")));
}

/// Whether colours are wanted at all: <https://no-color.org>.
pub fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `text` in `style` where standard output is a terminal.
pub fn paint(style: Style, text: &str) -> String {
    style
        .force_styling(colours_wanted() && io::stdout().is_terminal())
        .apply_to(text)
        .to_string()
}

/// `text` in `style` where standard error is a terminal.
pub fn paint_err(style: Style, text: &str) -> String {
    style
        .force_styling(colours_wanted() && io::stderr().is_terminal())
        .apply_to(text)
        .to_string()
}

/// Prints a table with its title; columns named in `numbers` are aligned to the right.
pub fn table(title: &str, header: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) {
    line(table_text(title, header, numbers, rows));
}

/// The lines of such a table.
pub fn table_text(
    title: &str,
    header: &[&str],
    numbers: &[usize],
    rows: Vec<Vec<String>>,
) -> String {
    table_within(None, title, header, numbers, rows)
}

/// The same, no wider than this where standard output is no terminal.
pub fn table_within(
    width: Option<u16>,
    title: &str,
    header: &[&str],
    numbers: &[usize],
    rows: Vec<Vec<String>>,
) -> String {
    let mut text = format!("{}\n", paint(Style::new().bold(), title));
    if rows.is_empty() {
        return text + "  none\n";
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec());
    // A pipe has no width: its lines are left whole, unless somebody reads them all the same.
    let terminal = Term::stdout().size_checked();
    let terminal = terminal.filter(|_| io::stdout().is_terminal());
    if let Some(width) = terminal.map(|(_, width)| width).or(width) {
        // Each line starts with a space.
        table.set_width(width.saturating_sub(1));
    }
    for row in rows {
        table.add_row(row);
    }
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in table.lines() {
        let _ = writeln!(text, " {}", row.trim_end());
    }
    text
}

/// What is drawn again and again in the same place of a terminal; elsewhere one after the other.
pub struct Screen {
    term: Term,
    is_terminal: bool,
}

impl Screen {
    /// Begins with an empty screen.
    pub fn new() -> Self {
        let (term, is_terminal) = (Term::stdout(), io::stdout().is_terminal());
        if is_terminal {
            let _ = term.hide_cursor().and_then(|()| term.clear_screen());
        }
        Self { term, is_terminal }
    }

    /// Whether somebody looks at it.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Draws over what was drawn before, as far as there is room.
    pub fn draw(&mut self, text: &str) {
        if !self.is_terminal {
            return line(text);
        }
        // In one piece and without clearing first, or it would flicker.
        let height = usize::from(self.term.size().0).saturating_sub(1);
        let mut frame = String::from("\x1b[H");
        for line in text.lines().take(height) {
            let _ = writeln!(frame, "{line}\x1b[K");
        }
        frame.push_str("\x1b[J");
        // A terminal that has gone away is no error.
        let _ = self.term.write_str(&frame);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = self.term.show_cursor();
        }
    }
}
