//! Machines: one transition at a time, and no machine waits for another.

use millstream_pipeline::events::EventMeta;
use millstream_schemas::machine_commands::{MachineState, SetUp, Status, TearDown};
use millstream_topics::{MachineCommands, MachineCommandsEvent};

use crate::support::{LIMIT, client, endpoints, sql, unique};

/// What the dev stack's transitions take, in milliseconds.
const TRANSITION: i64 = 1000;

fn commands() -> [MachineCommandsEvent; 4] {
    [
        SetUp {}.into(),
        TearDown {}.into(),
        SetUp {}.into(),
        TearDown {}.into(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn transitions_of_a_machine_never_overlap_and_other_machines_do_not_wait() {
    let (client, busy) = (client().await, unique("busy"));
    let mut sent: Vec<EventMeta> = Vec::new();
    let mut partition = 0;
    for command in commands() {
        let meta = client.meta();
        let at = client.send::<MachineCommands>(&busy, command, Some(&meta));
        partition = at.await.unwrap().0;
        sent.push(meta);
    }
    // A machine of the same partition, after all of these.
    let (other, meta) = loop {
        let (machine, meta) = (unique("other"), client.meta());
        let at = client.send::<MachineCommands>(&machine, SetUp {}, Some(&meta));
        if at.await.unwrap().0 == partition {
            break (machine, meta);
        }
    };
    let seen = client.result_of(&meta, LIMIT).await.unwrap();
    seen.event::<MachineState>().unwrap();
    let of_busy = client.seen(|seen| seen.key.as_ref() == Some(&busy));
    assert!(of_busy.len() < sent.len(), "{other} waited for {busy}");

    let mut done = Vec::new();
    for (n, meta) in sent.iter().enumerate() {
        let seen = client.result_of(meta, LIMIT).await.unwrap();
        let state: MachineState = seen.event().unwrap();
        let status = if n % 2 == 0 { Status::Up } else { Status::Down };
        assert_eq!((state.status, state.changed), (status, true));
        done.push(seen.timestamp);
    }
    for pair in done.windows(2) {
        // Kafka's time stamps are whole milliseconds.
        assert!(pair[1] - pair[0] >= TRANSITION - 1, "overlap: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_told_so() {
    let (client, machine) = (client().await, unique("machine"));
    let expected = [(Status::Up, true), (Status::Up, false)];
    for (status, changed) in expected {
        let seen = client
            .request::<MachineCommands>(&machine, SetUp {}, LIMIT)
            .await
            .unwrap();
        let state: MachineState = seen.event().unwrap();
        assert_eq!((state.status, state.changed), (status, changed));
    }
    let (_, state) = sql::settled_state(endpoints(), "MachineOperator", &machine)
        .await
        .remove(0);
    assert_eq!(state["status"], "UP");
}
