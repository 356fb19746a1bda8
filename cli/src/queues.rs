//! Settings of delayed-queue, reminders and priority-queue.

/// Settings of the patterns that wait: task queue, reminders, priority queue.
#[derive(Debug, clap::Args)]
pub struct QueueArgs {
    /// Milliseconds before a failed task is tried again; twice as long each further time
    #[arg(
        long,
        default_value_t = 1000,
        env = "MILLSTREAM_TASK_RETRY_DELAY_MS",
        value_name = "MS"
    )]
    pub task_retry_delay_ms: u64,
    /// Milliseconds between two reminders of an unpaid invoice; a day by default
    #[arg(
        long,
        default_value_t = 24 * 60 * 60 * 1000,
        env = "MILLSTREAM_REMINDER_INTERVAL_MS",
        value_name = "MS"
    )]
    pub reminder_interval_ms: u64,
    /// Expensive calls that run at once
    #[arg(
        long,
        default_value_t = 10,
        env = "MILLSTREAM_CALLS_IN_FLIGHT",
        value_name = "COUNT"
    )]
    pub calls_in_flight: usize,
    /// Milliseconds that an expensive call takes
    #[arg(
        long,
        default_value_t = 5000,
        env = "MILLSTREAM_CALL_DURATION_MS",
        value_name = "MS"
    )]
    pub call_duration_ms: u64,
    /// Milliseconds that an expensive call may hold its slot
    #[arg(
        long,
        default_value_t = 60_000,
        env = "MILLSTREAM_CALL_DEADLINE_MS",
        value_name = "MS"
    )]
    pub call_deadline_ms: u64,
}
