//! Getting programs from Maven Central and npm into a cache that all clones of a user share.
//!
//! A folder in the cache is complete or absent: everything is put into a temporary folder, which is
//! renamed at the end, under a lock that lets one process fetch at a time. What is there is used
//! without asking the network. The user's own mirrors apply, since `mvn` and `npm` do the work.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::error::DevStackError;
use super::progress::{Progress, Step};
use super::versions;

const MAVEN_SETTINGS: &str = "~/.m2/settings.xml";

/// A program that can be fetched.
#[derive(Debug, Clone)]
pub struct Program {
    /// What people call it, with its version.
    pub title: String,
    /// Its folder in the cache; contains the version.
    pub folder: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a program comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Jars with all that they need, from Maven: `group:artifact:version`. They end in `libs/`.
    Maven(Vec<String>),
    /// A jar from Maven, `group:artifact:version`, that holds a tar packed by xz, which is unpacked.
    PackedJar(String),
    /// One npm package, `name@version`. It ends in `node_modules/`.
    Npm(String),
}

/// Kafka.
pub fn kafka() -> Program {
    Program {
        title: format!("Kafka {}", versions::KAFKA),
        folder: format!("kafka-{}", versions::KAFKA),
        source: Source::Maven(versions::kafka_coordinates()),
    }
}

/// Restate's server.
pub fn restate() -> Program {
    Program {
        title: format!("Restate {}", versions::RESTATE),
        folder: format!("restate-{}", versions::RESTATE),
        source: Source::Npm(format!(
            "{}@{}",
            versions::RESTATE_PACKAGE,
            versions::RESTATE
        )),
    }
}

/// Postgres; `None` where there is none for this kind of machine.
pub fn postgres() -> Option<Program> {
    Some(Program {
        title: format!("Postgres {}", versions::POSTGRES),
        folder: format!("postgres-{}", versions::POSTGRES),
        source: Source::PackedJar(versions::postgres_coordinate()?),
    })
}

/// The cache: `MILLSTREAM_CACHE`, else `millstream` in the user's cache folder.
pub fn cache() -> Result<PathBuf, DevStackError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("MILLSTREAM_CACHE")
        .map(PathBuf::from)
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("millstream")))
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache/millstream")))
        .and_then(|cache| std::path::absolute(cache).ok())
        .ok_or(DevStackError::NoCache)
}

/// Whether the program is in the cache.
pub fn is_there(cache: &Path, program: &Program) -> bool {
    cache.join(&program.folder).is_dir()
}

/// The program's folder in the cache, fetched if it is not there.
pub async fn fetch(
    cache: &Path,
    program: &Program,
    progress: &Progress,
) -> Result<PathBuf, DevStackError> {
    let folder = cache.join(&program.folder);
    if is_there(cache, program) {
        return Ok(folder);
    }
    let step = progress.step(format!("{}: getting it, once", program.title));
    std::fs::create_dir_all(cache)
        .map_err(DevStackError::file("cannot make the cache folder", cache))?;
    let _lock = lock(&cache.join(format!(".{}.lock", program.folder)), &step).await?;
    if is_there(cache, program) {
        step.done(&format!("{}: another process got it", program.title));
        return Ok(folder);
    }
    // Whoever left one of these is gone, or it would hold the lock.
    let unfinished = cache.join(format!(".{}.unfinished", program.folder));
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(DevStackError::file(
            "cannot remove the unfinished",
            &unfinished,
        ))?;
    }
    std::fs::create_dir_all(&unfinished)
        .map_err(DevStackError::file("cannot make", &unfinished))?;
    match &program.source {
        Source::Maven(coordinates) => maven(program, coordinates, &unfinished, &step).await?,
        Source::PackedJar(coordinate) => {
            packed_jar(program, coordinate, &unfinished, &step).await?
        }
        Source::Npm(package) => npm(program, package, &unfinished, &step).await?,
    }
    std::fs::rename(&unfinished, &folder)
        .map_err(DevStackError::file("cannot rename into place", &unfinished))?;
    step.done(&format!("{}: fetched", program.title));
    Ok(folder)
}

/// Gets every program that is not in the cache, and starts none; their folders.
pub async fn fetch_all(progress: &Progress) -> Result<Vec<PathBuf>, DevStackError> {
    let cache = cache()?;
    let mut folders = Vec::new();
    for program in [Some(kafka()), Some(restate()), postgres()]
        .iter()
        .flatten()
    {
        folders.push(fetch(&cache, program, progress).await?);
    }
    Ok(folders)
}

/// Waits until this process alone may fetch.
async fn lock(path: &Path, step: &Step) -> Result<std::fs::File, DevStackError> {
    let file = std::fs::File::create(path).map_err(DevStackError::file("cannot open", path))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                step.detail("another process is getting it");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(DevStackError::file("cannot lock", path)(source));
            }
        }
    }
}

async fn maven(
    program: &Program,
    coordinates: &[String],
    into: &Path,
    step: &Step,
) -> Result<(), DevStackError> {
    let command = mvn("copy-dependencies", coordinates, into, "libs")?;
    run(command, "mvn", MAVEN_SETTINGS, program, step).await
}

/// Maven opens the jar, and tar what is in it.
async fn packed_jar(
    program: &Program,
    coordinate: &str,
    into: &Path,
    step: &Step,
) -> Result<(), DevStackError> {
    let command = mvn("unpack-dependencies", &[coordinate.to_owned()], into, "jar")?;
    run(command, "mvn", MAVEN_SETTINGS, program, step).await?;
    let jar = into.join("jar");
    let cannot_read = |source| DevStackError::file("cannot read", &jar)(source);
    let archive = std::fs::read_dir(&jar)
        .map_err(cannot_read)?
        .flatten()
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "txz"))
        .ok_or_else(|| cannot_read(std::io::Error::other("there is no .txz in it")))?;
    let tar = jar.join("unpacked.tar");
    unpack_xz(&archive, &tar).await?;
    let mut command = Command::new("tar");
    command.arg("-xf").arg(&tar).arg("-C").arg(into);
    run(command, "tar", "none", program, step).await?;
    std::fs::remove_dir_all(&jar).map_err(DevStackError::file("cannot remove", &jar))
}

/// Here and not by tar, which needs a program of its own for it.
async fn unpack_xz(archive: &Path, into: &Path) -> Result<(), DevStackError> {
    let (archive, into) = (archive.to_owned(), into.to_owned());
    let unpack = move || {
        let packed =
            std::fs::File::open(&archive).map_err(DevStackError::file("cannot read", &archive))?;
        let mut packed = lzma_rust2::XzReader::new(std::io::BufReader::new(packed), true);
        std::fs::File::create(&into)
            .and_then(|mut tar| std::io::copy(&mut packed, &mut tar))
            .map(|_| ())
            .map_err(DevStackError::file("cannot unpack into", &into))
    };
    let unpacked = tokio::task::spawn_blocking(unpack).await;
    unpacked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn mvn(
    goal: &str,
    coordinates: &[String],
    into: &Path,
    output: &str,
) -> Result<Command, DevStackError> {
    let pom = into.join("pom.xml");
    std::fs::write(&pom, pom_of(coordinates)).map_err(DevStackError::file("cannot write", &pom))?;
    let mut command = Command::new("mvn");
    command
        .arg("-B")
        .arg("-f")
        .arg(&pom)
        .arg(format!(
            "org.apache.maven.plugins:maven-dependency-plugin:{}:{goal}",
            versions::MAVEN_DEPENDENCY_PLUGIN
        ))
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", into.join(output).display()));
    Ok(command)
}

/// A project that needs just these jars. Coordinates are our own constants, so nothing is escaped.
fn pom_of(coordinates: &[String]) -> String {
    let dependencies: String = coordinates
        .iter()
        .map(|each| {
            let mut parts = each.split(':');
            let mut next = || parts.next().unwrap_or_default();
            format!(
                "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>\n",
                next(),
                next(),
                next()
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<modelVersion>4.0.0</modelVersion>\n\
         <groupId>millstream</groupId><artifactId>fetch</artifactId><version>1</version>\
         <packaging>pom</packaging>\n<dependencies>\n{dependencies}</dependencies>\n</project>\n"
    )
}

async fn npm(
    program: &Program,
    package: &str,
    into: &Path,
    step: &Step,
) -> Result<(), DevStackError> {
    let mut command = Command::new("npm");
    command
        .arg("install")
        .arg("--prefix")
        .arg(into)
        .args([
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--no-update-notifier",
        ])
        .arg(package);
    run(command, "npm", "~/.npmrc", program, step).await
}

/// Runs a fetching tool, shows what it downloads and keeps its complaints for the error.
async fn run(
    mut command: Command,
    tool: &'static str,
    settings: &'static str,
    program: &Program,
    step: &Step,
) -> Result<(), DevStackError> {
    let failed = |output: String| DevStackError::Fetch {
        what: program.title.clone(),
        tool,
        settings,
        output,
    };
    let cannot_run = |source| DevStackError::Run {
        program: tool.into(),
        source,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot_run)?;
    let mut complaints = child
        .stderr
        .take()
        .map(|stderr| BufReader::new(stderr).lines());
    let mut lines = child
        .stdout
        .take()
        .map(|stdout| BufReader::new(stdout).lines());
    let mut kept: Vec<String> = Vec::new();
    let mut files = 0_u32;
    let read_complaints = async {
        let mut kept = Vec::new();
        while let Some(lines) = &mut complaints {
            match lines.next_line().await {
                Ok(Some(line)) => kept.push(line),
                _ => break,
            }
        }
        kept
    };
    let read_lines = async {
        while let Some(lines) = &mut lines {
            let Ok(Some(line)) = lines.next_line().await else {
                break;
            };
            if let Some(url) = line.split("Downloading from ").nth(1) {
                files += 1;
                step.detail(&format!(
                    "file {files}, {}",
                    url.rsplit('/').next().unwrap_or(url)
                ));
            } else if line.contains("ERROR") {
                kept.push(line);
            }
        }
    };
    let (complaints, ()) = tokio::join!(read_complaints, read_lines);
    let status = child.wait().await.map_err(cannot_run)?;
    if status.success() {
        return Ok(());
    }
    kept.extend(complaints);
    kept.retain(|line| !line.starts_with("npm warn"));
    // Both tools say first what is wrong and then give advice.
    kept.truncate(6);
    Err(failed(if kept.is_empty() {
        status.to_string()
    } else {
        kept.join("\n")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_names_every_coordinate() {
        let pom = pom_of(&["a:b:1".into(), "c:d:2".into()]);
        assert!(pom.contains("<groupId>a</groupId><artifactId>b</artifactId><version>1</version>"));
        assert!(pom.contains("<groupId>c</groupId><artifactId>d</artifactId><version>2</version>"));
    }

    #[tokio::test]
    async fn what_is_there_is_not_fetched_and_half_is_not_there() {
        let cache = tempfile::tempdir().unwrap();
        let program = Program {
            title: "Nothing".into(),
            folder: "nothing-1".into(),
            source: Source::Npm("no such package".into()),
        };
        std::fs::create_dir(cache.path().join(".nothing-1.unfinished")).unwrap();
        assert!(!is_there(cache.path(), &program));
        std::fs::create_dir(cache.path().join("nothing-1")).unwrap();
        let folder = fetch(cache.path(), &program, &Progress::silent())
            .await
            .unwrap();
        assert_eq!(folder, cache.path().join("nothing-1"));
    }
}
