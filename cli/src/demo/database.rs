//! A user's row in Postgres: inserted, renamed, read, and credits added in four ways.

use millstream_handlers::database::UNKNOWN_USER;
use millstream_pipeline::events::RequestFailed;
use millstream_pipeline::failure::INVALID_REQUEST;
use millstream_schemas::db_credits::{AddCredits, AddMode, CreditsAdded};
use millstream_schemas::db_users::{
    DurableReadUser, InsertUser, ReadUser, UpdateUserName, UserRead, UserStored,
};
use millstream_topics::{DbCredits, DbUsers};

use super::Run;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let user = run.key("C");
    let insert = InsertUser {
        name: "Emm".into(),
        address: "55, Rue du Faubourg Saint-Honore, 75008 Paris".into(),
        credits: 1337,
    };
    let stored: UserStored = run.request::<DbUsers, _>(&user, insert).await?;
    run.expect("the credits at first", stored.credits, 1337);
    let new_name = "Donald".to_owned();
    let update = UpdateUserName { new_name };
    let stored: UserStored = run.request::<DbUsers, _>(&user, update).await?;
    run.expect("the name as stored", stored.name.as_str(), "Donald");
    for mode in [
        AddMode::AtLeastOnce,
        AddMode::Conditional,
        AddMode::IdempotencyKey,
        AddMode::TwoPhaseCommit,
    ] {
        let add = AddCredits { amount: 12, mode };
        run.request::<DbCredits, CreditsAdded>(&user, add).await?;
    }
    // Nothing fails here, so adding at least once adds once.
    let read: UserRead = run.request::<DbUsers, _>(&user, ReadUser {}).await?;
    run.expect("the credits in the end", read.credits, 1337 + 4 * 12);
    let durable: UserRead = run.request::<DbUsers, _>(&user, DurableReadUser {}).await?;
    run.expect("a durable read", durable, read);

    let nothing = AddCredits {
        amount: 0,
        mode: AddMode::Conditional,
    };
    let refused: RequestFailed = run.request::<DbCredits, _>(&user, nothing).await?;
    run.expect("adding nothing", refused.code.as_str(), INVALID_REQUEST);
    let nobody = run.key("nobody");
    let refused: RequestFailed = run.request::<DbUsers, _>(&nobody, ReadUser {}).await?;
    run.expect("reading nobody", refused.code.as_str(), UNKNOWN_USER);
    Ok(())
}
