//! How a list of metrics becomes constants, a struct and a registry.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// From a millisecond to a minute and a half, doubling.
const SECONDS: [f64; 17] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0, 8.0, 16.0,
    32.0, 90.0,
];

/// A kind of metric.
pub(super) trait Metric: Collector + Clone + Sized + 'static {
    fn new(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error>;

    /// Shows this label set from zero on. A kind without labels is shown anyway.
    fn begin(&self, _values: &[String]) {}
}

/// Name, kind, labels, and the columns of each program.
#[cfg(test)]
pub(super) type Defined = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [(super::Program, &'static [super::known::Column])],
);

/// Makes a metric and registers it.
pub(super) fn registered<M: Metric>(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<M, prometheus::Error> {
    let metric = M::new(name, help.trim(), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// A kind without labels.
macro_rules! single {
    ($kind:ty, $options:ident) => {
        impl Metric for $kind {
            fn new(name: &str, help: &str, _: &[&str]) -> Result<Self, prometheus::Error> {
                Self::with_opts($options(name, help))
            }
        }
    };
}

/// A kind with labels.
macro_rules! labelled {
    ($kind:ty, $options:ident) => {
        impl Metric for $kind {
            fn new(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
                Self::new($options(name, help), labels)
            }

            fn begin(&self, values: &[String]) {
                // A test sees that there are as many values as labels.
                let _ = self.get_metric_with_label_values(values);
            }
        }
    };
}

single!(IntCounter, plain);
single!(IntGauge, plain);
single!(Gauge, plain);
single!(Histogram, buckets);
labelled!(IntCounterVec, plain);
labelled!(IntGaugeVec, plain);
labelled!(HistogramVec, buckets);

fn plain(name: &str, help: &str) -> Opts {
    Opts::new(name, help)
}

fn buckets(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(SECONDS.to_vec())
}

/// From `/// help`, `CONSTANT = "name", field: Kind ["label"] from { Program: [column] };` to the
/// constants, the struct `Metrics`, its `make`, and its `begin`.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+
       $constant:ident = $name:literal, $field:ident: $kind:ident [$($label:literal),*]
       $(from { $($program:ident: [$($column:ident),+]),+ })?;)+) => {
        $($(#[doc = $help])+ pub const $constant: &str = $name;)+

        /// The names of all metrics, as they stand above.
        pub const NAMES: &[&str] = &[$($constant),+];

        /// Name, kind, labels, and the columns of each program, for tests.
        #[cfg(test)]
        const DEFINED: &[make::Defined] = &[$((
            $name,
            stringify!($kind),
            &[$($label),*],
            &[$($((Program::$program, &[$(known::$column as known::Column),+])),+)?],
        )),+];

        /// The metrics of this process.
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            fn make() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                Ok(Self {
                    $($field: make::registered(
                        &registry, $constant, concat!($($help),+), &[$($label),*],
                    )?,)+
                    registry,
                })
            }

            /// Shows from zero on what `program` knows that it will count.
            pub fn begin(&self, program: Program, known: &Known<'_>) {
                $($($(
                    if program == Program::$program {
                        for set in known::sets(known, &[$(known::$column as known::Column),+]) {
                            make::Metric::begin(&self.$field, &set);
                        }
                    }
                )+)?)+
            }
        }
    };
}
