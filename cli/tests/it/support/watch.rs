//! Everything on some topics: commands between services and their replies, too.

use std::sync::{Arc, Mutex};

use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_topics::TOPICS;
use tokio::task::JoinHandle;

use super::until;

/// Follows topics from now on.
pub struct Watch {
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Watch {
    pub async fn new(endpoints: &Endpoints, topics: &[&str]) -> Self {
        let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
        let config = kafka::client(&endpoints.kafka);
        let mut reader = Reader::new(config, &topics, From::End).await.unwrap();
        let codec = Codec::new(&endpoints.schema_registry, TOPICS).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                if let Ok(Next::Record(record)) = reader.next(&codec).await {
                    into.lock().unwrap().push(*record);
                }
            }
        });
        Self { seen, task }
    }

    /// The events so far for which `wanted` holds, each id once.
    pub fn events(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut ids = std::collections::HashSet::new();
        let seen = self.seen.lock().unwrap();
        let id = |seen: &Seen| seen.meta.as_ref().unwrap().id.clone();
        seen.iter()
            .filter(|seen| wanted(seen) && ids.insert(id(seen)))
            .cloned()
            .collect()
    }

    /// Waits until there are `count` of them.
    pub async fn until(&self, count: usize, wanted: impl Fn(&Seen) -> bool) {
        until(&format!("{count} events"), async || {
            (self.events(&wanted).len() >= count).then_some(())
        })
        .await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
