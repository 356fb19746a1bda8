//! The program: what it is made of, and its `main`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use millstream_devstack::{Options, Part};
use millstream_pipeline::events::Declaration;
use millstream_pipeline::kafka;
use millstream_pipeline::observe::telemetry;
use millstream_pipeline::program;
use millstream_pipeline::service::Pipeline;
use restate_sdk::endpoint::Builder;

use crate::commands::Command;
use crate::scenario::Scenario;
use crate::stand_ins::StandIns;
use crate::{logging, output, settings};

/// What every verb knows of the application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub name: &'static str,
    pub version: &'static str,
    pub topics: &'static [&'static Declaration],
    pub scenarios: &'static [Scenario],
    pub stand_ins: Option<StandIns>,
    pub postgres: bool,
    pub dev_settings: &'static [(&'static str, &'static str)],
}

/// What binds the services.
pub(crate) type Handlers<S> = Box<dyn Fn(&Pipeline, &S) -> anyhow::Result<Builder>>;

/// A program with every verb over its own declarations and handlers.
///
/// Data goes to standard output and everything else to standard error. Exit status: 0 when all is
/// well, 1 when something failed, 2 when the arguments are wrong.
pub struct Application<S = ()> {
    about: About,
    handlers: Option<Handlers<S>>,
}

/// Durable handlers fed from Kafka, answered on Kafka.
#[derive(Parser)]
#[command(propagate_version = true)]
struct Arguments<S: Args> {
    /// Settings of the Kafka clients, such as TLS and SASL: a properties file with the names of
    /// librdkafka; MILLSTREAM_KAFKA_SASL_PASSWORD and so on win over it
    #[arg(
        long,
        global = true,
        env = "MILLSTREAM_KAFKA_CONFIG",
        value_name = "FILE"
    )]
    kafka_config: Option<OsString>,
    #[command(subcommand)]
    command: Command<S>,
}

impl Application {
    /// A program of this name. Its consumer groups begin with the name, transactions and Restate's
    /// Kafka cluster bear it, unless `--prefix` and `--cluster` say otherwise. `topics` is the
    /// `TOPICS` that the build script makes.
    pub fn new(name: &'static str, topics: &'static [&'static Declaration]) -> Self {
        Self {
            about: About {
                name,
                version: concat!("with millstream ", env!("CARGO_PKG_VERSION")),
                topics,
                scenarios: &[],
                stand_ins: None,
                postgres: false,
                dev_settings: &[],
            },
            handlers: None,
        }
    }

    /// Settings that the handlers take from outside: a struct that derives `clap::Args`. Each is a
    /// flag of `serve`, `dev` and `demo`, and shows in their `--help`. With `#[group(skip)]` such
    /// structs may be flattened into one another whatever they are called.
    pub fn settings<S: Args>(self) -> Application<S> {
        let bound = self.handlers;
        Application {
            about: self.about,
            handlers: bound.map(|bind| -> Handlers<S> {
                Box::new(move |pipeline, _: &S| bind(pipeline, &()))
            }),
        }
    }
}

impl<S: Args> Application<S> {
    /// How the services are bound, given the way to Kafka and the registry, and the settings. It is
    /// called once, by `serve`, in the runtime that the handlers run in.
    pub fn handlers(
        mut self,
        bind: impl Fn(&Pipeline, &S) -> anyhow::Result<Builder> + 'static,
    ) -> Self {
        self.handlers = Some(Box::new(bind));
        self
    }

    /// What `demo` plays.
    pub fn scenarios(mut self, scenarios: &'static [Scenario]) -> Self {
        self.about.scenarios = scenarios;
        self
    }

    /// Processes that `dev` and `demo` start in place of systems outside.
    pub fn stand_ins(mut self, stand_ins: StandIns) -> Self {
        self.about.stand_ins = Some(stand_ins);
        self
    }

    /// Lets `dev` and `demo` start a Postgres. The handlers have its URL in the variable
    /// `MILLSTREAM_POSTGRES` and in [`Pipeline::endpoints`].
    pub fn postgres(mut self) -> Self {
        self.about.postgres = true;
        self
    }

    /// Settings that are others in `dev` and `demo` than in earnest, unless they are given: the name
    /// of the flag, without its hyphens in front, and its value.
    pub fn dev_settings(mut self, settings: &'static [(&'static str, &'static str)]) -> Self {
        self.about.dev_settings = settings;
        self
    }

    /// What `--version` says behind the name.
    pub fn version(mut self, version: &'static str) -> Self {
        self.about.version = version;
        self
    }

    /// How a dev stack of this application is started, with its parts run by `binary`, which is its
    /// program.
    pub fn dev_options(&self, binary: impl Into<PathBuf>) -> Options {
        self.about.dev_options(binary)
    }

    /// Reads the arguments, does what they say, and answers the exit status.
    pub fn main(self) -> ExitCode {
        program::set_name(self.about.name);
        let mut command = match self.command() {
            Ok(command) => command,
            Err(error) => {
                output::error(&error);
                return ExitCode::FAILURE;
            }
        };
        let matches = command.get_matches_mut();
        let Arguments {
            kafka_config,
            command,
        } = match Arguments::<S>::from_arg_matches(&matches) {
            Ok(arguments) => arguments,
            Err(error) => error.format(&mut command).exit(),
        };
        logging::init(command.log_filter());
        if let Some(part) = command.traced_part()
            && let Err(error) = telemetry::start(format!("{}-{part}", self.about.name))
        {
            let error = anyhow::Error::from(error).context(
                "spans cannot be exported; correct or unset OTEL_EXPORTER_OTLP_ENDPOINT and the like",
            );
            output::error(&error);
            return ExitCode::FAILURE;
        }
        let runtime = match tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => {
                output::error(&error.into());
                return ExitCode::FAILURE;
            }
        };
        if let Err(error) = set_kafka_options(kafka_config) {
            output::error(&error.into());
            return ExitCode::FAILURE;
        }
        let result = runtime.block_on(command.run(&self.about, self.handlers));
        // A thread that still reads standard input must not hold up the end.
        runtime.shutdown_background();
        telemetry::stop();
        result.unwrap_or_else(|error| {
            output::error(&error);
            ExitCode::FAILURE
        })
    }

    /// The arguments that it takes.
    fn command(&self) -> anyhow::Result<clap::Command> {
        let About { name, version, .. } = self.about;
        let command = Arguments::<S>::command().name(name).version(version);
        let command = crate::commands::of_application(command, &self.about);
        let stand_ins = self.about.stand_ins.map_or(&[][..], |it| it.paths);
        settings::in_dev::<S>(command, self.about.dev_settings, stand_ins)
    }
}

impl About {
    /// As [`Application::dev_options`].
    pub fn dev_options(&self, binary: impl Into<PathBuf>) -> Options {
        let is_wanted = |part: &Part| match part {
            Part::Guard => self.topics.iter().any(|topic| topic.guard),
            Part::StandIns => self.stand_ins.is_some(),
            Part::Postgres => self.postgres,
            part => !part.is_of_cluster(),
        };
        let mut options = Options::new(binary);
        options.parts = Part::ALL.into_iter().filter(is_wanted).collect();
        options.topics = self.topics;
        if let Some(stand_ins) = &self.stand_ins {
            options.stand_in_paths = stand_ins.paths;
            options.stand_in_variables = stand_ins.variables;
        }
        options
    }
}

fn set_kafka_options(file: Option<OsString>) -> Result<(), kafka::OptionsError> {
    // An empty variable says that there is none.
    let file = file.filter(|file| !file.is_empty());
    // A variable that is not text is none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    kafka::Options::read(file.as_deref().map(Path::new), variables)?.set()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Args)]
    struct Settings {
        /// URL of the carrier
        #[arg(
            long,
            default_value = "http://localhost:1/carrier",
            env = "SHOP_CARRIER"
        )]
        carrier: String,
    }

    #[test]
    fn the_arguments_of_all_verbs_are_sound() {
        let plain = Application::new("shop", &[]);
        plain.command().unwrap().debug_assert();
        let with_settings = plain.settings::<Settings>();
        let mut command = with_settings.command().unwrap();
        command.clone().debug_assert();
        for verb in ["serve", "dev", "demo"] {
            let verb = command.find_subcommand_mut(verb).unwrap();
            assert!(verb.render_help().to_string().contains("--carrier"));
        }
        let plan = ["shop", "plan"];
        let matches = command.try_get_matches_from(plan).unwrap();
        let parsed = Arguments::<Settings>::from_arg_matches(&matches).unwrap();
        assert!(matches!(parsed.command, Command::Plan(_)));
    }

    #[test]
    fn a_dev_stack_starts_nothing_that_is_not_asked_for() {
        let plain = Application::new("shop", &[]);
        let parts = plain.dev_options("shop").parts;
        for part in [Part::StandIns, Part::Postgres, Part::Guard, Part::Kafka2] {
            assert!(!parts.contains(&part), "{part}");
        }
        assert!(parts.contains(&Part::Handlers) && parts.contains(&Part::Gateway));
        assert!(
            plain
                .postgres()
                .dev_options("shop")
                .parts
                .contains(&Part::Postgres)
        );
    }
}
