//! Foreign topics of a test's own, and all that is on them.

use std::collections::BTreeMap;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use millstream_control::{Settings, apply, plan};
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{
    Declaration, EventMeta, EventSet, ResultTopic, Subscription, Tombstones, Topic,
};
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::{Publisher, Record};
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::{ProductReservations, TOPICS};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{endpoints, unique, until};

const CHILD_TOPIC: &str = "GUARD_TEST_TOPIC";
const CHILD_KEY_FIELD: &str = "GUARD_TEST_KEY_FIELD";
const CHILD_INSTANCE: &str = "GUARD_TEST_INSTANCE";
const CHILD_ENDPOINTS: &str = "GUARD_TEST_ENDPOINTS";

/// A guarded topic with the events of product-reservations.
pub fn declaration(
    name: String,
    guard_key_field: Option<&'static str>,
    subscriptions: &'static [Subscription],
) -> &'static Declaration {
    let results = ProductReservations::DECLARATION.results.as_ref().unwrap();
    let name: &'static str = name.leak();
    Box::leak(Box::new(Declaration {
        name,
        guard: true,
        guard_key_field,
        partitions: 4,
        subscriptions,
        results: Some(ResultTopic {
            name: format!("{name}-results").leak(),
            partitions: 1,
            retention_ms: -1,
            schemas: results.schemas,
            once: None,
        }),
        ..*ProductReservations::DECLARATION
    }))
}

/// A foreign topic that is there, with its producer.
pub struct Foreign {
    pub declaration: &'static Declaration,
    pub codec: Codec,
    publisher: Publisher,
}

impl Foreign {
    pub async fn apply(
        guard_key_field: Option<&'static str>,
        subscriptions: &'static [Subscription],
    ) -> Self {
        Self::declared(declaration(
            unique("foreign"),
            guard_key_field,
            subscriptions,
        ))
        .await
    }

    /// One whose records with a null value are passed over.
    pub async fn with_tombstones() -> Self {
        let tombstones = Tombstones::Skip;
        let declared = declaration(unique("foreign"), Some("id"), &[]).clone();
        let declared = Declaration {
            tombstones,
            ..declared
        };
        Self::declared(Box::leak(Box::new(declared))).await
    }

    async fn declared(declaration: &'static Declaration) -> Self {
        let endpoints = endpoints();
        let settings = Settings::default();
        let plan = plan(&[declaration], endpoints, &settings).await.unwrap();
        apply(&plan, endpoints, |_| {}).await.unwrap();
        let known: Vec<_> = TOPICS
            .iter()
            .copied()
            .filter(|topic| topic.name != ProductReservations::DECLARATION.name)
            .chain([declaration])
            .collect();
        Self {
            declaration,
            codec: Codec::new(&endpoints.schema_registry, &known).unwrap(),
            publisher: Publisher::new(kafka::client(&endpoints.kafka)).unwrap(),
        }
    }

    /// A good value.
    pub async fn value(&self, reservation: &str) -> Vec<u8> {
        let reservation_id = reservation.to_owned();
        self.value_of(&ReserveProduct { reservation_id }, None)
            .await
    }

    pub async fn value_of<E: EventSet>(&self, event: &E, meta: Option<&EventMeta>) -> Vec<u8> {
        let body = EncodedBody::of(event).unwrap().unwrap();
        self.codec.join(&body, meta).await.unwrap()
    }

    pub async fn send(&self, key: Option<&[u8]>, value: Option<Vec<u8>>) -> (i32, i64) {
        let record = Record {
            topic: self.declaration.name.into(),
            key: key.map(<[u8]>::to_vec),
            value,
            headers: vec![
                ("own".into(), Some(b"\xffheader"[..].into())),
                ("own".into(), None),
            ],
        };
        self.publisher.publish(&record).await.unwrap()
    }

    /// All committed records of the foreign topic, of the guarded one, of the dead letters.
    pub async fn foreign(&self) -> Vec<Seen> {
        read_all(self.declaration.name, &self.codec).await
    }

    pub async fn guarded(&self) -> Vec<Seen> {
        read_all(&self.declaration.subscribed_topic(), &self.codec).await
    }

    pub async fn letters(&self) -> Vec<Seen> {
        read_all(&self.declaration.dead_letter_topic(), &self.codec).await
    }

    /// Waits until this many records came through.
    pub async fn guarded_count(&self, count: usize) -> Vec<Seen> {
        until(&format!("{count} records through the guard"), async || {
            Some(self.guarded().await).filter(|seen| seen.len() >= count)
        })
        .await
    }

    /// Waits until this many dead letters are there.
    pub async fn letter_count(&self, count: usize) -> Vec<Seen> {
        until(&format!("{count} dead letters"), async || {
            Some(self.letters().await).filter(|seen| seen.len() >= count)
        })
        .await
    }
}

/// All committed records of a topic.
pub async fn read_all(topic: &str, codec: &Codec) -> Vec<Seen> {
    let kafka = kafka::client(&endpoints().kafka);
    let mut reader = Reader::new(kafka, &[topic.to_owned()], From::Beginning)
        .await
        .unwrap();
    let mut all = Vec::new();
    while let Next::Record(seen) = reader.next(codec).await.unwrap() {
        all.push(*seen);
    }
    all
}

/// A guard as a process of its own, killed when dropped.
pub struct Process(Child);

impl Process {
    pub fn start(declaration: &Declaration, instance: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "guard::relay_process",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_TOPIC, declaration.name)
            .env(CHILD_KEY_FIELD, declaration.guard_key_field.unwrap_or(""))
            .env(CHILD_INSTANCE, instance)
            .env(CHILD_ENDPOINTS, serde_json::to_string(endpoints()).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// What the process does; none if this is not one.
    pub fn task() -> Option<(Endpoints, &'static Declaration, String)> {
        let variable = |name| std::env::var(name).ok();
        let field = variable(CHILD_KEY_FIELD).filter(|field| !field.is_empty());
        let field = field.map(|field| &*field.leak());
        Some((
            serde_json::from_str(&variable(CHILD_ENDPOINTS)?).unwrap(),
            declaration(variable(CHILD_TOPIC)?, field, &[]),
            variable(CHILD_INSTANCE)?,
        ))
    }
}

impl Process {
    /// Asks it to end, and says how it did.
    pub async fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let child = Mutex::new(&mut self.0);
        let ended = || async { child.lock().unwrap().try_wait().unwrap() };
        until("the end of the process", ended).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Positions that guarded records say they had, by partition.
pub fn origins(guarded: &[Seen]) -> BTreeMap<i32, Vec<i64>> {
    let mut origins: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for seen in guarded {
        let number = |name| seen.header(name).unwrap().parse::<i64>().unwrap();
        let partition = number(millstream_guard::headers::PARTITION);
        let offset = number(millstream_guard::headers::OFFSET);
        let partition = i32::try_from(partition).unwrap();
        origins.entry(partition).or_default().push(offset);
    }
    origins
}
