//! Control of the stand-in for the social network.

use millstream_pipeline::config::Endpoints;
use serde_json::{Value, json};

pub struct Network {
    url: String,
    client: reqwest::Client,
}

impl Network {
    pub fn of(endpoints: &Endpoints) -> Self {
        let url = endpoints
            .stand_ins
            .as_ref()
            .expect("a dev stack has stand-ins");
        Self {
            url: format!("{url}/social-network"),
            client: millstream_pipeline::http::client(),
        }
    }

    /// What the moderators say of the posts of a user: `PENDING`, `APPROVED` or `REJECTED`.
    pub async fn set_verdict(&self, user: &str, verdict: &str) {
        let url = format!("{}/verdicts/{user}", self.url);
        let request = self.client.put(url).json(&json!(verdict));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// What was called for a user, in order: `create`, `moderation` or `feed`, and the post's id.
    pub async fn calls(&self, user: &str) -> Vec<(String, String)> {
        let url = format!("{}/calls/{user}", self.url);
        let calls = self.client.get(url).send().await.unwrap();
        let calls: Vec<serde_json::Map<String, Value>> = calls.json().await.unwrap();
        let mut named = Vec::new();
        for (name, id) in calls.into_iter().flatten() {
            named.push((name, id.as_str().unwrap().to_owned()));
        }
        named
    }

    /// How often this was called for a user.
    pub async fn count(&self, user: &str, name: &str) -> usize {
        let calls = self.calls(user).await;
        calls.iter().filter(|(called, _)| called == name).count()
    }

    /// The calls that change something, each once.
    pub async fn changes(&self, user: &str) -> Vec<(String, String)> {
        let mut calls = self.calls(user).await;
        calls.retain(|(name, _)| name != "moderation");
        calls.dedup();
        calls
    }
}
