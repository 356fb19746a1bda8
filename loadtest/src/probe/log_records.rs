//! Restate's own metrics, above all how much it writes to its log.

/// Restate's counter of what its partitions have taken from their logs.
const LOG_RECORDS: &str = "restate_partition_apply_command_duration_seconds_count";

/// How many records Restate has put into its log since it started, by its metrics at `url`.
pub async fn so_far(url: &str) -> Option<f64> {
    sum(&metrics(url).await?, LOG_RECORDS)
}

/// What a server shows at `url`.
pub async fn metrics(url: &str) -> Option<String> {
    let client = millstream_pipeline::http::client();
    client.get(url).send().await.ok()?.text().await.ok()
}

/// Sum of a metric over its labels.
pub fn sum(text: &str, metric: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        rest.starts_with(['{', ' '])
            .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE a counter\na{x=\"1 2\"} 3\na{x=\"2\"} 4\na_b 5\n";
        assert_eq!(sum(text, "a"), Some(7.0));
        assert_eq!(sum(text, "c"), None);
    }
}
