//! What the catalogue's handlers need from outside. Each module declares its own settings, as flags of
//! `serve`.

use std::num::ParseIntError;
use std::time::Duration;

use crate::{
    database, delayed_queue, fan_out, orders, payment_signals, payment_state_machine,
    priority_queue, reminders, state_machine, sync_to_async, transactional_events, user_updates,
};

/// What the catalogue's handlers need from outside.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Of `user-updates`.
    #[command(flatten)]
    pub user_updates: user_updates::Settings,
    /// Of `database`.
    #[command(flatten)]
    pub database: database::Settings,
    /// Of `state-machine`.
    #[command(flatten)]
    pub state_machine: state_machine::Settings,
    /// Of `payment-state-machine`.
    #[command(flatten)]
    pub payments: payment_state_machine::Settings,
    /// Of `fan-out`.
    #[command(flatten)]
    pub fan_out: fan_out::Settings,
    /// Of `orders`.
    #[command(flatten)]
    pub orders: orders::Settings,
    /// Of `transactional-events`.
    #[command(flatten)]
    pub posts: transactional_events::Settings,
    /// Of `sync-to-async`.
    #[command(flatten)]
    pub uploads: sync_to_async::Settings,
    /// Of `payment-signals`.
    #[command(flatten)]
    pub payment_signals: payment_signals::Settings,
    /// Of `delayed-queue`.
    #[command(flatten)]
    pub tasks: delayed_queue::Settings,
    /// Of `reminders`.
    #[command(flatten)]
    pub reminders: reminders::Settings,
    /// Of `priority-queue`.
    #[command(flatten)]
    pub calls: priority_queue::Settings,
}

/// A flag's value in milliseconds.
pub(crate) fn milliseconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn parse(words: &[&str]) -> Result<Settings, clap::Error> {
        let command = Settings::augment_args(Command::new("settings").no_binary_name(true));
        command.clone().debug_assert();
        Settings::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[test]
    fn flags_become_settings() {
        let words = ["--carrier", "http://c", "--call-duration-ms", "250"];
        let settings = parse(&words).unwrap();
        assert_eq!(settings.orders.carrier, "http://c");
        assert_eq!(settings.calls.call_duration, Duration::from_millis(250));
        assert_eq!(settings.payments.payment_expiry, Duration::from_hours(24));
        assert!(parse(&["--busy-delay-ms", "soon"]).is_err());
    }
}
