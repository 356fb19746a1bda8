//! How large a record may be. One that its topic does not take would fail the whole batch, again and
//! again.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use crate::lane::batch::topics::ShardError;
use crate::record::Record;

/// Every topic takes a record of this size.
const SMALL: usize = 16 * 1024;
/// What a record has besides its parts: lengths, and the head of its batch.
const FRAME: usize = 128;
/// A limit is asked for again after this time.
const KEPT: Duration = Duration::from_secs(60);
/// Kafka's default.
const USUAL: usize = 1_048_588;
/// Says that a dead letter lacks a part of its record's value.
const SHORTENED: &str = "millstream-shortened-from";

pub(in crate::lane::batch) struct Sizes {
    config: ClientConfig,
    /// Made when a limit is asked for, and kept.
    admin: OnceLock<AdminClient<DefaultClientContext>>,
    limits: Mutex<HashMap<String, (usize, Instant)>>,
}

impl Sizes {
    pub fn new(config: ClientConfig) -> Self {
        let (admin, limits) = (OnceLock::new(), Mutex::default());
        Self {
            config,
            admin,
            limits,
        }
    }

    /// The limit of its topic, if a record is beyond it.
    pub async fn exceeded(&self, record: &Record) -> Result<Option<usize>, ShardError> {
        let size = size(record);
        if size <= SMALL {
            return Ok(None);
        }
        let limit = self.limit(&record.topic).await?;
        Ok((size > limit).then_some(limit))
    }

    /// A dead letter with as much of its record's value as its topic takes.
    pub async fn shortened(&self, mut letter: Record) -> Result<Record, ShardError> {
        let Some(limit) = self.exceeded(&letter).await? else {
            return Ok(letter);
        };
        let beyond = (size(&letter) + FRAME).saturating_sub(limit);
        if let Some(value) = &mut letter.value {
            let was = value.len().to_string();
            value.truncate(value.len().saturating_sub(beyond));
            letter.headers.push((SHORTENED.into(), Some(was.into())));
        }
        Ok(letter)
    }

    async fn limit(&self, topic: &str) -> Result<usize, ShardError> {
        if let Some((limit, at)) = self.limits().get(topic)
            && at.elapsed() < KEPT
        {
            return Ok(*limit);
        }
        let asking = || ShardError::kafka("asking for a topic's limit");
        let admin = match self.admin.get() {
            Some(admin) => admin,
            None => {
                let made = self.config.create().map_err(asking())?;
                self.admin.get_or_init(|| made)
            }
        };
        let named = [ResourceSpecifier::Topic(topic)];
        let told = admin.describe_configs(&named, &AdminOptions::new()).await;
        let told = told.map_err(asking())?.pop();
        let told = told.and_then(|told| {
            let refused = |code: &RDKafkaErrorCode| {
                tracing::warn!(
                    topic,
                    %code,
                    "a topic's max.message.bytes is taken to be the usual one; let the handlers DescribeConfigs it"
                );
            };
            told.inspect_err(refused).ok()
        });
        let entry = told.as_ref().and_then(|it| it.get("max.message.bytes"));
        let limit = entry.and_then(|it| it.value.as_ref()?.parse().ok());
        let limit = limit.unwrap_or(USUAL);
        self.limits()
            .insert(topic.to_owned(), (limit, Instant::now()));
        Ok(limit)
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, HashMap<String, (usize, Instant)>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(record: &Record) -> usize {
    let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| name.len() + bytes(value.as_deref()) + 8);
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    FRAME + bytes(key) + bytes(value) + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_letter_is_cut_to_what_its_topic_takes() {
        let sizes = Sizes::new(ClientConfig::new());
        let limit = (100_000, Instant::now());
        sizes.limits().insert("t-dlq".into(), limit);
        let letter = |length| Record {
            topic: "t-dlq".into(),
            value: Some(vec![7; length]),
            ..Record::default()
        };
        let whole = sizes.shortened(letter(50_000)).await.unwrap();
        assert_eq!(whole.value.unwrap().len(), 50_000);
        let cut = sizes.shortened(letter(150_000)).await.unwrap();
        assert!(size(&cut) <= 100_000 && cut.value.as_ref().unwrap().len() > 99_000);
        assert_eq!(cut.header(SHORTENED), Some("150000"));
    }
}
