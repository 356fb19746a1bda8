//! `follow`: the journey of a request over all topics.

mod text;

use std::process::ExitCode;
use std::time::Duration;

use millstream_control::dead_letters;
use millstream_follow::journey::{Journey, State};
use millstream_follow::{Asked, FollowError, Follower, Options};
use millstream_pipeline::program;

use super::explained;
use crate::application::About;
use crate::output::{self, Screen};
use crate::shutdown;
use millstream_control::EndpointArgs;

/// Pause between two looks with `--watch`.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A correlation id, the id of an event, a request id of the gateway, or where a record or the
    /// original of a dead letter stands (topic/partition/offset)
    #[arg(required_unless_present = "topic", conflicts_with_all = ["topic", "key"])]
    id: Option<String>,
    /// In place of an id: the request of the last record with this key on this topic
    #[arg(long, requires = "key", value_name = "TOPIC")]
    topic: Option<String>,
    /// The key
    #[arg(long, requires = "topic")]
    key: Option<String>,
    /// Look from this time on: 2026-11-21T08:00:00Z, or how long ago, such as 30m, 2h or 7d [default:
    /// the time in the id, else 1h]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Go on while something of it is unfinished
    #[arg(long)]
    watch: bool,
    /// Show the fields, `meta` and headers of each event as well, without what is a secret by its name
    #[arg(long)]
    all: bool,
    /// Look to the ends of the topics, also where that takes long and nothing of it is unfinished
    #[arg(long)]
    whole: bool,
    /// Print the journey as JSON; with --watch one in each line, when it changes
    #[arg(long)]
    json: bool,
    /// Prefix of the consumer groups
    #[arg(long, default_value = program::name(), value_name = "NAME")]
    prefix: String,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let now = jiff::Timestamp::now().as_millisecond();
    let since = arguments.since.as_deref();
    let since = since
        .map(|text| dead_letters::parse_time(text, now))
        .transpose()?;
    let asked = match (arguments.id, arguments.topic, arguments.key) {
        (Some(id), ..) => Asked::Id(id.trim().to_owned()),
        (None, Some(topic), Some(key)) => Asked::Latest { topic, key },
        // The arguments are checked before.
        _ => anyhow::bail!("name an id, or --topic and --key"),
    };
    let endpoints = arguments.endpoints.resolve()?;
    let options = Options {
        since,
        content: arguments.all,
        whole: arguments.whole,
        prefix: arguments.prefix,
        threads: std::thread::available_parallelism().map_or(2, usize::from),
    };
    let stop = shutdown::on_signal()?;
    let began = Follower::new(&endpoints, about.topics, asked, options, stop.clone()).await;
    let mut follower = match began {
        Err(error @ FollowError::Search(_)) => explained(Err(error), &endpoints.kafka).await?,
        began => began?,
    };
    let mut screen = (arguments.watch && !arguments.json).then(Screen::new);
    let mut shown: Option<Journey> = None;
    loop {
        let journey = match stop.run_until_cancelled(follower.look()).await {
            Some(journey) => journey?,
            None => break,
        };
        let is_new = shown
            .as_ref()
            .is_none_or(|before| differs(before, &journey));
        let is_over = !arguments.watch || is_over(&journey);
        if let Some(screen) = &mut screen {
            // On a terminal it is the age of things that changes.
            if is_new || screen.is_terminal() {
                screen.draw(&text::of(&journey, arguments.all));
            }
        } else if is_new {
            match (arguments.json, arguments.watch) {
                (true, false) => output::json(&journey)?,
                (true, true) if !output::json_line(&journey)? => break,
                (true, true) => {}
                (false, _) => output::line(text::of(&journey, arguments.all)),
            }
        }
        shown = Some(journey);
        if is_over
            || stop
                .run_until_cancelled(tokio::time::sleep(AGAIN))
                .await
                .is_none()
        {
            break;
        }
    }
    let is_found = shown.is_some_and(|journey| journey.state != State::NotFound);
    Ok(match is_found {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Whether nothing more is to be waited for.
fn is_over(journey: &Journey) -> bool {
    matches!(journey.state, State::Done | State::Failed)
}

/// How much was searched changes all the time.
fn differs(before: &Journey, now: &Journey) -> bool {
    (before.state, &before.nodes, &before.problems) != (now.state, &now.nodes, &now.problems)
}
