//! The journey of a request, as `follow` finds it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use millstream_control::dead_letters::parse_time;
use millstream_follow::{Asked, Follower, Options};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::Console;
use crate::answer::{Answer, away, too_slow, wrong};

/// How long may be searched.
const LIMIT: Duration = Duration::from_secs(60);
/// What takes so long.
const WHAT: &str = "searching all topics";
/// Nodes that a page can show.
const MAX_NODES: usize = 500;

/// Which request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    id: String,
    topic: String,
    key: String,
    since: String,
}

/// Looks for a request on all topics.
pub async fn journey(State(console): State<Arc<Console>>, Query(wanted): Query<Wanted>) -> Answer {
    let now = jiff::Timestamp::now().as_millisecond();
    let since = Some(wanted.since.trim()).filter(|it| !it.is_empty());
    let since = since.map(|text| parse_time(text, now)).transpose();
    let since = since.map_err(|error| wrong(error.to_string()))?;
    let asked = match wanted.id.trim() {
        "" if wanted.topic.is_empty() || wanted.key.is_empty() => {
            return Err(wrong("name an id, or a topic and a key"));
        }
        "" => Asked::Latest {
            topic: wanted.topic,
            key: wanted.key,
        },
        id => Asked::Id(id.to_owned()),
    };
    let options = Options {
        since,
        content: false,
        whole: false,
        prefix: console.settings.installation.prefix.clone(),
        threads: 2,
    };
    // Ends the search when the browser leaves, or it takes too long.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let searching = Arc::clone(&console);
    // A thread of its own: what is read is compared and decoded in long stretches.
    let runtime = Handle::current();
    let following = async {
        // It goes along with the thread, which ends a moment after nobody waits for it any more.
        let turn = Arc::clone(&console.reads).acquire_owned().await;
        let thread = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let ended = stop.clone();
            let looking = async {
                let (endpoints, declarations) = (&searching.endpoints, &searching.declarations);
                let follower = Follower::new(endpoints, declarations, asked, options, stop).await;
                let mut follower = follower.map_err(|error| away(&error))?;
                follower.look().await.map_err(|error| away(&error))
            };
            let looked = runtime.block_on(ended.run_until_cancelled(looking));
            looked.unwrap_or_else(|| Err(too_slow(WHAT)))
        });
        thread.await.map_err(|error| away(&error))?
    };
    let journey = tokio::time::timeout(LIMIT, following).await;
    let mut journey = journey.map_err(|_| too_slow(WHAT))??;
    let shown = journey.nodes.len().min(MAX_NODES);
    journey.left_out += journey.nodes.len() - shown;
    journey.nodes.truncate(shown);
    Ok(Json(serde_json::to_value(journey).unwrap_or_default()))
}
