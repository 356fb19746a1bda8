//! `dlq`: what people do with dead letters.

mod show;

use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use millstream_control::dead_letters::{
    Action, DeadLetter, DeadLetters, Done, Filter, TimeError, parse_time,
};
use millstream_pipeline::events::dlq_status::Mark;
use millstream_pipeline::program;

use super::declared_topic;
use crate::application::About;
use crate::output;
use millstream_control::EndpointArgs;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List dead letters that nobody has dealt with
    List {
        #[command(flatten)]
        selection: Selection,
        /// Also those that were replayed, handled or discarded
        #[arg(long)]
        all: bool,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Show all of a dead letter: reason, headers, bytes and, if it can be decoded, the event
    Show {
        #[command(flatten)]
        selection: Selection,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Put the original records on their topics again, in their order, and mark them
    Replay {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        action: ActionArgs,
    },
    /// Mark dead letters as discarded; they stay on their topic until it drops them
    Discard {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        action: ActionArgs,
        /// Mark them as handled instead: the matter was settled in another way
        #[arg(long)]
        handled: bool,
    },
}

/// Which dead letters.
#[derive(Debug, Args)]
struct Selection {
    /// Dead letters, by the place of their originals: topic/partition/offset
    ids: Vec<String>,
    /// Only of these declared topics
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only with these codes
    #[arg(long = "code", value_name = "CODE")]
    codes: Vec<String>,
    /// Only with these keys
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Only those kept since: a time such as 2026-11-21T08:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those kept before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Prefix of the installation's consumer groups
    #[arg(long, default_value = program::name(), value_name = "NAME")]
    prefix: String,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

#[derive(Debug, Args)]
struct ActionArgs {
    /// Every dead letter that is not yet dealt with
    #[arg(long)]
    all: bool,
    /// Also those that were dealt with before
    #[arg(long)]
    again: bool,
    /// Who does this
    #[arg(
        long,
        env = "USER",
        default_value = "unknown",
        value_name = "NAME",
        hide_env_values = true
    )]
    by: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    match arguments.verb {
        Verb::List {
            selection,
            all,
            json,
        } => {
            let now = now_ms();
            let mut rows = Vec::new();
            visit(&selection, about, |letter| {
                if all || letter.marked.is_none() {
                    match json {
                        true => return output::json_line(&letter),
                        false => rows.push(row(letter, now)),
                    }
                }
                Ok(true)
            })
            .await?;
            if !json {
                let header = ["dead letter", "code", "key", "age", "mark"];
                output::table("Dead letters", &header, &[3], rows);
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show { selection, json } => {
            let mut is_there = false;
            visit(&selection, about, |letter| {
                is_there = true;
                if json {
                    return output::json_line(&letter);
                }
                show::show(&letter);
                Ok(true)
            })
            .await?;
            if !is_there {
                anyhow::bail!(
                    "there is no such dead letter; `{} dlq list --all` shows those there are",
                    program::name()
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Replay { selection, action } => {
            let (letters, filter) = (selection.open(about)?, action.of(selection)?);
            let done = letters.replay(&filter, &action.action()).await?;
            report(&done, "replayed", &filter)
        }
        Verb::Discard {
            selection,
            action,
            handled,
        } => {
            let (mark, word) = match handled {
                true => (Mark::Handled, "marked as handled"),
                false => (Mark::Discarded, "discarded"),
            };
            let (letters, filter) = (selection.open(about)?, action.of(selection)?);
            let done = letters.mark(&filter, mark, &action.action()).await?;
            report(&done, word, &filter)
        }
    }
}

impl Selection {
    fn open(&self, about: &About) -> anyhow::Result<DeadLetters> {
        let of_ids = self.ids.iter().map(|id| id.split('/').next().unwrap_or(id));
        for topic in self.topics.iter().map(String::as_str).chain(of_ids) {
            keeps_dead_letters(topic, about)?;
        }
        Ok(DeadLetters::new(
            &self.endpoints.resolve()?,
            about.topics,
            &self.prefix,
        )?)
    }

    fn filter(&self) -> Result<Filter, TimeError> {
        let now = now_ms();
        let time = |text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| parse_time(text, now)).transpose()
        };
        Ok(Filter {
            ids: self.ids.clone(),
            topics: self.topics.clone(),
            codes: self.codes.clone(),
            keys: self.keys.clone(),
            since: time(&self.since)?,
            until: time(&self.until)?,
        })
    }
}

impl ActionArgs {
    /// The filter of an action: nobody means all without saying so.
    fn of(&self, selection: Selection) -> anyhow::Result<Filter> {
        let filter = selection.filter()?;
        if filter.is_empty() && !self.all {
            anyhow::bail!(
                "which dead letters? Name some, narrow them down with --topic, --code, --key, --since or --until, or say --all"
            );
        }
        Ok(filter)
    }

    fn action(&self) -> Action {
        Action {
            by: self.by.clone(),
            note: self.note.clone(),
            again: self.again,
        }
    }
}

/// Whether there could be dead letters of this topic. What is not declared is not looked at, so nothing
/// may be said about it.
fn keeps_dead_letters(topic: &str, about: &About) -> anyhow::Result<()> {
    let declaration = declared_topic(topic, about)?;
    anyhow::ensure!(
        declaration.dead_letters,
        "topic {topic} keeps no dead letters (`dead-letters` in its file)"
    );
    Ok(())
}

/// Prints what was done; failure where something was left alone that was named.
fn report(done: &Done, word: &str, filter: &Filter) -> anyhow::Result<ExitCode> {
    for letter in &done.done {
        output::line(&letter.id);
    }
    output::say(format!("{} dead letters {word}", done.done.len()));
    let named = !filter.ids.is_empty();
    for letter in done.marked_before.iter().filter(|_| named) {
        let mark = show::mark(letter);
        let id = &letter.id;
        output::say(format!("{id} is left alone: {mark}; --again repeats it"));
    }
    for letter in &done.shortened {
        output::say(format!(
            "{id} is not replayed: its {} could not be kept whole; produce it again from {id}, or discard it",
            letter.shortened.as_deref().unwrap_or_default(),
            id = letter.id,
        ));
    }
    let is_left_alone = named && !done.marked_before.is_empty();
    Ok(match is_left_alone || !done.shortened.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Hands over the selected dead letters one by one, until `each` fails or wants no more.
async fn visit(
    selection: &Selection,
    about: &About,
    mut each: impl FnMut(DeadLetter) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    let (letters, filter) = (selection.open(about)?, selection.filter()?);
    let visited = letters.each(&filter, |letter| match each(letter) {
        Ok(true) => ControlFlow::Continue(()),
        Ok(false) => ControlFlow::Break(()),
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    });
    visited.await?;
    result
}

fn row(letter: DeadLetter, now: i64) -> Vec<String> {
    let (mark, age) = (show::mark(&letter), show::age(now - letter.kept));
    let key = letter.key.unwrap_or_else(|| "null".into());
    vec![
        letter.id,
        letter.code,
        key.escape_debug().to_string(),
        age,
        mark,
    ]
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
