//! What Restate knows of objects and invocations, by its SQL.

use millstream_pipeline::config::Endpoints;
use serde_json::Value;

use super::{query, until};

/// The state entries of an object: name and JSON.
pub async fn state(endpoints: &Endpoints, service: &str, key: &str) -> Vec<(String, Value)> {
    let sql = format!(
        "SELECT key, value_utf8 FROM state WHERE service_name = '{service}' AND service_key = '{key}'"
    );
    let entry = |row: Value| {
        let text = row["value_utf8"].as_str().expect("an entry is text");
        let json = serde_json::from_str(text).expect("an entry is JSON");
        (row["key"].as_str().unwrap().to_owned(), json)
    };
    query(&endpoints.restate_admin, &sql)
        .await
        .into_iter()
        .map(entry)
        .collect()
}

/// The same once nothing of the object is under way: a state is written after the result that tells of it.
pub async fn settled_state(
    endpoints: &Endpoints,
    service: &str,
    key: &str,
) -> Vec<(String, Value)> {
    let sql = format!(
        "SELECT id FROM sys_invocation WHERE target_service_name = '{service}' \
         AND target_service_key = '{key}' AND status <> 'completed'"
    );
    until(
        &format!("{service}/{key} to have nothing to do"),
        async || {
            let unfinished = query(&endpoints.restate_admin, &sql).await;
            unfinished.is_empty().then_some(())
        },
    )
    .await;
    state(endpoints, service, key).await
}

/// The journal of each invocation of an object, such as `["Command: Input", ..]`, by its status.
pub async fn journals(
    endpoints: &Endpoints,
    service: &str,
    key: &str,
) -> Vec<(String, Vec<String>)> {
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let sql = format!(
        "SELECT id, status FROM sys_invocation \
         WHERE target_service_name = '{service}' AND target_service_key = '{key}'"
    );
    let mut journals = Vec::new();
    for row in query(&endpoints.restate_admin, &sql).await {
        let sql = format!(
            "SELECT index, entry_type FROM sys_journal WHERE id = '{}' ORDER BY index",
            text(&row, "id")
        );
        let entries = query(&endpoints.restate_admin, &sql).await;
        let types = entries.iter().map(|entry| text(entry, "entry_type"));
        journals.push((text(&row, "status"), types.collect()));
    }
    journals
}
