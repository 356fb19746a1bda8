//! One machine is set up and torn down, another one set up twice, all at once.

use millstream_schemas::machine_commands::{MachineState, SetUp, Status, TearDown};
use millstream_topics::{MachineCommands, MachineCommandsEvent};

use super::Run;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let (a, b) = (run.key("machine-a"), run.key("machine-b"));
    let commands: [(&str, MachineCommandsEvent, _, _); 5] = [
        (&a, SetUp {}.into(), Status::Up, true),
        (&a, TearDown {}.into(), Status::Down, true),
        (&b, SetUp {}.into(), Status::Up, true),
        (&b, SetUp {}.into(), Status::Up, false),
        (&b, TearDown {}.into(), Status::Down, true),
    ];
    let mut sent = Vec::new();
    for (machine, command, status, changed) in commands {
        let meta = run.meta();
        run.send::<MachineCommands>(machine, command, &meta).await?;
        sent.push((machine, meta, MachineState { status, changed }));
    }
    for (machine, meta, expected) in sent {
        let state: MachineState = run.result_of(&meta).await?.event()?;
        run.expect(&format!("the state of {machine}"), state, expected);
    }
    Ok(())
}
