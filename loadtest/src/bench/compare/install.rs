//! Building the peers that are not Rust, once, into target/peers: by Maven and npm, from the files
//! in peers/. The user's own mirrors apply.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

/// Of Node.js, which its npm packages carry.
const NODE: &str = "22.23.3";
/// Of the Maven plugin that copies jars.
const MAVEN_DEPENDENCY_PLUGIN: &str = "3.8.1";
/// Written when a peer is built; says what of.
const BUILT: &str = ".built";

/// Files of one peer.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its folder in peers/.
    pub name: &'static str,
    /// Its files.
    pub files: &'static [&'static str],
}

/// The TypeScript peer.
pub const TS_RESTATE: Source = Source {
    name: "ts-restate",
    files: &["package.json", "main.ts"],
};

/// The Java peer.
pub const JAVA_RESTATE: Source = Source {
    name: "java-restate",
    files: &[
        "pom.xml",
        "src/main/java/peer/JavaCounter.java",
        "src/main/resources/log4j2.properties",
    ],
};

/// The Kafka Streams peer.
pub const KAFKA_STREAMS: Source = Source {
    name: "kafka-streams",
    files: &[
        "pom.xml",
        "src/main/java/peer/StreamsCounter.java",
        "src/main/resources/simplelogger.properties",
    ],
};

/// The schema of the results of peers that know nothing of Millstream.
pub fn result_schema() -> PathBuf {
    sources().join("shared/counted.avsc")
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/peers")
        .join(name)
}

/// The folder of the TypeScript peer with its packages, and the Node.js that runs it.
pub async fn ts_restate() -> anyhow::Result<(PathBuf, PathBuf)> {
    let package = node_package()?;
    let name = package.split('@').next().unwrap_or_default();
    let node = Path::new("node/node_modules").join(name).join("bin/node");
    let folder = build(&TS_RESTATE, async |folder: &Path| {
        npm(folder, None).await?;
        npm(&folder.join("node"), Some(&package)).await?;
        // npm succeeds where it could not write all files.
        let is_whole = folder.join(&node).is_file();
        ensure!(
            is_whole,
            "npm left files of {package} out; is the disk full?"
        );
        Ok(())
    })
    .await?;
    let node = folder.join(node);
    Ok((folder, node))
}

/// The folder of a Java peer: `target/classes` and `libs` in it.
pub async fn java(source: &Source) -> anyhow::Result<PathBuf> {
    build(source, async |folder: &Path| {
        let avro = "src/main/java/peer/Avro.java";
        std::fs::copy(sources().join("shared/Avro.java"), folder.join(avro))?;
        let mut command = Command::new("mvn");
        command
            .args(["-B", "compile"])
            .arg(format!(
                "org.apache.maven.plugins:maven-dependency-plugin:{MAVEN_DEPENDENCY_PLUGIN}:copy-dependencies"
            ))
            .args(["-DincludeScope=runtime", "-DoutputDirectory=libs"])
            .current_dir(folder);
        run(command, "mvn").await
    })
    .await
}

/// Builds a peer unless it is built of the very same files.
async fn build(
    source: &Source,
    make: impl AsyncFnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = target(source.name);
    std::fs::create_dir_all(target(""))?;
    // One process builds; another that waited finds it built.
    let lock = std::fs::File::create(folder.with_extension("lock"))?;
    tokio::task::block_in_place(|| lock.lock())?;
    let mut hasher = DefaultHasher::new();
    let shared = ["../shared/Avro.java", "../shared/counted.avsc"];
    for file in source.files.iter().chain(&shared) {
        let path = sources().join(source.name).join(file);
        let text = std::fs::read(&path).with_context(|| {
            format!("cannot read {}; run this in the repository", path.display())
        })?;
        (file, text).hash(&mut hasher);
    }
    let stamp = format!("{:x}", hasher.finish());
    let built = folder.join(BUILT);
    if std::fs::read_to_string(&built).is_ok_and(|text| text == stamp) {
        return Ok(folder);
    }
    eprintln!("{}: building it, once", source.name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    for file in source.files {
        let to = folder.join(file);
        std::fs::create_dir_all(to.parent().unwrap_or(&folder))?;
        std::fs::copy(sources().join(source.name).join(file), to)?;
    }
    make(&folder).await?;
    std::fs::write(built, stamp)?;
    Ok(folder)
}

/// The npm package that holds Node.js for this machine. The package `node` would fetch it by a
/// script.
fn node_package() -> anyhow::Result<String> {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => bail!("no package of npm has Node.js for {other}"),
    };
    Ok(format!("node-{system}-{machine}@{NODE}"))
}

async fn npm(folder: &Path, package: Option<&str>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut command = Command::new("npm");
    command
        .args(["install", "--prefix"])
        .arg(folder)
        .args(["--no-audit", "--no-fund", "--ignore-scripts"])
        .args(["--no-update-notifier", "--no-package-lock"])
        .args(package)
        .current_dir(folder);
    run(command, "npm").await
}

async fn run(mut command: Command, tool: &str) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {tool}; install it, and a JDK from 17 on for Java"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let errors: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("ERR"))
        .take(8)
        .collect();
    bail!("{tool} failed ({}):\n{}", output.status, errors.join("\n"))
}
