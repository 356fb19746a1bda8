//! Kafka, Restate and Postgres in containers, where Java, Maven and npm are not at hand: the programs of
//! their images, run with the same arguments, settings, ports and data as without them.
//!
//! A container uses this machine's network and has the stack's folder in its own place, so nothing
//! else differs, and a stack's data is the same either way.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use millstream_pipeline::record::digest::{digest, hex};
use tokio::process::Command;

use super::error::DevStackError;
use super::images::Images;
use super::progress::Progress;

/// The program.
pub const DOCKER: &str = "docker";
/// Names the folder of the stack that a container belongs to.
const LABEL: &str = "millstream.folder";
/// Says who we are inside of a container: `initdb` wants to know, and no image knows our number.
const USERS: &str = "container-users";
/// Comes back when a container is gone, with what its image keeps outside of the stack's folder.
const REMOVE: [&str; 3] = ["rm", "--force", "--volumes"];

/// Containers for one stack.
#[derive(Debug, Clone)]
pub struct Docker {
    folder: PathBuf,
    /// Those that are run.
    pub images: Images,
}

/// A container that a program is run in.
#[derive(Debug, Clone)]
pub struct Container {
    name: String,
    image: String,
    folder: PathBuf,
    /// Number of the user, and of his group.
    user: (u32, u32),
}

/// Why Docker cannot be used, if so.
pub fn answers() -> Result<(), String> {
    let asked = std::process::Command::new(DOCKER)
        .args(["version", "--format", "{{.Server.Version}}"])
        .output();
    match asked {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("`{DOCKER}` is not installed"))
        }
        Err(error) => Err(format!("`{DOCKER}`: {error}")),
    }
}

impl Docker {
    /// For the stack in this folder.
    pub fn of(folder: &Path) -> Result<Self, DevStackError> {
        let (user, group) = ours();
        let users = folder.join(USERS);
        let text = format!(
            "root:x:0:0::/:/bin/sh\nmillstream:x:{user}:{group}::/:/bin/sh\n\
             nobody:x:65534:65534::/:/bin/sh\n"
        );
        std::fs::write(&users, text).map_err(DevStackError::file("cannot write", &users))?;
        Ok(Self {
            folder: folder.to_owned(),
            images: Images::from_env(),
        })
    }

    /// The container of this part, with our rights.
    pub fn container(&self, part: &str, image: &str) -> Container {
        // The same at each start on a folder, and another for each folder.
        let folder = self.folder.to_string_lossy();
        let folder = hex::<6>(&digest(&[folder.as_bytes()]));
        Container {
            name: format!("millstream-{folder}-{part}"),
            image: image.to_owned(),
            folder: self.folder.clone(),
            user: ours(),
        }
    }
}

fn ours() -> (u32, u32) {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    (user.as_raw(), group.as_raw())
}

impl Container {
    /// The same with the rights of this user and group.
    pub fn of_user(self, user: u32, group: u32) -> Self {
        Self {
            user: (user, group),
            ..self
        }
    }

    /// What is run in place of `program`: Docker, with its arguments.
    pub fn words<'v>(
        &self,
        program: &Path,
        arguments: &[OsString],
        variables: impl Iterator<Item = (&'v str, &'v str)>,
    ) -> Vec<OsString> {
        let folder = self.folder.display();
        let users = self.folder.join(USERS);
        let (user, group) = self.user;
        let mut words: Vec<OsString> = [
            DOCKER.to_owned(),
            "run".to_owned(),
            "--rm".to_owned(),
            format!("--name={}", self.name),
            format!("--label={LABEL}={folder}"),
            "--network=host".to_owned(),
            format!("--user={user}:{group}"),
            // Or SELinux keeps it from the folder.
            "--security-opt=label=disable".to_owned(),
            format!(
                "--mount=type=bind,{},{}",
                option("source", &self.folder),
                option("target", &self.folder)
            ),
            format!(
                "--mount=type=bind,{},target=/etc/passwd,readonly",
                option("source", &users)
            ),
        ]
        .map(OsString::from)
        .into();
        words.extend(variables.map(|(name, value)| format!("--env={name}={value}").into()));
        let mut entrypoint = OsString::from("--entrypoint=");
        entrypoint.push(program);
        words.extend([entrypoint, self.image.clone().into()]);
        words.extend_from_slice(arguments);
        words
    }

    /// Kills what runs in it, and removes it: a signal that Docker's program cannot pass on ends that one
    /// alone, and the next one of this name must not meet it.
    pub fn remove(&self) {
        // It may have ended meanwhile, or never begun.
        let _ = std::process::Command::new(DOCKER)
            .args(REMOVE)
            .arg(&self.name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// An option of a mount with a path. Docker reads them as CSV.
fn option(name: &str, path: &Path) -> String {
    let path = path.display().to_string().replace('"', "\"\"");
    format!("\"{name}={path}\"")
}

/// Gets the images that are run with Docker, where they are not here, and starts none; their names.
pub async fn fetch_images(progress: &Progress) -> Result<[String; 3], DevStackError> {
    let Images {
        kafka,
        restate,
        postgres,
    } = Images::from_env();
    get(&[&kafka, &restate, &postgres], progress).await?;
    Ok([kafka, restate, postgres])
}

/// Gets the images that are not here.
pub async fn get(images: &[&String], progress: &Progress) -> Result<(), DevStackError> {
    for image in images {
        if run(&["image", "inspect", image]).await?.status.success() {
            continue;
        }
        let step = progress.step(format!("image {image}: getting it, once"));
        let pulled = run(&["pull", "--quiet", image]).await?;
        if !pulled.status.success() {
            let output = String::from_utf8_lossy(&pulled.stderr);
            return Err(DevStackError::Fetch {
                what: format!("the image {image}"),
                tool: DOCKER,
                settings: "~/.docker/config.json",
                output: output.trim().to_owned(),
            });
        }
        step.done(&format!("image {image}: fetched"));
    }
    Ok(())
}

/// Removes the containers that an earlier stack on this folder left behind.
pub async fn remove_left(folder: &Path) -> Result<(), DevStackError> {
    let filter = format!("label={LABEL}={}", folder.display());
    let Ok(left) = run(&["ps", "--all", "--quiet", "--filter", &filter]).await else {
        // Without the program there are none.
        return Ok(());
    };
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    let left: Vec<_> = left.split_whitespace().collect();
    if !left.is_empty() {
        run(&[&REMOVE[..], &left[..]].concat()).await?;
    }
    Ok(())
}

async fn run(arguments: &[&str]) -> Result<std::process::Output, DevStackError> {
    let output = Command::new(DOCKER)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    output.await.map_err(|source| DevStackError::Run {
        program: DOCKER.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_runs_in_a_container_as_it_would_without() {
        let folder = tempfile::tempdir().unwrap();
        let docker = Docker::of(folder.path()).unwrap();
        let container = docker.container("kafka", "apache/kafka:4");
        let same = docker.container("kafka", "apache/kafka:4");
        assert_eq!(container.name, same.name, "it is found again");
        let variables = [("A", "1 2")].into_iter();
        let words = container.of_user(7, 8).words(
            Path::new("java"),
            &["-cp".into(), "x".into()],
            variables,
        );
        let words: Vec<_> = words.iter().map(|it| it.to_str().unwrap()).collect();
        assert!(words.starts_with(&["docker", "run"]), "{words:?}");
        assert!(words.contains(&"--user=7:8"), "{words:?}");
        let end = [
            "--env=A=1 2",
            "--entrypoint=java",
            "apache/kafka:4",
            "-cp",
            "x",
        ];
        assert!(words.ends_with(&end), "{words:?}");
    }

    #[test]
    fn a_path_ends_no_option_of_a_mount() {
        let path = Path::new("/a,readonly \"b\"");
        let expected = r#""source=/a,readonly ""b""""#;
        assert_eq!(option("source", path), expected);
    }
}
