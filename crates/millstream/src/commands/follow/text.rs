//! A journey for people: a tree with times.

use std::fmt::Write as _;

use console::Style;
use millstream_follow::journey::{Content, Journey, Kind, Node, State, Wait};
use millstream_pipeline::program;

use crate::output::paint;

/// Deeper nodes are shown at this depth.
const DEEPEST: usize = 24;
/// Width of the column of times.
const TIME: usize = 10;
/// So much of a failure is shown in a line.
const FAILURE: usize = 300;

/// The whole text, without a line break at its end.
pub fn of(journey: &Journey, with_content: bool) -> String {
    let mut text = String::new();
    let now = jiff::Timestamp::now().as_millisecond();
    head(&mut text, journey);
    let last = last_of_siblings(journey);
    let mut open: Vec<bool> = Vec::new();
    for (at, node) in journey.nodes.iter().enumerate() {
        let depth = node.depth.min(DEEPEST);
        open.truncate(depth);
        let bars: String = open
            .iter()
            .skip(1)
            .map(|more| if *more { "│ " } else { "  " })
            .collect();
        let branch = match (depth, last[at]) {
            (0, _) => "",
            (_, true) => "└ ",
            (_, false) => "├ ",
        };
        open.push(!last[at]);
        let time = node
            .after_ms
            .filter(|_| node.due.is_none() || node.partition.is_some());
        let time = time.map_or_else(String::new, |ms| format!("+{}", span(ms)));
        let _ = writeln!(text, "{time:>TIME$}  {bars}{branch}{}", line(node, now));
        let has_children = journey
            .nodes
            .get(at + 1)
            .is_some_and(|next| next.parent == Some(at));
        let own = match (depth, last[at]) {
            (0, _) => "",
            (_, true) => "  ",
            (_, false) => "│ ",
        };
        let below = if has_children { "│ " } else { "  " };
        let margin = format!("{:TIME$}  {bars}{own}{below}", "");
        for wait in &node.waits {
            let _ = writeln!(text, "{margin}{}", of_wait(wait, now));
        }
        if let Some(content) = node.content.as_ref().filter(|_| with_content) {
            of_content(&mut text, content, &margin);
        }
    }
    if journey.left_out > 0 {
        let _ = writeln!(
            text,
            "and {} more, which are too many to show",
            journey.left_out
        );
    }
    for problem in &journey.problems {
        let _ = writeln!(
            text,
            "{}",
            paint(Style::new().yellow(), &format!("! {}", clean(problem)))
        );
    }
    text.push_str(&paint(Style::new().dim(), &of_search(journey)));
    if let Some(topic) = journey.key_on.first() {
        let key = clean(&journey.asked);
        let _ = write!(
            text,
            "\n{key} is no id, but the key of records on {}: `{} follow --topic {topic} --key {key}`",
            journey.key_on.join(", "),
            program::name()
        );
    } else if journey.state == State::NotFound {
        let _ = write!(
            text,
            "\nlook further back with --since, such as `{} follow ... --since 1d`; events of topics that are not \
             declared here are not looked for",
            program::name()
        );
    }
    text
}

fn head(text: &mut String, journey: &Journey) {
    let (word, style) = match journey.state {
        State::NotFound => ("nothing found", Style::new().yellow()),
        State::Running => ("running", Style::new().cyan()),
        State::Waiting => ("waiting for a timer", Style::new().cyan()),
        State::Stuck => ("stuck", Style::new().red().bold()),
        State::Failed => ("failed", Style::new().red().bold()),
        State::Done => ("done", Style::new().green()),
    };
    let records = journey.nodes.iter().filter(|node| node.partition.is_some());
    let asked = clean(&journey.asked);
    let _ = write!(text, "{asked}: {}", paint(style, word));
    if let Some(began) = journey.began {
        let last = records
            .clone()
            .filter_map(|node| node.after_ms)
            .max()
            .unwrap_or(0);
        let _ = write!(
            text,
            ", {} records in {} since {}",
            records.count(),
            span(last),
            date(began)
        );
    }
    let answers = journey.nodes.iter();
    let mut answers = answers.filter(|node| node.kind == Kind::Result && node.parent == Some(0));
    if let Some(full_name) = answers
        .next_back()
        .and_then(|node| node.full_name.as_deref())
    {
        let name = full_name.rsplit('.').next().unwrap_or(full_name);
        let _ = write!(text, ", answered with {}", clean(name));
    }
    if let [only] = journey.correlation_ids.as_slice()
        && *only != journey.asked
    {
        let _ = write!(text, ", correlation id {}", clean(only));
    }
    text.push('\n');
}

/// Which nodes are the last below their parents.
fn last_of_siblings(journey: &Journey) -> Vec<bool> {
    let mut last = vec![false; journey.nodes.len()];
    let mut seen = vec![false; journey.nodes.len() + 1];
    for (at, node) in journey.nodes.iter().enumerate().rev() {
        let parent = node.parent.map_or(0, |parent| parent + 1);
        last[at] = !std::mem::replace(&mut seen[parent], true);
    }
    last
}

fn line(node: &Node, now: i64) -> String {
    let full_name = node.full_name.as_deref().unwrap_or("?");
    let name = clean(full_name.rsplit('.').next().unwrap_or(full_name));
    let bold = |text: &str| paint(Style::new().bold(), text);
    let dim = |text: String| paint(Style::new().dim(), &text);
    let place = match (&node.topic, node.partition, node.offset) {
        (Some(topic), Some(partition), Some(offset)) => {
            clean(&format!("{topic}/{partition}/{offset}"))
        }
        (Some(topic), ..) => format!("to {}", clean(topic)),
        (None, ..) => String::new(),
    };
    let mut text = match node.kind {
        Kind::Missing => {
            let text = format!(
                "event {} was not found where it was looked for",
                clean(&node.id)
            );
            return paint(Style::new().yellow(), &text);
        }
        Kind::Timer if node.partition.is_none() => {
            let what = if name == "?" { "an event" } else { &name };
            let named = node
                .timer
                .as_ref()
                .map_or_else(String::new, |name| format!(" ({})", clean(name)));
            let due = due(node.due.unwrap_or(now), now);
            format!(
                "timer{named}: {} {place} {}",
                bold(what),
                paint(Style::new().cyan(), &due)
            )
        }
        Kind::DeadLetter => {
            let mark = match node.marked.as_deref() {
                Some(mark) => format!(", {}", clean(&mark.to_lowercase())),
                None => String::new(),
            };
            let code = node.code.as_deref().unwrap_or("?");
            let style = if node.marked.is_some() {
                Style::new().yellow()
            } else {
                Style::new().red()
            };
            let by = node
                .handler
                .as_deref()
                .filter(|by| !by.is_empty())
                .unwrap_or("?");
            let head = paint(style, &format!("dead letter{mark}: {}", clean(code)));
            format!("{head} {} {}", dim(place), dim(format!("by {}", clean(by))))
        }
        kind => {
            let is_failure = node.code.is_some();
            let style = if is_failure {
                Style::new().red()
            } else {
                Style::new().bold()
            };
            let kind = match kind {
                Kind::Command => "command",
                Kind::Reply => "reply",
                Kind::Result => "result",
                Kind::Timer => "timer event",
                _ => "event",
            };
            format!(
                "{} {} {}",
                paint(style, &name),
                dim(kind.to_owned()),
                dim(place)
            )
        }
    };
    if let Some(key) = &node.key {
        let _ = write!(text, " key {}", clean(key));
    }
    if node.replay_of.is_some() {
        text.push_str(", a replay");
    }
    if node.relayed_from.is_some() {
        text.push_str(", let through by the guard");
    }
    if node.copies > 1 {
        let _ = write!(text, ", {} copies", node.copies);
    }
    match (node.kind, &node.code, &node.message) {
        (Kind::DeadLetter, _, Some(message)) => {
            let _ = write!(text, ": {}", short(message));
        }
        (_, Some(code), message) => {
            let message = message.as_deref().unwrap_or_default();
            let _ = write!(text, ": {} {}", clean(code), short(message));
        }
        _ => {}
    }
    text
}

fn of_wait(wait: &Wait, now: i64) -> String {
    let is_stuck = matches!(wait.status.as_str(), "backing-off" | "paused");
    let style = if is_stuck {
        Style::new().red()
    } else {
        Style::new().cyan()
    };
    let target = clean(&wait.target);
    let mut text = match (wait.status.as_str(), wait.ahead) {
        ("not-delivered", ahead) => format!(
            "not handed to {target} yet, {} records before it: see `{} status`",
            ahead.unwrap_or(0),
            program::name()
        ),
        (status, Some(ahead)) => format!("{target} {status}, {ahead} of its key before it"),
        (status, None) => format!("{target} {status}"),
    };
    if let Some(since) = wait.since {
        let _ = write!(text, " for {}", span(now.saturating_sub(since)));
    }
    if let Some(attempts) = wait.attempts {
        let _ = write!(text, ", attempt {attempts}");
    }
    if let Some(at) = wait.retry_at.filter(|at| *at > now) {
        let _ = write!(text, ", again in {}", span(at - now));
    }
    if let Some(what) = &wait.waits_for {
        let _ = write!(text, ", at {}", clean(what));
    }
    if let Some(failure) = &wait.failure {
        let code = wait
            .code
            .as_deref()
            .map_or_else(String::new, |code| format!("[{code}] "));
        let _ = write!(text, ": {}{}", clean(&code), short(failure));
    }
    if wait.status == "paused"
        && let Some(id) = &wait.invocation
    {
        let _ = write!(
            text,
            "; remove the cause, then `restate invocations resume {}`",
            clean(id)
        );
    }
    let mut text = paint(style, &text);
    if let Some(first) = &wait.behind {
        let _ = write!(
            text,
            "\n{:width$}behind {}",
            "",
            of_wait(first, now),
            width = TIME + 4
        );
    }
    text
}

fn of_content(text: &mut String, content: &Content, margin: &str) {
    if let Some(reason) = &content.undecodable {
        let _ = writeln!(text, "{margin}cannot be decoded: {}", short(reason));
    }
    if let Some(data) = &content.data {
        let _ = writeln!(text, "{margin}data {}", clean(&data.to_string()));
    }
    if let Some(meta) = &content.meta {
        let meta = serde_json::to_string(meta).unwrap_or_default();
        let _ = writeln!(text, "{margin}meta {}", clean(&meta));
    }
    for (name, value) in &content.headers {
        let _ = writeln!(text, "{margin}{}: {}", clean(name), clean(value));
    }
}

fn of_search(journey: &Journey) -> String {
    let searched = &journey.searched;
    let from = searched
        .from
        .map_or_else(|| "the beginning".to_owned(), date);
    let until = searched.until.map_or_else(|| "the end".to_owned(), date);
    let mut text = format!(
        "searched {} topics, {} partitions, {} records ({:.1} MB) from {from} to {until} in {:.1} s",
        searched.topics,
        searched.partitions,
        searched.records,
        searched.bytes as f64 / 1e6,
        searched.millis as f64 / 1e3
    );
    // What is not known, or was cut off, may be unfinished.
    let is_over = matches!(journey.state, State::Done | State::Failed)
        && journey.left_out == 0
        && journey.problems.is_empty();
    match (searched.until, journey.state) {
        // There was nothing to look for.
        (None, _) | (_, State::NotFound) => {}
        _ if is_over => text.push_str("; nothing is unfinished, --whole looks to the end"),
        _ => text.push_str("; not searched further, --whole looks to the end"),
    }
    if !searched.unread.is_empty() {
        let _ = write!(
            text,
            "; not there, or not for this user to read: {}",
            searched.unread.join(", ")
        );
    }
    text
}

fn due(due: i64, now: i64) -> String {
    match due >= now {
        true => format!("due in {}", span(due - now)),
        false => format!("due since {}", span(now - due)),
    }
}

/// A time to the second.
fn date(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |time| format!("{time:.0}"))
}

/// How long something takes, with the precision that people want.
fn span(millis: i64) -> String {
    let millis = millis.max(0);
    let (seconds, minutes) = (millis / 1000, millis / 60_000);
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", seconds, millis % 1000 / 100),
        60_000..3_600_000 => format!("{minutes} min {} s", seconds % 60),
        3_600_000..172_800_000 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes / 60 % 24),
    }
}

/// One line of it.
fn short(text: &str) -> String {
    let cut: String = text.chars().take(FAILURE).collect();
    let more = if cut.len() < text.len() { " ..." } else { "" };
    clean(&cut) + more
}

/// Whoever wrote an event must not write on the terminal of who reads it.
fn clean(text: &str) -> String {
    let is_harmless = |it: char| {
        !it.is_control()
            && !matches!(it, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut clean = String::with_capacity(text.len());
    for it in text.chars() {
        match is_harmless(it) {
            true => clean.push(it),
            false => clean.extend(it.escape_default()),
        }
    }
    clean
}

#[cfg(test)]
mod tests;
