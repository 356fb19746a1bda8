//! Control of the stand-in for the system that user updates go to.

use millstream_pipeline::config::Endpoints;

pub struct Directory {
    url: String,
    client: reqwest::Client,
}

impl Directory {
    pub fn of(endpoints: &Endpoints) -> Self {
        let url = endpoints
            .stand_ins
            .as_ref()
            .expect("a dev stack has stand-ins");
        Self {
            url: format!("{url}/user-directory"),
            client: millstream_pipeline::http::client(),
        }
    }

    /// Makes changes of a user fail, or work again.
    pub async fn set_busy(&self, user: &str, busy: bool) {
        let url = format!("{}/busy/{user}", self.url);
        let request = match busy {
            true => self.client.put(url),
            false => self.client.delete(url),
        };
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// The fields of a user that were changed, in order.
    pub async fn changes(&self, user: &str) -> Vec<String> {
        let url = format!("{}/users/{user}", self.url);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}
