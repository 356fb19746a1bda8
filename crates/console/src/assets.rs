//! The page, kept in the program.

use axum::Router;
use axum::http::header;
use axum::routing::get;

/// Path, type and text of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("../assets/index.html")),
    ("/style.css", CSS, include_str!("../assets/style.css")),
    ("/icon.svg", SVG, include_str!("../assets/icon.svg")),
    ("/main.js", JS, include_str!("../assets/main.js")),
    ("/api.js", JS, include_str!("../assets/api.js")),
    ("/dom.js", JS, include_str!("../assets/dom.js")),
    ("/form.js", JS, include_str!("../assets/form.js")),
    ("/layout.js", JS, include_str!("../assets/layout.js")),
    ("/record.js", JS, include_str!("../assets/record.js")),
    (
        "/views/flow.js",
        JS,
        include_str!("../assets/views/flow.js"),
    ),
    (
        "/views/letters.js",
        JS,
        include_str!("../assets/views/letters.js"),
    ),
    (
        "/views/topics.js",
        JS,
        include_str!("../assets/views/topics.js"),
    ),
    (
        "/views/objects.js",
        JS,
        include_str!("../assets/views/objects.js"),
    ),
    (
        "/views/timers.js",
        JS,
        include_str!("../assets/views/timers.js"),
    ),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The routes of all files.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    for (path, kind, text) in FILES {
        let file = || async { ([(header::CONTENT_TYPE, *kind)], *text) };
        router = router.route(path, get(file));
    }
    router
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_or_is_made_of_text() {
        for (path, _, text) in FILES {
            let foreign = ["https://", "http://"].iter().any(|scheme| {
                let mut found = text.match_indices(scheme);
                found.any(|(at, _)| !text[at..].starts_with("http://www.w3.org/"))
            });
            assert!(!foreign, "{path} names another host");
            for unsafe_sink in [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
            ] {
                assert!(!text.contains(unsafe_sink), "{path} uses {unsafe_sink}");
            }
        }
    }

    #[test]
    fn every_module_that_is_imported_is_there() {
        for (path, kind, text) in FILES.iter().filter(|file| file.1 == JS) {
            for (_, rest) in text
                .match_indices("from \"")
                .map(|(at, it)| text.split_at(at + it.len()))
            {
                let name = rest.split('"').next().unwrap_or_default();
                let is_there = FILES.iter().any(|file| file.0 == name && file.1 == *kind);
                assert!(is_there, "{path} imports {name}");
            }
        }
    }
}
