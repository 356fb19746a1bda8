//! Dead letters: what `dlq` does, on the page.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use millstream_control::dead_letters::{Action, DeadLetter, Done, Filter, parse_time};
use millstream_follow::Roles;
use millstream_follow::hidden::Parts;
use millstream_gateway::Problem;
use millstream_gateway::access::Caller;
use millstream_pipeline::events::dlq_status::Mark;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Console;
use crate::answer::{Answer, away, no_kafka, nothing, too_slow, wrong};
use crate::guide;
use crate::shown::{self, IN_LIST, WHOLE, short};

/// Rows that a page can show.
const MAX_ROWS: usize = 1_000;
/// Letters that are changed at once.
const MAX_CHANGED: usize = 1_000;
/// How long is read; then what was found is shown, and that there may be more.
const LIMIT: Duration = Duration::from_secs(20);
/// Longer notes are no notes.
const MAX_NOTE: usize = 1_000;

/// Which letters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    topic: Option<String>,
    code: Option<String>,
    key: Option<String>,
    since: Option<String>,
    /// Also those that were dealt with.
    all: bool,
}

/// The newest letters, with how many there are of each topic and code.
pub async fn list(State(console): State<Arc<Console>>, Query(asked): Query<Asked>) -> Answer {
    let now = jiff::Timestamp::now().as_millisecond();
    let given = |text: &Option<String>| text.iter().filter(|it| !it.is_empty()).cloned().collect();
    let since = asked.since.as_deref().filter(|it| !it.is_empty());
    let since = since.map(|text| parse_time(text, now)).transpose();
    let mut filter = Filter {
        topics: given(&asked.topic),
        codes: given(&asked.code),
        keys: given(&asked.key),
        since: since.map_err(|error| wrong(error.to_string()))?,
        ..Filter::default()
    };
    for topic in &filter.topics {
        keeps_letters(&console, topic)?;
    }
    let begun = Instant::now();
    if filter.topics.is_empty() {
        filter.topics = with_letters(&console).await?;
    }
    if filter.topics.is_empty() {
        return Ok(Json(json!({
            "letters": [], "total": 0, "topics": {}, "codes": {}, "whole": true, "now": now,
        })));
    }
    let (mut rows, mut total, mut is_whole) = (Vec::new(), 0_u64, true);
    let (mut topics, mut codes) = (BTreeMap::new(), BTreeMap::new());
    let visit = |mut letter: DeadLetter| {
        if asked.all || letter.marked.is_none() {
            hide(&mut letter, &console.roles);
            total += 1;
            *topics.entry(letter.topic.clone()).or_insert(0_u64) += 1;
            *codes.entry(short(&letter.code, IN_LIST)).or_insert(0_u64) += 1;
            rows.push((letter.kept, row(&letter)));
            if rows.len() > 2 * MAX_ROWS {
                newest(&mut rows);
            }
        }
        match begun.elapsed() > LIMIT {
            true => {
                is_whole = false;
                ControlFlow::Break(())
            }
            false => ControlFlow::Continue(()),
        }
    };
    let visited = tokio::time::timeout(LIMIT, async {
        let _turn = console.reads.acquire().await;
        console.letters.each(&filter, visit).await
    })
    .await;
    match visited {
        Ok(visited) => visited.map_err(|error| away(&error))?,
        // Between two letters that are meant, all others are read.
        Err(_) => is_whole = false,
    }
    if !is_whole && rows.is_empty() {
        return Err(too_slow("reading the dead letters"));
    }
    newest(&mut rows);
    let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Json(json!({
        "letters": rows,
        "total": total,
        "topics": topics,
        "codes": codes,
        "whole": is_whole,
        "now": now,
    })))
}

/// The topics that have dead letters at all.
async fn with_letters(console: &Console) -> Result<Vec<String>, Problem> {
    let keeping = console.declarations.iter().filter(|it| it.dead_letters);
    let kept: Vec<(String, &str)> = keeping
        .map(|it| (it.dead_letter_topic(), it.name))
        .collect();
    let names = kept.iter().map(|(name, _)| name.clone()).collect();
    let filled = console.browser.filled(names).await;
    let filled = filled.map_err(|error| no_kafka("the dead letters", &error))?;
    let found = kept.into_iter().filter(|(name, _)| filled.contains(name));
    Ok(found.map(|(_, topic)| topic.to_owned()).collect())
}

/// All of a letter: bytes, the event in them, why it is here, and what to do.
pub async fn one(
    State(console): State<Arc<Console>>,
    Path((topic, partition, offset)): Path<(String, i32, i64)>,
) -> Answer {
    keeps_letters(&console, &topic)?;
    let id = format!("{topic}/{partition}/{offset}");
    let filter = Filter {
        ids: vec![id.clone()],
        topics: vec![topic],
        ..Filter::default()
    };
    let mut found = None;
    let looked = tokio::time::timeout(LIMIT, async {
        let _turn = console.reads.acquire().await;
        let visit = |letter: DeadLetter| {
            found = Some(letter);
            ControlFlow::Break(())
        };
        console.letters.each(&filter, visit).await
    })
    .await;
    let looked = looked.map_err(|_| too_slow("looking for the dead letter"))?;
    looked.map_err(|error| away(&error))?;
    let mut letter = found.ok_or_else(|| {
        nothing(format!(
            "there is no dead letter {id}; its topic may have dropped it"
        ))
    })?;
    hide(&mut letter, &console.roles);
    let mut whole = row(&letter);
    let rest = json!({
        "message": short(&letter.message, WHOLE),
        "group": letter.group,
        "dead_letter_topic": letter.dead_letter_topic,
        "bytes": letter.value.as_deref().map(shown::bytes),
        "key_bytes": letter.raw_key.as_deref().map(shown::bytes),
        "headers": shown::headers(&letter.headers),
        "data": letter.data.as_ref().map(shown::pretty),
        "meta": letter.meta,
        "advice": guide::advice(&letter.code),
    });
    if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
        whole.extend(rest);
    }
    Ok(Json(whole))
}

/// What is to be done with which letters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    ids: Vec<String>,
    /// Who does it, where nobody is asked for a key; elsewhere the key says it.
    #[serde(default)]
    by: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    again: bool,
    /// Of a discarded letter: the matter was settled in another way.
    #[serde(default)]
    handled: bool,
}

/// Puts originals on their topics again.
pub async fn replay(
    State(console): State<Arc<Console>>,
    Extension(caller): Extension<Caller>,
    Json(change): Json<Change>,
) -> Answer {
    change.carry_out(&console, &caller, Mark::Replayed).await
}

/// Marks letters as discarded, or as handled.
pub async fn discard(
    State(console): State<Arc<Console>>,
    Extension(caller): Extension<Caller>,
    Json(change): Json<Change>,
) -> Answer {
    let mark = match change.handled {
        true => Mark::Handled,
        false => Mark::Discarded,
    };
    change.carry_out(&console, &caller, mark).await
}

impl Change {
    async fn carry_out(self, console: &Arc<Console>, caller: &Caller, mark: Mark) -> Answer {
        let Self {
            ids, note, again, ..
        } = self;
        if ids.is_empty() || ids.len() > MAX_CHANGED {
            return Err(wrong(format!("choose 1 to {MAX_CHANGED} dead letters")));
        }
        let note = note.trim();
        if note.is_empty() || note.len() > MAX_NOTE {
            return Err(wrong(format!(
                "say why, in 1 to {MAX_NOTE} bytes: others will read it"
            )));
        }
        let by = match caller.principal.name() {
            Some(name) => name,
            None => self.by.trim(),
        };
        if by.is_empty() || by.len() > 255 {
            return Err(wrong("say who you are: others will want to know"));
        }
        let mut topics: Vec<String> = Vec::new();
        for id in &ids {
            let topic = id.split('/').next().unwrap_or_default();
            keeps_letters(console, topic)?;
            if !topics.iter().any(|known| known == topic) {
                topics.push(topic.to_owned());
            }
        }
        let filter = Filter {
            ids,
            topics,
            ..Filter::default()
        };
        let action = Action {
            by: by.to_owned(),
            note: Some(note.to_owned()),
            again,
        };
        // Goes on when the browser leaves: half of it done would be told to nobody.
        let console = Arc::clone(console);
        let changing = tokio::spawn(async move {
            let _alone = console.changing.lock().await;
            match mark {
                Mark::Replayed => console.letters.replay(&filter, &action).await,
                mark => console.letters.mark(&filter, mark, &action).await,
            }
        });
        let done = changing.await.map_err(|error| away(&error))?;
        done.map(|done| Json(told(&done)))
            .map_err(|error| away(&error))
    }
}

fn told(done: &Done) -> Value {
    let ids = |letters: &[DeadLetter]| -> Vec<String> {
        letters.iter().map(|letter| letter.id.clone()).collect()
    };
    json!({
        "done": ids(&done.done),
        "marked_before": ids(&done.marked_before),
        "shortened": ids(&done.shortened),
    })
}

/// Whether there could be dead letters of this topic.
fn keeps_letters(console: &Console, topic: &str) -> Result<(), Problem> {
    let mut declared = console.declarations.iter();
    let keeps =
        declared.any(|it| it.dead_letters && (it.name == topic || it.subscribed_topic() == topic));
    match keeps {
        true => Ok(()),
        false => Err(nothing(format!(
            "topic {} is not declared here, or keeps no dead letters",
            short(topic, IN_LIST)
        ))),
    }
}

/// What is shown; a replay reads its letter anew.
fn hide(letter: &mut DeadLetter, roles: &Roles) {
    let parts = Parts {
        topic: &letter.topic,
        full_name: letter.full_name.as_deref(),
        key: &mut letter.key,
        raw_key: &mut letter.raw_key,
        value: &mut letter.value,
        meta: &mut letter.meta,
        data: &mut letter.data,
    };
    parts.hide(roles);
}

fn newest(rows: &mut Vec<(i64, Value)>) {
    rows.sort_by_key(|(kept, _)| -kept);
    rows.truncate(MAX_ROWS);
}

fn row(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "code": short(&letter.code, IN_LIST),
        "message": short(&letter.message, IN_LIST),
        "handler": letter.handler,
        "key": letter.key.as_deref().map(|key| short(key, IN_LIST)),
        "type": letter.full_name,
        "kept": letter.kept,
        "timestamp": letter.timestamp,
        "size": letter.value.as_ref().map(Vec::len),
        "shortened": letter.shortened,
        "source": letter.meta.as_ref().map(|meta| short(&meta.source, IN_LIST)),
        "marked": letter.marked.as_ref().map(|marked| json!({
            "mark": format!("{:?}", marked.mark).to_lowercase(),
            "by": short(&marked.by, IN_LIST),
            "time": marked.time / 1000,
            "note": marked.note.as_deref().map(|note| short(note, IN_LIST)),
        })),
    })
}
