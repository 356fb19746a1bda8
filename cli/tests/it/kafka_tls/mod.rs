//! A Kafka with TLS, SASL and rights: every part does its work with the rights that `acls` prints,
//! and none does more.

mod broker;
mod parts;
mod provider;

use millstream_pipeline::http;
use serde_json::Value;

use crate::support::tls::certificate;
use crate::support::{own_stack_permit, unique, until};
use broker::Broker;
use parts::{Parts, command, free_ports, run};
use provider::Provider;

const COMMANDS: &str = "product-reservations";
const RESULTS: &str = "product-reservations-results";

#[tokio::test(flavor = "multi_thread")]
async fn parts_work_with_their_rights_and_do_no_more() {
    let _permit = own_stack_permit().await;
    let broker = Broker::start(&free_ports()).await;
    let nowhere = "http://127.0.0.1:1";
    let acls = run(&broker.scram, nowhere, "", &["acls"], "").await;
    broker.grant(&acls.stdout).await;
    let mut parts = Parts::start(&broker).await;
    let applied = parts.apply(&broker).await;
    assert!(applied.ok, "{applied:?}\n{}", parts.logs(&broker));
    assert!(!format!("{applied:?}").contains("-password"), "{applied:?}");
    parts.start_gateway(&broker).await;
    let again = parts.apply(&broker).await;
    assert!(again.stderr.contains("nothing to change"), "{again:?}");

    // Over HTTP: through the gateway, Restate and the handlers.
    let product = unique("product");
    let url = format!("{}/reserve/{product}/first", parts.gateway);
    let reserve = http::client().post(&url).header("prefer", "wait=60");
    let answer = reserve.send().await.unwrap();
    let status = answer.status();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(status, 200, "{answer}\n{}", parts.logs(&broker));
    assert_eq!(answer["data"]["reserved"], true, "{answer}");

    // By the command, as the gateway's user.
    let user = broker.user("millstream-gateway");
    let event = format!(r#"{{"key": "{product}", "data": {{"reservation_id": "second"}}}}"#);
    let gateway = async |arguments: &[&str], input: &str| {
        run(&broker.scram, &parts.registry, &user, arguments, input).await
    };
    let produced = gateway(&["produce", COMMANDS], &event).await;
    assert!(produced.ok, "{produced:?}");
    let read = [
        "tail",
        RESULTS,
        "--from-beginning",
        "--key",
        &product,
        "--count=2",
    ];
    let read = gateway(&read, "").await;
    let reserved = read.stdout.lines().map(|line| {
        let seen: Value = serde_json::from_str(line).unwrap();
        seen["data"]["reserved"].as_bool().unwrap()
    });
    assert_eq!(reserved.collect::<Vec<_>>(), [true, false], "{read:?}");

    // What it has no right to is refused.
    let forged = format!(
        r#"{{"key": "{product}", "type": "ProductReserved", "data": {{"reservation_id": "x", "reserved": true}}}}"#
    );
    let forged = gateway(&["produce", RESULTS], &forged).await;
    assert!(
        !forged.ok && forged.stderr.contains("authorization"),
        "{forged:?}"
    );
    let dead = gateway(
        &[
            "tail",
            "product-reservations-dlq",
            "--from-beginning",
            "--until-end",
        ],
        "",
    )
    .await;
    assert!(!dead.ok, "{dead:?}");
    let user = broker.user("millstream-restate");
    let written = run(
        &broker.scram,
        &parts.registry,
        &user,
        &["produce", COMMANDS],
        &event,
    )
    .await;
    assert!(
        !written.ok && written.stderr.contains("authorization"),
        "{written:?}"
    );

    // Nothing of what runs was refused a right that it asked for, nor logged a password.
    let logs = parts.logs(&broker);
    for sign in ["authorization", "AUTHORIZATION", "-password"] {
        assert!(!logs.contains(sign), "{sign}:\n{logs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_told_why() {
    let _permit = own_stack_permit().await;
    let broker = Broker::start(&free_ports()).await;
    let nowhere = "http://127.0.0.1:1";
    // The broker is up when it lets somebody in.
    let acls = run(&broker.scram, nowhere, "", &["acls"], "").await;
    let first = acls.stdout.lines().next().unwrap();
    broker.grant(first).await;

    let wrong = broker.login("millstream-apply", "hunter2", "authority.pem");
    let untrusted = broker.login("millstream-apply", "hunter2", "server.pem");
    let tail = ["tail", COMMANDS, "--until-end"];
    for (config, says) in [(&wrong, "sasl.*"), (&untrusted, "ssl.ca.location")] {
        for arguments in [&tail[..], &["doctor"]] {
            refused(&broker.scram, nowhere, config, arguments, says).await;
        }
    }
    let misspelt = broker.file("misspelt.properties", "sasl.pasword=hunter2\n");
    let ran = run(&broker.scram, nowhere, &misspelt, &tail, "").await;
    assert!(!ran.ok && ran.stderr.contains("sasl.pasword"), "{ran:?}");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_fetched_and_renewed_for_every_client() {
    let _permit = own_stack_permit().await;
    let broker = Broker::start(&free_ports()).await;
    let nowhere = "http://127.0.0.1:1";
    let acls = run(&broker.scram, nowhere, "", &["acls"], "").await;
    broker.grant(&acls.stdout).await;
    let provider = Provider::start().await;
    let user = |name: &str, secret: &str| {
        let text = format!(
            "security.protocol=SASL_SSL\nssl.ca.location={0}\nhttps.ca.location={0}\n\
             sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.client.id={name}\n\
             sasl.oauthbearer.client.secret={secret}\nsasl.oauthbearer.scope=kafka\n\
             sasl.oauthbearer.token.endpoint.url={1}\n",
            certificate("authority.pem"),
            provider.url
        );
        broker.file(&format!("{name}-{secret}.properties"), &text)
    };
    // The registry: admin client, producer and consumers.
    let [registry] = free_ports();
    let url = format!("http://127.0.0.1:{registry}");
    let listen = format!("127.0.0.1:{registry}");
    let config = user("millstream-registry", "secret");
    let log = std::fs::File::create(broker.folder.path().join("registry.log")).unwrap();
    let mut serving = command(&broker.tokens, nowhere, &config)
        .args(["registry", "--listen", &listen])
        .stdout(std::process::Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let client = http::builder().no_proxy().build().unwrap();
    let register = async |subject: &str| {
        let url = format!("{url}/subjects/{subject}/versions");
        let schema = serde_json::json!({ "schema": "\"string\"" });
        let answer = client.post(url).json(&schema).send().await.ok()?;
        answer.status().is_success().then_some(())
    };
    until("the registry", async || register("first").await).await;

    // Tokens end after some seconds. Each of its clients goes on with new ones.
    let asked = provider.asked("millstream-registry");
    until("new tokens", async || {
        (provider.asked("millstream-registry") > asked + 2).then_some(())
    })
    .await;
    until("another schema", async || register("second").await).await;
    let log = std::fs::read_to_string(broker.folder.path().join("registry.log")).unwrap();
    assert!(!log.contains("secret"), "{log}");
    assert_eq!(serving.try_wait().unwrap(), None);

    // Who has no token is told so.
    let config = user("millstream-apply", "hunter2");
    let tail = ["tail", COMMANDS, "--until-end"];
    refused(&broker.tokens, &url, &config, &tail, "sasl.*").await;
}

/// Runs a command with a wrong login until it says this. Where the broker takes too long to refuse
/// it, it can only say that no broker answers.
async fn refused(kafka: &str, registry: &str, config: &str, arguments: &[&str], says: &str) {
    until(says, async || {
        let ran = run(kafka, registry, config, arguments, "").await;
        let shown = ran.stdout + &ran.stderr;
        assert!(!ran.ok && !shown.contains("hunter2"), "{shown}");
        shown.contains(says).then_some(())
    })
    .await;
}
