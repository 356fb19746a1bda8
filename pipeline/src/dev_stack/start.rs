//! Bringing a dev stack up: lock, leftovers, prerequisites, programs, data, ports, parts.

use std::path::PathBuf;
use std::time::Duration;

use super::data::{self, Data};
use super::error::DevStackError;
use super::kafka::Kafka;
use super::keys::Keys;
use super::ports::Ports;
use super::postgres::{self, Postgres};
use super::stack::{DevStack, Lines};
use super::{Options, Part, fetch, leftovers, own, prerequisites, restate};

const PORTS: &str = "ports.json";
/// How often other ports are tried when someone takes one between its choice and its use.
const TRIES: u32 = 3;

impl DevStack {
    /// Gets what is missing and starts the parts; comes back when they answer.
    pub async fn start(options: Options) -> Result<Self, DevStackError> {
        let lock = data::lock(&options.folder)?;
        let folder = options
            .folder
            .canonicalize()
            .map_err(DevStackError::file("cannot find", &options.folder))?;
        let described = folder.join("dev.json");
        if described.exists() {
            std::fs::remove_file(&described)
                .map_err(DevStackError::file("cannot remove the old", &described))?;
        }
        leftovers::stop(&folder, &options.progress).await?;
        let programs = Programs::get(&options).await?;
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(DevStackError::file("cannot make", &logs))?;
        for part in Part::ALL {
            // A log tells of one run. That there is none is fine.
            let _ = std::fs::remove_file(logs.join(format!("{part}.log")));
        }
        let mut data = Data::open(&folder, options.fresh, &options.progress)?;
        let keys = Keys::open(&folder)?;
        let mut stack = Self::new(folder, lock, keys);
        let mut tries = 1;
        loop {
            let mut wanted: Vec<Ports> = data::read_json(&stack.folder().join(PORTS))
                .into_iter()
                .collect();
            if options.usual_ports {
                wanted.push(Ports::usual());
            }
            let ports = Ports::choose(&wanted)?;
            data::write_json(&stack.folder().join(PORTS), &ports)?;
            let lines = programs.lines(&stack, &data, &ports, &options)?;
            stack.set(ports.clone(), lines.lines);
            let step = options
                .progress
                .step(format!("starting {}", list(&options)));
            match bring_up(&stack, &mut data, &lines.kafka, &programs, &options).await {
                Ok(()) => {
                    step.done(&format!("started {}", list(&options)));
                    if options.announce {
                        stack.announce()?;
                    }
                    return Ok(stack);
                }
                Err(error) => {
                    stack.stop_all().await;
                    if tries == TRIES || become_free(&ports).await {
                        return Err(error);
                    }
                    options
                        .progress
                        .say("a port was taken meanwhile; trying others");
                    tries += 1;
                }
            }
        }
    }
}

/// Starts Kafka, Restate and Postgres, then what needs them.
async fn bring_up(
    stack: &DevStack,
    data: &mut Data,
    kafka: &Kafka,
    programs: &Programs,
    options: &Options,
) -> Result<(), DevStackError> {
    if data.is_new() {
        kafka.format(data).await?;
        data.stamp()?;
    }
    if let Some(postgres) = &programs.postgres {
        postgres.format(data).await?;
    }
    let start = async |part| match options.parts.contains(&part) {
        true => stack.start_part(part).await,
        false => Ok(()),
    };
    tokio::try_join!(
        start(Part::Kafka),
        start(Part::Restate),
        start(Part::Postgres)
    )?;
    tokio::try_join!(
        start(Part::Registry),
        start(Part::StandIns),
        start(Part::Handlers),
        start(Part::Gateway),
        start(Part::Guard)
    )?;
    Ok(())
}

/// Whether all ports are free once our own processes are gone: then none was the trouble.
async fn become_free(ports: &Ports) -> bool {
    for _ in 0..20 {
        if ports.are_free() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

fn list(options: &Options) -> String {
    options
        .parts
        .iter()
        .map(|part| part.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The foreign programs. Kafka and Restate are always got, also for a later start.
struct Programs {
    kafka: PathBuf,
    restate: PathBuf,
    postgres: Option<Postgres>,
}

struct Configured {
    kafka: Kafka,
    lines: Lines,
}

impl Programs {
    async fn get(options: &Options) -> Result<Self, DevStackError> {
        let cache = fetch::cache()?;
        let (kafka, restate) = (fetch::kafka(), fetch::restate());
        let postgres = match options.parts.contains(&Part::Postgres) {
            true => Some(where_postgres_is()?),
            false => None,
        };
        let fetched = match &postgres {
            Some(WherePostgresIs::Fetched(program)) => Some(program),
            _ => None,
        };
        let is_absent = |program: &fetch::Program| !fetch::is_there(&cache, program);
        prerequisites::check(prerequisites::Needs {
            java: true,
            maven: is_absent(&kafka) || fetched.is_some_and(is_absent),
            npm: is_absent(&restate),
            setpriv: postgres.is_some() && postgres::are_root(),
        })?;
        let get_postgres = async {
            Ok(match &postgres {
                Some(WherePostgresIs::Installed(programs)) => Some(programs.clone()),
                Some(WherePostgresIs::Fetched(program)) => {
                    let folder = fetch::fetch(&cache, program, &options.progress).await?;
                    Some(folder.join("bin"))
                }
                None => None,
            })
        };
        let (kafka, restate, postgres) = tokio::try_join!(
            fetch::fetch(&cache, &kafka, &options.progress),
            fetch::fetch(&cache, &restate, &options.progress),
            get_postgres
        )?;
        Ok(Self {
            kafka,
            restate: restate::binary(&restate)?,
            postgres: postgres.map(Postgres::new),
        })
    }

    fn lines(
        &self,
        stack: &DevStack,
        data: &Data,
        ports: &Ports,
        options: &Options,
    ) -> Result<Configured, DevStackError> {
        let (folder, keys) = (stack.folder(), stack.keys());
        let kafka = Kafka::configure(&self.kafka, folder, data, ports)?;
        let restate =
            restate::command_line(self.restate.clone(), folder, data, ports, &keys.restate)?;
        let postgres = self.postgres.as_ref().map(|_| postgres::url(ports));
        let mut lines = Lines::from([
            (Part::Kafka, kafka.command_line()),
            (Part::Restate, restate),
            (Part::Registry, own::registry(&options.binary, ports)),
            (Part::StandIns, own::stand_ins(&options.binary, ports, keys)),
            (
                Part::Handlers,
                own::handlers(&options.binary, ports, keys, postgres),
            ),
            (Part::Gateway, own::gateway(&options.binary, ports, keys)),
            (Part::Guard, own::guard(&options.binary, ports)),
        ]);
        if let Some(postgres) = &self.postgres {
            lines.insert(Part::Postgres, postgres.command_line(data, ports));
        }
        for (part, variables) in &options.variables {
            if let Some(line) = lines.get_mut(part) {
                line.set.extend(
                    variables
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone())),
                );
            }
        }
        Ok(Configured { kafka, lines })
    }
}

enum WherePostgresIs {
    Fetched(fetch::Program),
    Installed(PathBuf),
}

/// The installed one that `MILLSTREAM_POSTGRES_BIN` names, else the one to fetch, else any
/// installed one.
fn where_postgres_is() -> Result<WherePostgresIs, DevStackError> {
    let named = std::env::var_os("MILLSTREAM_POSTGRES_BIN").filter(|value| !value.is_empty());
    named
        .map(|programs| WherePostgresIs::Installed(programs.into()))
        .or_else(|| fetch::postgres().map(WherePostgresIs::Fetched))
        .or_else(|| postgres::installed().map(WherePostgresIs::Installed))
        .ok_or_else(|| DevStackError::NoPostgres {
            machine: format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
        })
}
