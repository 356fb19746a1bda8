//! Events that wait behind others of their key, and invocations that are paused: lag shows neither.

use std::time::Duration;

use millstream_control::restate::Restate;
use millstream_control::{Settings, glance};
use millstream_schemas::machine_commands::{MachineState, SetUp, TearDown};
use millstream_topics::{MachineCommands, MachineCommandsEvent, TOPICS};
use serde_json::Value;

use crate::exporter::exporter;
use crate::support::command::millstream_on;
use crate::support::{LIMIT, client, endpoints, query, unique, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_busy_key_is_shown_by_its_age() {
    let (client, machine) = (client().await, unique("backlog"));
    let (_process, url) = exporter(&endpoints().schema_registry);
    let restate = Restate::new(&endpoints().restate_admin).unwrap();
    let send = async |command: MachineCommandsEvent| {
        let meta = client.meta();
        let at = client.send::<MachineCommands>(&machine, command, Some(&meta));
        at.await.unwrap();
        meta
    };
    let first = send(SetUp {}.into()).await;
    let id = pause(&machine).await;
    let sent = [first, send(TearDown {}.into()).await];
    let key = until("the key that waits", async || {
        let keys = restate.waiting_keys(1000).await.unwrap();
        keys.into_iter().find(|it| it.key == machine)
    })
    .await;
    assert_eq!(key.service, "MachineOperator");
    assert_eq!(key.count, 1, "{key:?}");
    until("the age in a look at the installation", async || {
        let settings = Settings::default();
        let status = glance(TOPICS, endpoints(), &settings).await.unwrap();
        let mut services = status.invocations.into_iter();
        let operator = services.find(|it| it.service == "MachineOperator")?;
        operator
            .oldest_waiting_seconds
            .filter(|seconds| *seconds > 0)
    })
    .await;
    let line = r#"millstream_invocations_oldest_waiting_seconds{service="MachineOperator"} "#;
    until("the age among the metrics", async || {
        let answer = millstream_pipeline::http::client().get(&url).send();
        let text = answer.await.ok()?.text().await.ok()?;
        let seconds = text.lines().find_map(|it| it.strip_prefix(line))?;
        (seconds.parse::<u64>().ok()? > 0).then_some(())
    })
    .await;
    assert!(resume(&id).await);
    for meta in &sent {
        let seen = client.result_of(meta, LIMIT).await.unwrap();
        seen.event::<MachineState>().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_invocation_is_named_with_its_remedy() {
    let (client, machine) = (client().await, unique("paused"));
    let meta = client.meta();
    let sent = client.send::<MachineCommands>(&machine, SetUp {}, Some(&meta));
    sent.await.unwrap();
    let id = pause(&machine).await;
    let restate = Restate::new(&endpoints().restate_admin).unwrap();
    let paused = restate.paused(1000).await.unwrap();
    let paused = paused.into_iter().find(|it| it.id == id).unwrap();
    assert_eq!(paused.target, format!("MachineOperator/{machine}/onEvent"));
    assert_eq!((paused.code, paused.reason), (None, None), "by hand");
    let ill = millstream_on(endpoints(), &["doctor", "--json"], "").await;
    let report = ill.json();
    let checks = report["checks"].as_array().unwrap();
    let named = |check: &&Value| {
        let message = check["message"].as_str().unwrap();
        message.contains(&machine) && message.contains("somebody paused it")
    };
    let check = checks.iter().find(named).expect("it is named");
    assert_eq!((&check["outcome"], ill.status), (&"fail".into(), 1));
    assert!(resume(&id).await);
    let seen = client.result_of(&meta, LIMIT).await.unwrap();
    seen.event::<MachineState>().unwrap();
}

/// Pauses what the machine does now, for as long as nobody resumes it; its id. A transition takes a
/// second.
pub async fn pause(machine: &str) -> String {
    let admin = &endpoints().restate_admin;
    let sql = format!(
        "SELECT id FROM sys_invocation WHERE target_service_key = '{machine}' AND status <> 'completed'"
    );
    let id = until("an invocation that can be paused", async || {
        let rows = query(admin, &sql).await;
        let id = rows.first()?["id"].as_str()?.to_owned();
        let paused = call(&format!("{admin}/invocations/{id}/pause")).await;
        paused.then_some(id)
    })
    .await;
    let restate = Restate::new(admin).unwrap();
    until("the pause", async || {
        let paused = restate.paused(1000).await.unwrap();
        paused.iter().any(|it| it.id == id).then_some(())
    })
    .await;
    id
}

pub async fn resume(id: &str) -> bool {
    let admin = &endpoints().restate_admin;
    call(&format!("{admin}/invocations/{id}/resume")).await
}

async fn call(url: &str) -> bool {
    let client = millstream_pipeline::http::client();
    let answer = client.patch(url).timeout(Duration::from_secs(30)).send();
    answer.await.unwrap().status().is_success()
}
