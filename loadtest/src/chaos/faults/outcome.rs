//! What a scenario came to.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::chaos::ledger::checker::Report;

/// One line of the suite's output.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed of the run.
    pub seed: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// What the checker found.
    #[serde(flatten)]
    pub report: Report,
    /// The same of the ledger in the batch lane, where it had half of the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Report>,
    /// From the end of the last fault until every event acknowledged before it was answered.
    pub recovery_seconds: Option<f64>,
    /// The longest of these times over all faults.
    pub worst_recovery_seconds: Option<f64>,
    /// How long it took altogether.
    pub seconds: f64,
    /// Further figures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// Expectations of the scenario's own that were not met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// Whether all is well.
    pub ok: bool,
    /// Why it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl Outcome {
    /// A scenario that is not run, and why.
    pub fn skipped(scenario: &str, why: &str) -> Self {
        Self {
            scenario: scenario.into(),
            ok: true,
            skipped: Some(why.into()),
            ..Self::default()
        }
    }

    /// A scenario that could not be run to its end.
    pub fn failed(scenario: &str, seed: u64, error: &anyhow::Error) -> Self {
        Self {
            scenario: scenario.into(),
            seed,
            failures: vec![format!("{error:#}")],
            ..Self::default()
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.scenario;
        if let Some(why) = &self.skipped {
            return write!(f, "skip {name}: {why}");
        }
        let word = if self.ok { "ok  " } else { "FAIL" };
        write!(
            f,
            "{word} {name}: {}; {} faults, recovery {:.1} s, {:.1} s",
            counts(&self.report),
            self.faults,
            self.recovery_seconds.unwrap_or_default(),
            self.seconds
        )?;
        if let Some(batch) = &self.batch {
            write!(f, "\n     batch lane: {}", counts(batch))?;
        }
        for (name, value) in &self.figures {
            write!(f, "\n     {name}: {value:.2}")?;
        }
        let batch = self.batch.iter().flat_map(|batch| &batch.notes);
        let notes = self.report.notes.iter().chain(batch);
        for text in self.failures.iter().chain(notes) {
            write!(f, "\n     {text}")?;
        }
        Ok(())
    }
}

/// What the checker has counted, in a line.
fn counts(report: &Report) -> String {
    let Report {
        events,
        raw_duplicates,
        loss,
        visible_duplicates,
        inversions,
        gaps,
        phantoms,
        conflicts,
        chain_mismatches,
        dead_letters,
        ..
    } = report;
    format!(
        "{events} events, loss {loss}, visible duplicates {visible_duplicates}, inversions {inversions}, \
         gaps {gaps}, phantoms {phantoms}, conflicts {conflicts}, chain mismatches {chain_mismatches}, raw \
         duplicates {raw_duplicates}, dead letters {dead_letters}"
    )
}
