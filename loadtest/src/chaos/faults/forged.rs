//! Requests to handlers that Restate did not make.

use millstream_devstack::request::{CONTENT_TYPE, invocation, token};
use millstream_pipeline::identity::SigningKey;
use millstream_pipeline::record::source_offset::SourceOffset;
use reqwest::StatusCode;

use super::harness::Harness;
use super::outcome::Outcome;
use crate::chaos::ledger::event::{Book, key};
use crate::chaos::ledger::generator;

/// Where the handler is.
const PATH: &str = "/invoke/Ledger/onEvent";
/// Where the lease of a partition is.
const LEASE: &str = "/invoke/LedgerBatch/work";
/// Numbers of forged entries begin here: the load never gets so far.
const FIRST: i64 = 1 << 40;
/// Seconds after which a token has expired.
const LONG_AGO: i64 = -300;

/// Every replica is asked to book entries that are on no topic, and to work off a partition: unsigned, signed by a stranger, with
/// Restate's own signature of long ago, and of a request to another handler.
pub async fn requests(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()?;
    let restate = SigningKey::read(&harness.stack.keys().restate.path)?;
    let stranger = SigningKey::generate()?;
    let ports: Vec<u16> = {
        let fleet = harness.fleet().await;
        fleet.replicas.iter().map(|it| it.port()).collect()
    };
    let send = async |to: (u16, &str), key: &str, in_seq: i64, token: Option<String>| {
        let (port, path) = to;
        let body = Book::Main.entry(in_seq, vec![0])?;
        let meta = generator::meta(key, in_seq);
        let record = harness.codec.join(&body, Some(&meta)).await?;
        let position = SourceOffset {
            topic: Book::Main.declaration().name.into(),
            partition: 0,
            offset: in_seq,
            timestamp_ms: 1,
            taken_ms: None,
        };
        let mut request = http
            .post(format!("http://127.0.0.1:{port}{path}"))
            .header("content-type", CONTENT_TYPE)
            .body(invocation(key, &position, &record));
        if let Some(token) = token {
            request = request
                .header("x-restate-signature-scheme", "v1")
                .header("x-restate-jwt-v1", token);
        }
        let answer = request.send().await?;
        let status = answer.status();
        // The handler runs while its answer is read.
        answer.bytes().await?;
        anyhow::Ok(status)
    };
    let (mut sent, mut refused) = (0.0, 0.0);
    let turns = if harness.size.full { 100 } else { 10 };
    trial
        .under_load(async {
            for turn in 0..turns {
                let key = key(&trial.run, usize::try_from(turn)?);
                let asked = ports.iter().flat_map(|port| {
                    let forged = [(PATH, key.as_str()), (LEASE, "0")];
                    forged.map(|(path, key)| (*port, path, key))
                });
                for (port, path, key) in asked {
                    let tokens = [
                        None,
                        Some(token(&stranger, path, 0)),
                        Some(token(&restate, path, LONG_AGO)),
                        Some(token(&restate, "/invoke/LedgerStuck/onEvent", 0)),
                    ];
                    for token in tokens {
                        trial.fault();
                        sent += 1.0;
                        let status = send((port, path), key, FIRST + turn, token).await?;
                        if status == StatusCode::UNAUTHORIZED {
                            refused += 1.0;
                        }
                    }
                }
            }
            trial.healed();
            Ok(())
        })
        .await?;
    trial.figure("forged_requests", sent);
    trial.figure("refused", refused);
    trial.expect(sent == refused, "a forged request was taken");
    // Only the signature makes the difference. Nobody counts this key.
    let control = format!("control-{}", trial.run);
    let status = send(
        (ports[0], PATH),
        &control,
        FIRST,
        Some(token(&restate, PATH, 0)),
    )
    .await?;
    trial.expect(
        status == StatusCode::OK,
        "a request with Restate's signature is refused",
    );
    trial.finish().await
}
