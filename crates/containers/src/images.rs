//! Which images are run.

use testcontainers::GenericImage;

/// The image of this name.
pub(crate) fn image(name: &str) -> GenericImage {
    let (name, tag) = parts(name);
    GenericImage::new(name, tag)
}

/// Name and tag. A colon before the last slash belongs to a port.
fn parts(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Images;

    #[test]
    fn a_port_is_no_tag() {
        for (text, name, tag) in [
            ("apache/kafka:4.1.1", "apache/kafka", "4.1.1"),
            ("registry:5000/kafka", "registry:5000/kafka", "latest"),
            ("registry:5000/kafka:4", "registry:5000/kafka", "4"),
            ("postgres", "postgres", "latest"),
        ] {
            assert_eq!(parts(text), (name, tag));
        }
    }

    /// The image has no rust-toolchain.toml, which would make it fetch tools that no build needs.
    #[test]
    fn the_image_is_built_with_our_rust() {
        let toolchain = include_str!("../../../rust-toolchain.toml");
        let channel = toolchain
            .lines()
            .find_map(|line| line.strip_prefix("channel = "))
            .unwrap();
        let from = format!("FROM rust:{}-slim-bookworm", channel.trim_matches('"'));
        assert!(
            include_str!("../../../Dockerfile").contains(&from),
            "{from}"
        );
    }

    /// Every version is named once; docker-compose.yml cannot read Rust.
    #[test]
    fn compose_runs_the_same_images() {
        let compose = include_str!("../../../docker-compose.yml");
        let Images {
            kafka,
            restate,
            postgres,
        } = Images::default();
        for (variable, image) in [
            ("KAFKA", kafka),
            ("RESTATE", restate),
            ("POSTGRES", postgres),
        ] {
            let line = format!("image: ${{MILLSTREAM_{variable}_IMAGE:-{image}}}\n");
            assert!(compose.contains(&line), "docker-compose.yml has no {line}");
        }
    }
}
