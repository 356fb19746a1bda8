//! `[results] exactly-once`: readers that know nothing of the reader rule see each result once.

use std::collections::{BTreeMap, HashSet};

use futures::future::join_all;
use millstream_devstack::Part;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::EventMeta;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::lane::batch::once::LATE;
use millstream_pipeline::record::HeaderList;
use millstream_schemas::accounts::{AccountBalance, Deposit};
use millstream_topics::Accounts;

use crate::faults::ledger::records;
use crate::support::command::millstream_on;
use crate::support::{Bench, LIMIT, OwnStack, endpoints, letter_code, unique, until};

const RAW: &str = "accounts-results";
const ONCE: &str = "accounts-results-once";
const SERVICE: &str = "AccountsResultsOnce";

fn deposit() -> Deposit {
    Deposit {
        amount_cents: 1,
        movement_id: None,
    }
}

/// What a record is, to the byte.
fn content(seen: &Seen) -> (Option<Vec<u8>>, HeaderList) {
    (seen.value.clone(), seen.raw_headers.clone())
}

/// The same record once more.
async fn repeat(bench: &Bench, seen: &Seen) {
    let (value, headers) = content(seen);
    bench
        .send_with_headers(RAW, seen.key.as_deref(), value.as_deref(), headers)
        .await;
}

/// A result that nobody has asked for.
async fn made(bench: &Bench, meta: &EventMeta, balance_cents: i64) -> Vec<u8> {
    let balance = AccountBalance {
        balance_cents,
        accepted: true,
    };
    bench.value(&balance, Some(meta)).await
}

fn number(seen: &Seen) -> Option<i64> {
    seen.meta.as_ref()?.seq
}

#[tokio::test(flavor = "multi_thread")]
async fn each_result_is_published_once_and_as_it_came() {
    let bench = Bench::new(endpoints()).await;
    let account = unique("account");
    let mut raw = Vec::new();
    for _ in 0..3 {
        let asked = bench.client.request::<Accounts>(&account, deposit(), LIMIT);
        raw.push(asked.await.unwrap());
    }
    for seen in &raw {
        repeat(&bench, seen).await;
    }
    let last = raw[2].meta.clone().unwrap();
    let numbered = |seq: Option<i64>, id: &str| EventMeta {
        id: format!("{account}-{id}"),
        seq,
        ..last.clone()
    };
    let sent =
        async |value: Option<Vec<u8>>| bench.send(RAW, Some(&account), value.as_deref()).await;
    let [five, four, unnumbered, six] =
        [(Some(5), "5"), (Some(4), "4"), (None, "n"), (Some(6), "6")]
            .map(|(seq, id)| numbered(seq, id));
    let [five, four, unnumbered, six] =
        [&five, &four, &unnumbered, &six].map(|meta| made(&bench, meta, 7));
    let (five, four, unnumbered, six) = (five.await, four.await, unnumbered.await, six.await);
    for value in [&five, &four, &five, &four, &unnumbered, &unnumbered] {
        sent(Some(value.clone())).await;
    }
    let other = made(&bench, &numbered(Some(5), "5"), 8).await;
    let conflict = sent(Some(other)).await;
    let null = sent(None).await;
    let text = sent(Some(b"text".to_vec())).await;
    sent(Some(six.clone())).await;

    let is_last = |seen: &Seen| seen.topic == ONCE && seen.value.as_ref() == Some(&six);
    let waited = bench.client.wait_for("the last result", LIMIT, is_last);
    waited.await.unwrap();
    let is_ours = |seen: &Seen| seen.topic == ONCE && seen.key.as_deref() == Some(&account);
    let once = bench.client.seen(is_ours);
    let numbers: Vec<_> = once.iter().map(number).collect();
    let expected = [1, 2, 3, 5, 4].map(Some).into_iter();
    let expected: Vec<_> = expected.chain([None, Some(6)]).collect();
    assert_eq!(numbers, expected);
    for (seen, raw) in once.iter().zip(&raw) {
        assert_eq!(content(seen), content(raw));
        assert_eq!(seen.partition, raw.partition);
    }
    for (at, seen) in once.iter().enumerate() {
        let late = (at == 4).then_some("true");
        assert_eq!(seen.header(LATE), late, "{:?}", number(seen));
    }
    for (at, code) in [
        (conflict, "sequence-conflict"),
        (null, "undecodable"),
        (text, "undecodable"),
    ] {
        let letter = bench.dead_letter(RAW, at).await;
        assert_eq!(letter_code(&letter), code);
    }

    let told = async |arguments: &[&str]| {
        let ran = millstream_on(endpoints(), arguments, "").await;
        assert_eq!(ran.status, 0, "{ran:?}");
        ran.json()
    };
    let state = told(&["state", "get", SERVICE, &account]).await;
    assert_eq!(state["numberings"][0]["mark"], 6, "{state}");
    let status = told(&["status", "--json"]).await;
    let lanes = status["lanes"].as_array().unwrap();
    let lane = lanes.iter().find(|lane| lane["topic"] == RAW).unwrap();
    assert_eq!(lane["handler"], format!("{SERVICE}/work"));
    assert_eq!(lane["group"], format!("millstream.{SERVICE}"));
    assert!(lane["lag"].is_i64() && lane["broken"] == false, "{lane}");
}

/// What is on a topic with these keys.
async fn of(endpoints: &Endpoints, bench: &Bench, topic: &str, keys: &[String]) -> Vec<Seen> {
    let mut all = records(endpoints, &bench.codec, topic).await;
    all.retain(|seen| seen.key.as_ref().is_some_and(|key| keys.contains(key)));
    all
}

fn id(seen: &Seen) -> String {
    seen.meta.as_ref().unwrap().id.clone()
}

/// Handlers are killed under load, and everything is produced a second time: other processes know what
/// was published before.
#[tokio::test(flavor = "multi_thread")]
async fn killed_handlers_publish_each_result_once() {
    let stack = OwnStack::start(BTreeMap::new()).await;
    let endpoints = stack.endpoints();
    let bench = Bench::new(&endpoints).await;
    let accounts: Vec<_> = (0..10).map(|_| unique("account")).collect();
    let under_load = async {
        let mut commands = Vec::new();
        for round in 0..4 {
            let sent = (0..100).map(|number| {
                let meta = bench.client.meta();
                let (bench, account) = (&bench, &accounts[number % accounts.len()]);
                async move {
                    let sent = bench
                        .client
                        .send::<Accounts>(account, deposit(), Some(&meta));
                    sent.await.unwrap();
                    meta
                }
            });
            commands.extend(join_all(sent).await);
            if round < 3 {
                stack.kill_part(Part::Handlers).await.unwrap();
                stack.start_part(Part::Handlers).await.unwrap();
            }
        }
        commands
    };
    let commands = under_load.await;
    for meta in &commands {
        bench.client.result_of(meta, LIMIT).await.unwrap();
    }
    let whole = async |what: &str, expected: usize| {
        until(what, async || {
            let once = of(&endpoints, &bench, ONCE, &accounts).await;
            (once.len() >= expected).then_some(once)
        })
        .await
    };
    whole("each result", commands.len()).await;
    for seen in of(&endpoints, &bench, RAW, &accounts).await {
        repeat(&bench, &seen).await;
    }
    stack.kill_part(Part::Handlers).await.unwrap();
    stack.start_part(Part::Handlers).await.unwrap();
    // Behind the copies on the partition of each.
    for account in &accounts {
        let asked = bench.client.request::<Accounts>(account, deposit(), LIMIT);
        asked.await.unwrap();
    }
    let expected = commands.len() + accounts.len();
    let once = whole("the last results", expected).await;
    let ids: HashSet<_> = once.iter().map(id).collect();
    assert_eq!((once.len(), ids.len()), (expected, expected));
    let raw = of(&endpoints, &bench, RAW, &accounts).await;
    assert!(raw.len() >= 2 * commands.len(), "the copies are there");
    let in_raw: HashSet<_> = raw.iter().map(id).collect();
    assert_eq!(ids, in_raw);
    // Each account saw every cent once, in order.
    for account in &accounts {
        let of_account = once
            .iter()
            .filter(|seen| seen.key.as_ref() == Some(account));
        let balances: Vec<_> = of_account
            .map(|seen| seen.event::<AccountBalance>().unwrap().balance_cents)
            .collect();
        let counted: Vec<_> = (1..=41).collect();
        assert_eq!(balances, counted);
    }
}
