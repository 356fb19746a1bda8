//! Two users of one partition; the system outside is busy for the first, who waits alone.

use millstream_schemas::user_updates::{UserUpdate, UserUpdated};
use millstream_topics::UserUpdates;

use super::Run;
use crate::stand_ins::DirectoryControl;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let directory = DirectoryControl::of(&run.endpoints)?;
    let (slow, quick) = (run.key("userid1"), run.key("userid2"));
    let update = || UserUpdate {
        profile: "dev".into(),
        permissions: "all".into(),
        resources: "all".into(),
    };
    directory.set_busy(&slow, true).await?;
    let waiting = run.meta();
    run.send::<UserUpdates>(&slow, update(), &waiting).await?;
    let answer: UserUpdated = run.request::<UserUpdates, _>(&quick, update()).await?;
    run.expect(
        "the quick user has a profile",
        answer.profile.is_empty(),
        false,
    );
    run.expect(
        "the slow user's changes",
        directory.changes(&slow).await?,
        vec![],
    );

    directory.set_busy(&slow, false).await?;
    run.result_of(&waiting).await?.event::<UserUpdated>()?;
    for user in [&slow, &quick] {
        let changes = directory.changes(user).await?;
        let fields: Vec<_> = changes.iter().map(String::as_str).collect();
        run.expect(
            "the order of changes",
            fields,
            vec!["profile", "permissions", "resources"],
        );
    }
    Ok(())
}
