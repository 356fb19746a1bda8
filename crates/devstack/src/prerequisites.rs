//! What the dev stack needs from the machine: Java always, Maven and npm until everything is
//! fetched, setpriv for root; or else Docker.
//!
//! Whatever is missing is named in one message, before anything is started or fetched.

use std::path::PathBuf;
use std::process::Command;

use super::error::DevStackError;
use super::versions;

/// Which programs this start needs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// A Java runtime, to run Kafka.
    pub java: bool,
    /// Maven, to get Kafka or Postgres.
    pub maven: bool,
    /// npm, to get Restate.
    pub npm: bool,
    /// setpriv, to run Postgres when we are root.
    pub setpriv: bool,
}

/// Where Kafka, Restate and Postgres run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// In containers.
    Docker,
    /// On this machine, without any.
    Local,
}

impl With {
    /// The one that is `wanted`, else the machine itself where all that this takes is there, else
    /// containers. `local` looks for the former and `docker` for Docker; an error names both ways.
    pub fn choose(
        wanted: Option<Self>,
        local: impl FnOnce() -> Result<(), DevStackError>,
        docker: impl FnOnce() -> Result<(), String>,
    ) -> Result<Self, DevStackError> {
        if wanted == Some(Self::Docker) {
            return docker().map(|()| Self::Docker).map_err(|why| {
                let instead = match local() {
                    Ok(()) => "Or leave out `--with docker`: everything is here without it".into(),
                    Err(missing) => format!("Or without it: {missing}"),
                };
                let text =
                    format!("Docker does not answer ({why}): install or start it.\n{instead}");
                DevStackError::Missing(text)
            });
        }
        let missing = match local() {
            Ok(()) => return Ok(Self::Local),
            Err(missing) => missing,
        };
        let instead = match (wanted, docker()) {
            (None, Ok(())) => return Ok(Self::Docker),
            (_, Ok(())) => "Or leave out `--with local`: Docker is here".to_owned(),
            (_, Err(why)) => format!("Docker does not answer ({why})"),
        };
        let text = format!(
            "{missing}\nOr let Docker run Kafka, Restate and Postgres in containers: `--with docker`, \
             which is chosen by itself where Docker answers. {instead}"
        );
        Err(DevStackError::Missing(text))
    }
}

/// The Java program: that of `JAVA_HOME`, as Maven takes it, else the one in `PATH`.
pub fn java() -> PathBuf {
    std::env::var_os("JAVA_HOME")
        .map(|home| PathBuf::from(home).join("bin/java"))
        .filter(|java| java.is_file())
        .unwrap_or_else(|| PathBuf::from("java"))
}

/// Looks for everything that is needed.
pub fn check(needs: Needs) -> Result<(), DevStackError> {
    let mut missing = Vec::new();
    if needs.java {
        match output_of(&java().to_string_lossy(), "-version").map(|text| java_version(&text)) {
            Some(Some(version)) if version < versions::JAVA => missing.push(Missing {
                what: format!("Java {} or newer (found {version})", versions::JAVA),
                why: "runs Kafka",
                debian: "openjdk-17-jre-headless",
                brew: "openjdk@17",
            }),
            // A version that we cannot read is left to Kafka to judge.
            Some(_) => {}
            None => missing.push(Missing {
                what: format!("Java {} or newer (`java`)", versions::JAVA),
                why: "runs Kafka",
                debian: "openjdk-17-jre-headless",
                brew: "openjdk@17",
            }),
        }
    }
    if needs.maven && output_of("mvn", "--version").is_none() {
        missing.push(Missing {
            what: "Maven (`mvn`)".into(),
            why: "gets Kafka and Postgres, once",
            debian: "maven",
            brew: "maven",
        });
    }
    if needs.npm && output_of("npm", "--version").is_none() {
        missing.push(Missing {
            what: "npm".into(),
            why: "gets Restate, once",
            debian: "npm",
            brew: "node",
        });
    }
    if needs.setpriv && output_of("setpriv", "--version").is_none() {
        missing.push(Missing {
            what: "setpriv, or a user other than root".into(),
            why: "Postgres does not run as root",
            debian: "util-linux",
            brew: "util-linux",
        });
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(DevStackError::Missing(message(&missing)))
    }
}

struct Missing {
    what: String,
    why: &'static str,
    debian: &'static str,
    brew: &'static str,
}

fn message(missing: &[Missing]) -> String {
    let lines: String = missing
        .iter()
        .map(|each| format!("  {}: {}\n", each.what, each.why))
        .collect();
    let debian: Vec<_> = missing.iter().map(|each| each.debian).collect();
    let brew: Vec<_> = missing.iter().map(|each| each.brew).collect();
    format!(
        "the dev stack needs programs that are not installed:\n{lines}Install them and start again:\n  Debian, Ubuntu: sudo apt-get install {}\n  macOS: brew install {}",
        debian.join(" "),
        brew.join(" ")
    )
}

/// What the program prints, on either stream; `None` when it cannot be run or fails.
fn output_of(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    output.status.success().then(|| {
        String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout)
    })
}

/// The major version in what `java -version` prints: `version "17.0.15"` is 17, `"1.8.0_402"` is 8.
fn java_version(text: &str) -> Option<u32> {
    let quoted = text.split("version \"").nth(1)?;
    let mut numbers = quoted
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_java_versions() {
        assert_eq!(
            java_version("openjdk version \"17.0.15\" 2025-04-15"),
            Some(17)
        );
        assert_eq!(java_version("java version \"1.8.0_402\""), Some(8));
        assert_eq!(
            java_version("Picked up X\nopenjdk version \"25\" 2025-09-16"),
            Some(25)
        );
        assert_eq!(java_version("openjdk version \"22-ea\""), Some(22));
        assert_eq!(java_version("something else"), None);
    }

    #[test]
    fn containers_are_taken_where_programs_are_missing_and_one_message_names_both_ways() {
        let choose = |wanted, is_local: bool, is_docker: bool| {
            let local = || match is_local {
                true => Ok(()),
                false => Err(DevStackError::Missing("install maven".into())),
            };
            let docker = || match is_docker {
                true => Ok(()),
                false => Err("no daemon".to_owned()),
            };
            With::choose(wanted, local, docker).map_err(|error| error.to_string())
        };
        let (local, docker) = (Some(With::Local), Some(With::Docker));
        assert_eq!(choose(None, true, true), Ok(With::Local));
        assert_eq!(choose(None, true, false), Ok(With::Local));
        assert_eq!(choose(None, false, true), Ok(With::Docker));
        assert_eq!(choose(docker, true, true), Ok(With::Docker));
        assert_eq!(choose(local, true, true), Ok(With::Local));
        for (wanted, is_local, is_docker) in [
            (None, false, false),
            (local, false, false),
            (docker, false, false),
        ] {
            let told = choose(wanted, is_local, is_docker).unwrap_err();
            let names_both = told.contains("install maven") && told.contains("no daemon");
            assert!(names_both, "{wanted:?}: {told}");
        }
        assert!(
            choose(local, false, true)
                .unwrap_err()
                .contains("install maven")
        );
        assert!(
            choose(docker, true, false)
                .unwrap_err()
                .contains("leave out")
        );
    }

    #[test]
    fn names_everything_that_is_missing_at_once() {
        let one = |what: &str, debian, brew| Missing {
            what: what.into(),
            why: "x",
            debian,
            brew,
        };
        let text = message(&[one("Java", "openjdk", "jdk"), one("npm", "npm", "node")]);
        assert!(text.contains("apt-get install openjdk npm"), "{text}");
        assert!(text.contains("brew install jdk node"), "{text}");
    }
}
