//! What operators do with a service of the batch lane: pause it, resume it, let it decide anew, ask how
//! it is.

use std::collections::BTreeMap;

use millstream_control::restate::Restate;
use millstream_control::{Check, Control, Outcome, Settings, decide_anew, leased, with_orders_of};
use millstream_pipeline::client::Client;
use millstream_pipeline::events::{Declaration, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::service::Pipeline;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};

use super::fate::read_all;
use crate::leased_topic;
use crate::support::command::millstream_on;
use crate::support::leased::{Counted, Process, address, apply_at, count, with_own};
use crate::support::{Bench, LIMIT, endpoints, until};

/// Not one that others use on the same stack.
const PREFIX: &str = "test-verbs";
const SERVICE: &str = "TestVerbs";
const KEYS: [&str; 3] = ["a", "b", "c"];

leased_topic!(Verbs, "test-verbs", "test-verbs-results", SERVICE);

fn topics() -> Vec<&'static Declaration> {
    with_own("test-verbs", &[Verbs::DECLARATION])
}

fn settings() -> Settings {
    Settings {
        prefix: PREFIX.into(),
        ..Settings::default()
    }
}

fn event() -> ReserveProduct {
    ReserveProduct {
        reservation_id: "any".into(),
    }
}

/// As `subscriptions pause test-verbs` does, and so on.
async fn control(step: Control) -> Vec<String> {
    let chosen = with_orders_of(&topics(), &[Verbs::DECLARATION]);
    let mut told = Vec::new();
    let done = |what: &str| told.push(what.to_owned());
    millstream_control::control(&chosen, endpoints(), &settings(), step, done)
        .await
        .unwrap();
    told
}

/// What `doctor` says of the batch lane.
async fn lane_checks() -> Vec<Check> {
    let checks = millstream_control::doctor(&topics(), endpoints(), &settings()).await;
    checks
        .into_iter()
        .filter(|it| it.check == "batch lane")
        .collect()
}

/// The results of each key by epoch, in the order of the epochs.
async fn results(bench: &Bench) -> BTreeMap<String, Vec<(String, Vec<Seen>)>> {
    let mut keys: BTreeMap<String, Vec<(String, Vec<Seen>)>> = BTreeMap::new();
    for seen in read_all("test-verbs-results", &bench.codec).await {
        let epoch = seen.meta.as_ref().unwrap().epoch.clone().unwrap();
        let epochs = keys.entry(seen.key.clone().unwrap()).or_default();
        match epochs.iter_mut().find(|(known, _)| *known == epoch) {
            Some((_, results)) => results.push(seen),
            None => epochs.push((epoch, vec![seen])),
        }
    }
    keys
}

/// They are the first so many, each once and in order.
fn assert_counted(results: &[Seen], counts: usize) {
    let seqs: Vec<_> = results
        .iter()
        .map(|it| it.meta.as_ref().unwrap().seq.unwrap())
        .collect();
    let said: Vec<_> = results
        .iter()
        .map(|it| it.event::<ProductReserved>().unwrap().reservation_id)
        .collect();
    let expected: Vec<_> = (1..=counts).map(|it| it.to_string()).collect();
    assert_eq!(said, expected);
    assert_eq!(seqs, (1..=counts as i64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_the_batch_lane_is_paused_resumed_and_rewound() {
    let (topics, address) = (topics(), address());
    let decider = |pipeline: &Pipeline| {
        let decider = pipeline.decider(SERVICE);
        decider.on::<Verbs, Counted>(count)
    };
    let process = Process::start(endpoints(), address, (topics.clone(), PREFIX), decider).await;
    apply_at(endpoints(), address, (&topics, PREFIX)).await;
    let client = Client::new(endpoints(), &topics, "test").await.unwrap();
    for key in KEYS {
        let seen = client.request::<Verbs>(key, event(), LIMIT).await.unwrap();
        assert_eq!(seen.event::<ProductReserved>().unwrap().reservation_id, "1");
    }
    let [check] = &lane_checks().await[..] else {
        panic!("all is well");
    };
    assert_eq!(check.outcome, Outcome::Ok, "{check:?}");

    // The lease of its partition is likely to run still.
    assert_eq!(
        control(Control::Pause).await,
        ["test-verbs-work -> TestVerbs/work"]
    );
    let restate = Restate::new(&endpoints().restate_admin).unwrap();
    assert_eq!(restate.unfinished(SERVICE, "work").await.unwrap(), []);
    let metas = KEYS.map(|_| client.meta());
    for (key, meta) in KEYS.iter().zip(&metas) {
        client
            .send::<Verbs>(key, event(), Some(meta))
            .await
            .unwrap();
    }
    // `doctor` waits until nothing has moved for a while, so by then nothing was decided either.
    let told = until("`doctor` to say that nobody works", async || {
        let failed = lane_checks().await.into_iter();
        let mut failed = failed.filter(|it| it.outcome == Outcome::Fail);
        failed.next().map(|it| it.message)
    })
    .await;
    assert!(told.contains("nobody has the partition"), "{told}");
    assert_eq!(restate.unfinished(SERVICE, "work").await.unwrap(), []);
    let bench = Bench::new(endpoints()).await;
    for epochs in results(&bench).await.values() {
        assert_counted(&epochs[0].1, 1);
    }

    assert_eq!(
        control(Control::Resume).await,
        ["test-verbs-work -> TestVerbs/work"]
    );
    for meta in &metas {
        let seen = client.result_of(meta, LIMIT).await.unwrap();
        assert_eq!(seen.event::<ProductReserved>().unwrap().reservation_id, "2");
    }

    let [anew] = &leased(&topics, &[Verbs::DECLARATION])[..] else {
        panic!("one service");
    };
    assert_eq!(
        (anew.service, &anew.topics[..]),
        (SERVICE, &["test-verbs"][..])
    );
    let mut forgotten = 0;
    let done = |_, rewound: &millstream_pipeline::lane::batch::topics::Rewound| {
        forgotten += rewound.keys;
        assert_eq!((rewound.epoch, &rewound.next[..]), (1, &[0][..]));
    };
    decide_anew(&topics, endpoints(), &settings(), SERVICE, 0, done)
        .await
        .unwrap();
    assert_eq!(forgotten, KEYS.len());
    // Nothing new need come, although the process has the states of before in memory.
    until("everything to be decided anew", async || {
        let all = results(&bench).await;
        let mut keys = all.values();
        keys.all(|epochs| epochs.len() == 2 && epochs[1].1.len() == 2)
            .then_some(())
    })
    .await;
    for key in KEYS {
        let seen = client.request::<Verbs>(key, event(), LIMIT).await.unwrap();
        assert_eq!(seen.event::<ProductReserved>().unwrap().reservation_id, "3");
    }
    let all = results(&bench).await;
    assert_eq!(all.len(), KEYS.len());
    for epochs in all.values() {
        let [(_, before), (_, after)] = &epochs[..] else {
            panic!("what is decided anew has numbers of its own: {epochs:?}");
        };
        assert_counted(before, 2);
        assert_counted(after, 3);
    }
    let states = millstream_control::states(&topics, endpoints(), SERVICE, None);
    for state in states.await.unwrap() {
        assert_eq!(state.state["count"], 3, "{state:?}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_anew_that_was_not_asked_for_twice() {
    for (arguments, told) in [
        (&[][..], "say --decide-anew UsageMeter as well"),
        (
            &["--decide-anew", "PackageTracker"],
            "handles none of these topics",
        ),
    ] {
        let rewind = [
            "subscriptions",
            "rewind",
            "usage-records",
            "--to",
            "beginning",
        ];
        let ran = millstream_on(endpoints(), &[&rewind[..], arguments].concat(), "").await;
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(
            ran.stderr.contains(told) && ran.stderr.contains("nothing was rewound"),
            "{ran:?}"
        );
    }
}
