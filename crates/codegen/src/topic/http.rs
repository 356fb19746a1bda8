//! The rules for HTTP routes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, Route, Topic};
use crate::{
    problem::Collector,
    schema::{Field, Kind, Schemas, Type, mismatches},
};

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

/// How a template that takes a value from the request as it is may look.
const SOURCES: &str = "$body, $body.member, $body.member as seconds, $raw or $id";

/// Ends a source that is a number of seconds since 1970, for a field that is a timestamp.
const SECONDS: &str = " as seconds";

/// The parts of a template such as `$body.order_id or $id`, which takes the first that is there;
/// `None`: it is text with parameters.
fn sources(template: &str) -> Option<Vec<&str>> {
    template
        .starts_with('$')
        .then(|| template.split(" or ").collect())
}

fn is_source(source: &str) -> bool {
    let (source, is_time) = match source.strip_suffix(SECONDS) {
        Some(source) => (source, true),
        None => (source, false),
    };
    match source.strip_prefix("$body") {
        Some("") => !is_time,
        Some(members) => members
            .strip_prefix('.')
            .is_some_and(|members| members.split('.').all(is_param)),
        None => !is_time && matches!(source, "$raw" | "$id"),
    }
}

fn takes_seconds(template: &str) -> bool {
    let mut sources = sources(template).unwrap_or_default().into_iter();
    sources.any(|source| source.ends_with(SECONDS))
}

fn is_timestamp(ty: &Type) -> bool {
    match ty {
        Type::Optional(inner) => is_timestamp(inner),
        Type::Long(Some(logical)) => logical.starts_with("timestamp-"),
        _ => false,
    }
}

fn is_of_body(source: &str) -> bool {
    source.starts_with("$body") || source == "$raw"
}

pub fn check(topics: &[Topic], schemas: &Schemas, problems: &Collector) {
    let mut routes: BTreeMap<String, &str> = BTreeMap::new();
    for topic in topics {
        for route in &topic.http {
            let checked = Checked {
                topic,
                route,
                schemas,
                problems,
            };
            checked.check();
            if let Some(other) = routes.insert(shape(route), &topic.name) {
                checked.problem(format!(
                    "is a route of the topic `{other}` too: change one."
                ));
            }
        }
    }
}

/// The route with its parameters unnamed: two of the same shape cannot be told apart.
fn shape(route: &Route) -> String {
    let segments = route
        .path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    format!(
        "{} {}",
        route.method,
        segments.collect::<Vec<_>>().join("/")
    )
}

struct Checked<'a> {
    topic: &'a Topic,
    route: &'a Route,
    schemas: &'a Schemas,
    problems: &'a Collector,
}

impl Checked<'_> {
    fn problem(&self, message: String) {
        let Route { method, path, .. } = self.route;
        self.problems
            .add(&self.topic.file, format!("{method} {path} {message}"));
    }

    fn check(&self) {
        let route = self.route;
        if !route.method.is_empty() && !METHODS.contains(&route.method.as_str()) {
            self.problem(format!(
                "has an unknown method: use one of {}.",
                METHODS.join(", ")
            ));
        }
        if self.topic.access == Access::Library {
            self.problem("is on a topic of the library, which nobody writes over HTTP: remove it, or change `access`.".into());
        }
        if route.stripe && self.topic.access == Access::Public {
            self.problem("has a signature, but everybody may write the topic without one: change `access` to \"signed\".".into());
        }
        if route.stripe && route.method != "POST" {
            self.problem("has a signature, which needs a body: use POST.".into());
        }
        let params = self.params();
        let mut used = self.template("key", &route.key, &params);
        if takes_seconds(&route.key) {
            self.problem("takes `key` as seconds, which only a field that is a timestamp can be: remove `as seconds`.".into());
        }
        for (field, template) in &route.fields {
            used.extend(self.template(&format!("fields.{field}"), template, &params));
        }
        for param in params.difference(&used) {
            self.problem(format!(
                "does not use {{{param}}}: use it in `key` or `fields`, or remove it."
            ));
        }
        self.event();
    }

    /// The parameters in the path.
    fn params(&self) -> BTreeSet<String> {
        let path = &self.route.path;
        let mut params = BTreeSet::new();
        let Some(rest) = path.strip_prefix('/') else {
            if !path.is_empty() {
                self.problem("does not begin with /: add it.".into());
            }
            return params;
        };
        for segment in rest.split('/') {
            let param = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            match param {
                Some(param) if is_param(param) => {
                    if !params.insert(param.to_owned()) {
                        self.problem(format!("has {{{param}}} twice: rename one."));
                    }
                }
                None if is_literal(segment) => {}
                _ => self.problem(format!(
                    "has the segment `{segment}`: write a word or a {{parameter}}."
                )),
            }
        }
        params
    }

    /// The parameters in a template.
    fn template(&self, at: &str, template: &str, params: &BTreeSet<String>) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        if let Some(sources) = sources(template) {
            for source in sources {
                if !is_source(source) {
                    self.problem(format!("has `{source}` in `{at}`: write {SOURCES}."));
                } else if is_of_body(source) && self.route.method == "GET" {
                    self.problem(format!(
                        "takes `{at}` from the body, which GET has not: use another method."
                    ));
                }
            }
            return used;
        }
        let mut rest = template;
        while let Some(start) = rest.find(['{', '}', '$']) {
            let Some((param, after)) = rest[start..]
                .strip_prefix('{')
                .and_then(|rest| rest.split_once('}'))
            else {
                self.problem(format!("has the template `{template}` in `{at}`: write text with {{parameters}}, or {SOURCES}."));
                return used;
            };
            if !params.contains(param) {
                self.problem(format!("uses {{{param}}} in `{at}`, which is not in its path: add it there, or correct it."));
            }
            used.insert(param.to_owned());
            rest = after;
        }
        used
    }

    fn event(&self) {
        let route = self.route;
        if route.event.is_empty() {
            return;
        }
        if !self
            .topic
            .events
            .iter()
            .any(|event| event.name == route.event)
        {
            return self.problem(format!(
                "makes `{}`, which is not on this topic: name one of its events.",
                route.event
            ));
        }
        // Without a schema there is a problem already.
        let Some(event) = self.schemas.get(&route.event) else {
            return;
        };
        let field = |name: &str| event.body().find(|field| field.name == *name);
        for (name, template) in &route.fields {
            match field(name) {
                None => self.problem(format!(
                    "sets `{name}`, which `{}` has not: correct it.",
                    route.event
                )),
                Some(field) if sources(template).is_none() && !self.is_scalar(field) => {
                    self.problem(format!("sets `{name}` by a template, but it is no string, number, boolean or enum: use {SOURCES}."));
                }
                Some(field) if takes_seconds(template) && !is_timestamp(&field.ty) => {
                    self.problem(format!(
                        "sets `{name}` as seconds, but it is no timestamp: remove `as seconds`."
                    ));
                }
                Some(_) => {}
            }
        }
        for (name, value) in &route.constants {
            match field(name) {
                None => self.problem(format!(
                    "sets `{name}`, which `{}` has not: correct it.",
                    route.event
                )),
                Some(field) => {
                    for mismatch in mismatches(value, &field.ty, self.schemas) {
                        self.problem(format!(
                            "sets `{name}` to a constant that does not fit its type: {mismatch}."
                        ));
                    }
                }
            }
        }
        let whole = |template: &str| {
            let mut sources = sources(template).unwrap_or_default().into_iter();
            sources.any(|source| matches!(source, "$body" | "$raw"))
        };
        let takes_body = route.fields.iter().any(|(_, template)| whole(template));
        // What the route does not set comes from the body's object.
        let open = route.method != "GET" && !takes_body;
        for field in event.body() {
            let by_template = route.fields.iter().any(|(name, _)| *name == field.name);
            let by_constant = route.constants.iter().any(|(name, _)| *name == field.name);
            if by_template && by_constant {
                self.problem(format!(
                    "sets `{}` in `fields` and in `constants`: remove one.",
                    field.name
                ));
            }
            if !open && !by_template && !by_constant && !matches!(field.ty, Type::Optional(_)) {
                self.problem(format!(
                    "does not set `{}`: add it to `fields` or `constants`, or leave the body to the event.",
                    field.name
                ));
            }
        }
    }

    fn is_scalar(&self, field: &Field) -> bool {
        let ty = match &field.ty {
            Type::Optional(inner) => inner,
            other => other,
        };
        match ty {
            Type::Bytes | Type::Array(_) | Type::Map(_) | Type::Optional(_) => false,
            Type::Named(name) => self
                .schemas
                .get(name)
                .is_some_and(|definition| matches!(definition.kind, Kind::Enum { .. })),
            _ => true,
        }
    }
}

fn is_param(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_literal(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
}
