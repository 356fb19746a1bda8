//! Bringing a dev stack up: lock, leftovers, prerequisites, programs, data, ports, parts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::try_join_all;

use super::data::{self, Data};
use super::docker::{self, Docker};
use super::error::DevStackError;
use super::images::Images;
use super::kafka::Kafka;
use super::keys::Keys;
use super::ports::Ports;
use super::postgres::{self, Postgres};
use super::prerequisites::With;
use super::stack::{DevStack, Lines};
use super::{Options, Part, fetch, leftovers, own, prerequisites, restate};

/// That of the first node; others have their number in its name.
const PORTS: &str = "ports.json";
/// How often other ports are tried when someone takes one between its choice and its use.
const TRIES: u32 = 3;
/// How many processes serve the handlers in a cluster.
const REPLICAS: usize = 2;

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
        let programs = Programs::get(&folder, &options).await?;
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(DevStackError::file("cannot make", &logs))?;
        for part in Part::ALL {
            // A log tells of one run. That there is none is fine.
            let _ = std::fs::remove_file(logs.join(format!("{part}.log")));
        }
        let mut data = Data::open(&folder, options.fresh, options.nodes(), &options.progress)?;
        let keys = Keys::open(&folder, options.topics)?;
        let mut stack = Self::new(folder, lock, keys);
        let mut tries = 1;
        loop {
            let nodes = ports(&stack, &options)?;
            let lines = programs.lines(&stack, &data, &nodes, &options)?;
            stack.set(nodes.clone(), lines.lines);
            let step = options
                .progress
                .step(format!("starting {}", list(&options)));
            match bring_up(&stack, &mut data, &lines.kafkas, &programs, &options).await {
                Ok(()) => {
                    step.done(&format!("started {}", list(&options)));
                    if options.announce {
                        stack.announce()?;
                    }
                    return Ok(stack);
                }
                Err(error) => {
                    stack.stop_all().await;
                    if tries == TRIES || become_free(&nodes).await {
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

/// Free ports for each node, those of the last run first.
fn ports(stack: &DevStack, options: &Options) -> Result<Vec<Ports>, DevStackError> {
    let (mut nodes, mut taken) = (Vec::new(), BTreeSet::new());
    for node in 0..options.nodes() {
        let file = match node {
            0 => stack.folder().join(PORTS),
            node => stack.folder().join(format!("ports-{}.json", node + 1)),
        };
        let mut wanted: Vec<Ports> = data::read_json(&file).into_iter().collect();
        if options.usual_ports && node == 0 {
            wanted.push(Ports::usual());
        }
        let ports = Ports::choose_besides(&mut taken, &wanted)?;
        data::write_json(&file, &ports)?;
        nodes.push(ports);
    }
    Ok(nodes)
}

/// Starts Kafka, Restate and Postgres, then what needs them.
async fn bring_up(
    stack: &DevStack,
    data: &mut Data,
    kafkas: &[Kafka],
    programs: &Programs,
    options: &Options,
) -> Result<(), DevStackError> {
    if data.is_new() {
        for kafka in kafkas {
            kafka.format(data).await?;
        }
        data.stamp()?;
    }
    if let Some(postgres) = &programs.postgres {
        postgres.format(data).await?;
    }
    let start = async |part| match options.parts.contains(&part) {
        true => stack.start_part(part).await,
        false => Ok(()),
    };
    let (first, then): (Vec<_>, Vec<_>) = Part::ALL
        .into_iter()
        .partition(|part| *part < Part::Registry);
    try_join_all(first.into_iter().map(start)).await?;
    try_join_all(then.into_iter().map(start)).await?;
    Ok(())
}

/// Whether all ports are free once our own processes are gone: then none was the trouble.
async fn become_free(nodes: &[Ports]) -> bool {
    for _ in 0..20 {
        if nodes.iter().all(Ports::are_free) {
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
    /// What runs them, if not this machine itself.
    docker: Option<Docker>,
}

struct Configured {
    kafkas: Vec<Kafka>,
    lines: Lines,
}

impl Programs {
    async fn get(folder: &Path, options: &Options) -> Result<Self, DevStackError> {
        match With::choose(options.with, || check(options), docker::answers)? {
            With::Local => Self::fetched(options).await,
            With::Docker => Self::contained(folder, options).await,
        }
    }

    /// Those of images, as they lie in these.
    async fn contained(folder: &Path, options: &Options) -> Result<Self, DevStackError> {
        // Also those that made data for a start that was interrupted: nobody wrote these down.
        docker::remove_left(folder).await?;
        let docker = Docker::of(folder)?;
        let has_postgres = options.parts.contains(&Part::Postgres);
        let Images {
            kafka,
            restate,
            postgres,
        } = &docker.images;
        let mut images = vec![kafka, restate];
        images.extend(has_postgres.then_some(postgres));
        let named: Vec<_> = images.iter().map(|image| image.as_str()).collect();
        let said = format!("in containers (`--with docker`): {}", named.join(", "));
        options.progress.say(&said);
        docker::get(&images, &options.progress).await?;
        let name = Part::Postgres.name();
        let postgres = has_postgres.then(|| docker.container(name, postgres));
        Ok(Self {
            kafka: "/opt/kafka".into(),
            restate: "restate-server".into(),
            postgres: postgres.map(Postgres::contained),
            docker: Some(docker),
        })
    }

    async fn fetched(options: &Options) -> Result<Self, DevStackError> {
        let cache = fetch::cache()?;
        let (kafka, restate) = (fetch::kafka(), fetch::restate());
        let postgres = match options.parts.contains(&Part::Postgres) {
            true => Some(where_postgres_is()?),
            false => None,
        };
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
            docker: None,
        })
    }

    fn lines(
        &self,
        stack: &DevStack,
        data: &Data,
        nodes: &[Ports],
        options: &Options,
    ) -> Result<Configured, DevStackError> {
        let (folder, keys, binary) = (stack.folder(), stack.keys(), &options.binary);
        let ports = &nodes[0];
        let postgres = self.postgres.as_ref().map(|_| postgres::url(ports));
        let mut kafkas = Vec::new();
        let mut lines = Lines::new();
        let is_cluster = nodes.len() > 1;
        for part in Part::ALL
            .into_iter()
            .filter(|part| is_cluster || !part.is_of_cluster())
        {
            let at = (part.node(), nodes);
            let contained = |image: fn(&Images) -> &String| {
                let docker = self.docker.as_ref()?;
                Some(docker.container(part.name(), image(&docker.images)))
            };
            let line = match part {
                Part::Kafka | Part::Kafka2 | Part::Kafka3 => {
                    let program = (&*self.kafka, contained(|images| &images.kafka));
                    let kafka = Kafka::configure(program, folder, data, part.node(), nodes)?;
                    let line = kafka.command_line();
                    kafkas.push(kafka);
                    line
                }
                Part::Restate | Part::Restate2 | Part::Restate3 => {
                    let program = (self.restate.clone(), contained(|images| &images.restate));
                    restate::command_line(program, folder, data, at, &keys.restate)?
                }
                Part::Postgres => match &self.postgres {
                    Some(postgres) => postgres.command_line(data, ports),
                    None => continue,
                },
                Part::Registry => own::registry(binary, nodes),
                Part::StandIns => own::stand_ins(binary, nodes, keys),
                Part::Handlers | Part::Handlers2 => {
                    own::handlers(binary, at, keys, postgres.clone(), options)
                }
                Part::Balancer => own::balancer(binary, nodes, REPLICAS),
                Part::Gateway | Part::Gateway2 => own::gateway(binary, at, keys),
                Part::Guard => own::guard(binary, nodes),
                Part::Console => own::console(binary, nodes),
            };
            lines.insert(part, line);
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
        for (part, arguments) in &options.arguments {
            if let Some(line) = lines.get_mut(part) {
                line.arguments.extend(arguments.iter().cloned());
            }
        }
        Ok(Configured { kafkas, lines })
    }
}

/// Whether all is here that it takes to run them on this machine itself.
fn check(options: &Options) -> Result<(), DevStackError> {
    let cache = fetch::cache()?;
    let has_postgres = options.parts.contains(&Part::Postgres);
    let postgres = match has_postgres {
        true => Some(where_postgres_is()?),
        false => None,
    };
    let fetched = match &postgres {
        Some(WherePostgresIs::Fetched(program)) => Some(program),
        _ => None,
    };
    let (kafka, restate) = (fetch::kafka(), fetch::restate());
    let is_absent = |program: &fetch::Program| !fetch::is_there(&cache, program);
    prerequisites::check(prerequisites::Needs {
        java: true,
        maven: is_absent(&kafka) || fetched.is_some_and(is_absent),
        npm: is_absent(&restate),
        setpriv: has_postgres && postgres::are_root(),
    })
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
