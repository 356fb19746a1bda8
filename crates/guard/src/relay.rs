//! The relay of one foreign topic.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_events::Declaration;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
use tokio_util::sync::CancellationToken;

use super::check::{Checked, check};
use super::group::{Batch, Group};
use millstream_pipeline::codec::Codec;
use millstream_pipeline::kafka::transaction::Transactions;
use millstream_pipeline::observe::metrics::{TOMBSTONE, metrics};

/// Waits between attempts, from the first to the longest.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

pub struct Relay {
    pub declaration: &'static Declaration,
    pub codec: Arc<Codec>,
    pub kafka: ClientConfig,
    pub group: String,
    pub transactional_id: String,
}

impl Relay {
    /// Relays until `stop`. After an error, of whatever kind, consumer and producer are both made
    /// anew: the new ones go on from what is committed.
    pub async fn run(self, stop: &CancellationToken) {
        let mut wait = WAITS[0];
        while !stop.is_cancelled() {
            let mut committed = false;
            match self.session(stop, &mut committed).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(
                        topic = self.declaration.name, %error,
                        "the guard begins anew; if this goes on, look at Kafka and at `{program} plan`", program = millstream_pipeline::program::name()
                    );
                    let label = [self.declaration.name];
                    metrics().guard_restarts.with_label_values(&label).inc();
                }
            }
            wait = if committed { WAITS[0] } else { longer(wait) };
            stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    async fn session(&self, stop: &CancellationToken, committed: &mut bool) -> KafkaResult<()> {
        let transactions = Transactions::new(self.kafka.clone(), &self.transactional_id).await?;
        let group = Group::join(self.kafka.clone(), &self.group, self.declaration.name)?;
        let relaying = async {
            while !stop.is_cancelled() {
                if let Some(batch) = group.next(stop).await? {
                    self.relay(batch, &transactions, stop).await?;
                    *committed = true;
                }
            }
            Ok(())
        };
        let ended = tokio::select! {
            ended = relaying => ended,
            () = group.deaf() => Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown)),
        };
        group.leave().await;
        ended
    }

    async fn relay(
        &self,
        batch: Batch,
        transactions: &Transactions,
        stop: &CancellationToken,
    ) -> KafkaResult<()> {
        let mut outputs = Vec::with_capacity(batch.messages.len());
        let mut counts: BTreeMap<Cow<'static, str>, u64> = BTreeMap::new();
        for message in &batch.messages {
            let Some(checked) = self.check(message, stop).await else {
                // Stopped while the registry was away: the batch is left to the next relay.
                return Ok(());
            };
            *counts.entry(checked.code).or_default() += 1;
            outputs.extend(checked.output);
        }
        transactions.commit(outputs, Some(batch.offsets)).await?;
        let (metrics, topic) = (metrics(), self.declaration.name);
        metrics.guard_transactions.with_label_values(&[topic]).inc();
        for (code, count) in counts {
            let labels = [topic, &*code];
            metrics
                .guard_records
                .with_label_values(&labels)
                .inc_by(count);
            if code != "ok" && code != TOMBSTONE {
                metrics
                    .dead_letters
                    .with_label_values(&labels)
                    .inc_by(count);
            }
        }
        Ok(())
    }

    /// Checks a record, as often as it takes until the registry answers.
    async fn check(&self, message: &OwnedMessage, stop: &CancellationToken) -> Option<Checked> {
        let mut wait = WAITS[0];
        loop {
            match check(&self.codec, self.declaration, &self.group, message).await {
                Ok(checked) => return Some(checked),
                Err(error) => {
                    tracing::warn!(topic = self.declaration.name, %error, "the guard waits");
                    let label = [self.declaration.name];
                    metrics().retries.with_label_values(&label).inc();
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
            wait = longer(wait);
        }
    }
}

fn longer(wait: Duration) -> Duration {
    (wait * 2).min(WAITS[1])
}
