//! The routes, for metrics that are shown before anybody asks.

/// Each path with the methods that it takes.
const ROUTES: [(&str, &[&str]); 24] = [
    ("/", &["GET"]),
    ("/health", &["GET"]),
    ("/contexts", &["GET"]),
    ("/v1/metadata/id", &["GET"]),
    ("/v1/metadata/version", &["GET"]),
    ("/subjects", &["GET"]),
    ("/subjects/{subject}", &["POST", "DELETE"]),
    ("/subjects/{subject}/metadata", &["GET"]),
    ("/subjects/{subject}/versions", &["GET", "POST"]),
    ("/subjects/{subject}/versions/{version}", &["GET", "DELETE"]),
    ("/subjects/{subject}/versions/{version}/schema", &["GET"]),
    (
        "/subjects/{subject}/versions/{version}/referencedby",
        &["GET"],
    ),
    ("/schemas", &["GET"]),
    ("/schemas/types", &["GET"]),
    ("/schemas/ids/{id}", &["GET"]),
    ("/schemas/ids/{id}/schema", &["GET"]),
    ("/schemas/ids/{id}/subjects", &["GET"]),
    ("/schemas/ids/{id}/versions", &["GET"]),
    ("/config", &["GET", "PUT", "DELETE"]),
    ("/config/{subject}", &["GET", "PUT", "DELETE"]),
    ("/mode", &["GET", "PUT", "DELETE"]),
    ("/mode/{subject}", &["GET", "PUT", "DELETE"]),
    ("/compatibility/subjects/{subject}/versions", &["POST"]),
    (
        "/compatibility/subjects/{subject}/versions/{version}",
        &["POST"],
    ),
];

/// All of them, such as `GET /subjects`.
pub fn routes() -> impl Iterator<Item = String> {
    ROUTES.iter().flat_map(|(path, methods)| {
        let methods = methods.iter();
        methods.map(move |method| format!("{method} {path}"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    const SOURCES: [&str; 7] = [
        include_str!("mod.rs"),
        include_str!("subjects.rs"),
        include_str!("versions.rs"),
        include_str!("schemas.rs"),
        include_str!("config.rs"),
        include_str!("mode.rs"),
        include_str!("compatibility.rs"),
    ];

    /// The router does not tell its routes.
    #[test]
    fn every_route_is_known() {
        let mut found = BTreeSet::new();
        let calls = SOURCES
            .iter()
            .flat_map(|source| source.split(".route(").skip(1));
        for call in calls {
            let (path, rest) = call.split_once(',').unwrap();
            let path = path.trim().trim_matches('"');
            let handlers = rest.split([';', '}']).next().unwrap();
            for method in ["get", "post", "put", "delete"] {
                let is_taken = [".", " ", "\n"]
                    .iter()
                    .any(|before| handlers.contains(&format!("{before}{method}(")));
                if is_taken && path != "/metrics" {
                    found.insert(format!("{} {path}", method.to_uppercase()));
                }
            }
        }
        assert!(
            found.contains("POST /subjects/{subject}/versions"),
            "{found:?}"
        );
        assert_eq!(super::routes().collect::<BTreeSet<_>>(), found);
    }
}
