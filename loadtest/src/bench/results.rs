//! What the pipeline answered: every command once, and when.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use millstream_pipeline::codec::{Codec, Payload};
use millstream_pipeline::record::wire;
use rdkafka::message::Message;

use crate::probe::broker::{Broker, Ends};

/// Seconds from the first result to the last, by the records' timestamps.
///
/// Fails if a command has no result, or if more than a few were published twice: then it is not
/// the normal way of things that was measured.
pub async fn check(
    broker: &Broker,
    codec: &Codec,
    topic: &str,
    (from, to): (&Ends, &Ends),
    ids: &[String],
) -> anyhow::Result<f64> {
    let (mut first, mut last, mut values) = (i64::MAX, 0, Vec::new());
    broker.read(topic, from, to, |message| {
        let time = message.timestamp().to_millis().unwrap_or(0);
        (first, last) = (first.min(time), last.max(time));
        values.push(message.payload().unwrap_or_default().to_vec());
    })?;
    let mut answers: HashMap<&str, u32> = ids.iter().map(|id| (id.as_str(), 0)).collect();
    for value in &values {
        let (schema, body) = wire::split(value).map_err(anyhow::Error::msg)?;
        let writer = codec.writer(schema).await?;
        let (_, meta) = Payload::new(&writer, body)?.generic()?;
        let cause = meta
            .and_then(|meta| meta.causation_id)
            .context("a result without a cause")?;
        if let Some(count) = answers.get_mut(cause.as_str()) {
            *count += 1;
        }
    }
    let missing = answers.values().filter(|count| **count == 0).count();
    ensure!(missing == 0, "{missing} commands have no result");
    let extra = values.len() - ids.len();
    ensure!(
        extra <= ids.len() / 1000,
        "{extra} results too many; look at the handlers' log"
    );
    Ok((last - first) as f64 / 1e3)
}
