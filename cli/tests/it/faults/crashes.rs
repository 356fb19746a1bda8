//! Parts that are stopped and killed while events are under way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use millstream_control::{Settings, plan};
use millstream_devstack::Part;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::failure;
use millstream_pipeline::kafka;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_schemas::user_updates::{UserUpdate, UserUpdated};
use millstream_topics::{ProductReservations, TOPICS, UserUpdates};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use super::ledger::answered_once;
use crate::support::{At, Bench, LIMIT, OwnStack, failure, query, unique, until};

const RESERVATIONS: &str = "product-reservations-results";
const UPDATES: &str = "user-updates-results";

struct Crash {
    stack: OwnStack,
    endpoints: Endpoints,
    bench: Bench,
    http: reqwest::Client,
}

/// Commands under way: 200 reservations of 20 products, and an update that waits for its user.
struct UnderWay {
    reservations: Vec<EventMeta>,
    last: Vec<At>,
    user: String,
    update: EventMeta,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_seen_twice() {
    let busy_delay = [("MILLSTREAM_BUSY_DELAY_MS".to_owned(), "200".to_owned())];
    let stack = OwnStack::start(BTreeMap::from([(Part::Handlers, busy_delay.into())])).await;
    let endpoints = stack.endpoints();
    let crash = Crash {
        bench: Bench::new(&endpoints).await,
        http: millstream_pipeline::http::builder()
            .no_proxy()
            .build()
            .unwrap(),
        endpoints,
        stack,
    };
    // Everybody but the handlers knows the schemas from now on.
    crash.reserve(&unique("product")).await;
    crash.registry_down_at_start().await;
    crash.registry_down_later().await;
    for part in [Part::Handlers, Part::Restate, Part::Kafka] {
        crash.killed(part).await;
    }
    crash.cancelled_before_the_first_attempt().await;
    crash.result_topic_deleted().await;
    crash.handlers_terminated().await;
}

impl Crash {
    async fn send(&self, product: &str) -> (EventMeta, At) {
        let meta = self.bench.client.meta();
        let command = ReserveProduct {
            reservation_id: "reservation1".into(),
        };
        let client = &self.bench.client;
        let sent = client.send::<ProductReservations>(product, command, Some(&meta));
        (meta.clone(), sent.await.unwrap())
    }

    async fn is_reserved(&self, meta: &EventMeta) {
        let answer = self.bench.client.result_of(meta, LIMIT).await.unwrap();
        assert!(answer.event::<ProductReserved>().unwrap().reserved);
    }

    async fn reserve(&self, product: &str) {
        let (meta, _) = self.send(product).await;
        self.is_reserved(&meta).await;
    }

    /// Attempts of `T`'s handler that failed so far.
    async fn retries<T: Topic>(&self) -> u64 {
        let text = self.http.get(&self.endpoints.metrics).send().await.unwrap();
        let text = text.text().await.unwrap();
        let sample = format!(
            "millstream_retries_total{{topic=\"{}\"}} ",
            T::DECLARATION.name
        );
        text.lines()
            .find_map(|line| line.strip_prefix(&sample)?.parse().ok())
            .unwrap_or(0)
    }

    async fn is_retried<T: Topic>(&self) {
        let before = self.retries::<T>().await;
        until("a failed attempt", async || {
            (self.retries::<T>().await > before).then_some(())
        })
        .await;
    }

    async fn registry_down_at_start(&self) {
        let stack = &self.stack;
        stack.stop_part(Part::Registry).await.unwrap();
        let refused = plan(TOPICS, &self.endpoints, &Settings::default())
            .await
            .unwrap_err();
        assert!(
            refused
                .to_string()
                .contains(&self.endpoints.schema_registry),
            "{refused}"
        );
        stack.restart(Part::Handlers).await.unwrap();
        let (meta, at) = self.send(&unique("product")).await;
        self.is_retried::<ProductReservations>().await;
        let log = stack.folder().join("logs/handlers.log");
        let wanted = format!("schema registry at {}", self.endpoints.schema_registry);
        until("the reason in the log", async || {
            let said = std::fs::read_to_string(&log).unwrap();
            said.contains(&wanted).then_some(())
        })
        .await;
        assert!(self.bench.answers(&meta.id).is_empty());
        stack.start_part(Part::Registry).await.unwrap();
        self.is_reserved(&meta).await;
        let topic = ProductReservations::DECLARATION.name;
        assert_eq!(self.bench.dead_letters(topic, at).len(), 0);
    }

    async fn registry_down_later(&self) {
        self.stack.stop_part(Part::Registry).await.unwrap();
        self.reserve(&unique("product")).await;
        self.stack.start_part(Part::Registry).await.unwrap();
    }

    async fn set_busy(&self, user: &str, busy: bool) {
        let url = format!(
            "{}/user-directory/busy/{user}",
            self.endpoints.stand_ins.as_ref().unwrap()
        );
        let request = match busy {
            true => self.http.put(url),
            false => self.http.delete(url),
        };
        request.send().await.unwrap().error_for_status().unwrap();
    }

    async fn update_waits(&self) -> (String, EventMeta) {
        let (user, meta) = (unique("user"), self.bench.client.meta());
        self.set_busy(&user, true).await;
        self.bench
            .client
            .send::<UserUpdates>(&user, UserUpdate::default(), Some(&meta))
            .await
            .unwrap();
        let sql = format!(
            "SELECT status FROM sys_invocation WHERE target_service_key = '{user}' AND journal_size > 2"
        );
        until("the waiting update", async || {
            query(&self.endpoints.restate_admin, &sql).await.pop()
        })
        .await;
        (user, meta)
    }

    async fn get_under_way(&self) -> UnderWay {
        let (user, update) = self.update_waits().await;
        let products: Vec<_> = (0..20).map(|_| unique("product")).collect();
        let sent = join_all((0..200).map(|n| self.send(&products[n % products.len()]))).await;
        let (reservations, last) = sent.into_iter().unzip();
        UnderWay {
            reservations,
            last,
            user,
            update,
        }
    }

    async fn arrive(&self, under_way: UnderWay) {
        let UnderWay {
            reservations,
            last,
            user,
            update,
        } = under_way;
        self.set_busy(&user, false).await;
        answered_once(&self.bench, &self.endpoints, UPDATES, &[update]).await;
        answered_once(&self.bench, &self.endpoints, RESERVATIONS, &reservations).await;
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        for (partition, offset) in last {
            let end = ends.entry(partition).or_default();
            *end = offset.max(*end);
        }
        for at in ends {
            self.bench.no_lag::<ProductReservations>(at).await;
        }
    }

    /// Killed while reservations are being answered, and started again.
    async fn killed(&self, part: Part) {
        let under_way = self.get_under_way().await;
        let first = &under_way.reservations[0];
        self.bench.client.result_of(first, LIMIT).await.unwrap();
        self.stack.kill_part(part).await.unwrap();
        if part == Part::Kafka {
            self.gets_to_its_end(&under_way.user).await;
        }
        assert!(self.bench.answers(&under_way.update.id).is_empty());
        self.stack.start_part(part).await.unwrap();
        self.arrive(under_way).await;
    }

    /// The update gets to its end while the broker is away. That it is not completed then shows when
    /// its result comes after all; Restate's admin API may not answer before the broker is back.
    async fn gets_to_its_end(&self, user: &str) {
        self.set_busy(user, false).await;
        let directory = self.endpoints.stand_ins.as_ref().unwrap();
        let url = format!("{directory}/user-directory/users/{user}");
        until("the last change", async || {
            let changes = self.http.get(&url).send().await.unwrap();
            let changes: Vec<String> = changes.json().await.unwrap();
            // More of them where an attempt was repeated.
            (changes.len() >= 3).then_some(())
        })
        .await;
    }

    /// Cancelled while no handlers were there to read the object's state.
    async fn cancelled_before_the_first_attempt(&self) {
        self.stack.kill_part(Part::Handlers).await.unwrap();
        let (user, meta) = (unique("user"), self.bench.client.meta());
        let client = &self.bench.client;
        let sent = client.send::<UserUpdates>(&user, UserUpdate::default(), Some(&meta));
        sent.await.unwrap();
        let admin = &self.endpoints.restate_admin;
        let sql = format!("SELECT id FROM sys_invocation WHERE target_service_key = '{user}'");
        let invocation = until("the invocation", async || {
            let row = query(admin, &sql).await.pop()?;
            row["id"].as_str().map(str::to_owned)
        })
        .await;
        let url = format!("{admin}/invocations/{invocation}/cancel");
        let cancelled = self.http.patch(url).send().await.unwrap();
        cancelled.error_for_status().unwrap();
        self.stack.start_part(Part::Handlers).await.unwrap();
        let answer = client.result_of(&meta, LIMIT).await.unwrap();
        assert_eq!(failure(&answer), failure::CANCELLED);
        let other = client.request::<UserUpdates>(&user, UserUpdate::default(), LIMIT);
        other.await.unwrap().event::<UserUpdated>().unwrap();
    }

    async fn result_topic_deleted(&self) {
        let admin: AdminClient<DefaultClientContext> =
            kafka::client(&self.endpoints.kafka).create().unwrap();
        let deleted = admin.delete_topics(&[RESERVATIONS], &AdminOptions::new());
        deleted.await.unwrap()[0].as_ref().unwrap();
        let (meta, _) = self.send(&unique("product")).await;
        let user = unique("user");
        let client = &self.bench.client;
        let other = client.request::<UserUpdates>(&user, UserUpdate::default(), LIMIT);
        other.await.unwrap().event::<UserUpdated>().unwrap();
        self.is_retried::<ProductReservations>().await;
        assert_eq!(self.stack.apply().await, 1, "the topic is made again");
        answered_once(&self.bench, &self.endpoints, RESERVATIONS, &[meta]).await;
    }

    async fn handlers_terminated(&self) {
        let (user, update) = self.update_waits().await;
        let pid = self.stack.endpoints().pids["handlers"];
        let begun = Instant::now();
        kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGTERM).unwrap();
        let death = self.stack.wait().await;
        assert_eq!(
            (death.part, death.status.as_str()),
            (Part::Handlers, "exit status: 0"),
            "{death}"
        );
        assert!(begun.elapsed() < Duration::from_secs(8), "{begun:?}");
        self.stack.start_part(Part::Handlers).await.unwrap();
        assert!(self.bench.answers(&update.id).is_empty(), "it waits");
        self.set_busy(&user, false).await;
        answered_once(&self.bench, &self.endpoints, UPDATES, &[update]).await;
    }
}
