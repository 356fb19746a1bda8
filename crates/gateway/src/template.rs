//! Templates of keys and fields, as topic files have them.

use serde_json::{Map, Value};

use super::problem::Problem;
use millstream_pipeline::codec::fields::FieldError;

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// Text and parameters in turn.
    Text(Vec<Part>),
    /// The first of these that is there.
    First(Vec<Source>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Literal(String),
    /// A parameter of the path.
    Parameter(String),
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The body.
    Body,
    /// A member of the body.
    Member(Vec<String>),
    /// A member of the body that is seconds since 1970.
    Seconds(Vec<String>),
    /// The body's bytes.
    Raw,
    /// An id made for this request.
    Id,
}

/// What templates take values from.
pub struct Request<'r> {
    /// The path's parameters.
    pub parameters: &'r [(String, String)],
    /// The body; `None`: there is none.
    pub body: Option<&'r Value>,
    /// Its bytes.
    pub raw: &'r [u8],
    /// The id made for it.
    pub id: &'r str,
}

/// A value that a template took.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// Text made of parameters.
    Text(String),
    /// JSON.
    Json(Value),
    /// JSON that is seconds since 1970.
    Seconds(Value),
    /// The body's bytes.
    Raw(Vec<u8>),
    /// The id made for the request.
    Id(String),
}

impl Template {
    /// Reads a template that the build has checked.
    pub fn parse(template: &str) -> Self {
        if template.starts_with('$') {
            return Self::First(template.split(" or ").map(Source::parse).collect());
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((literal, (parameter, after))) = rest
            .split_once('{')
            .and_then(|(literal, rest)| Some((literal, rest.split_once('}')?)))
        {
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::Parameter(parameter.to_owned()));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Self::Text(parts)
    }

    /// Takes a member of the body.
    pub fn member(name: &str) -> Self {
        Self::First(vec![Source::Member(vec![name.to_owned()])])
    }

    /// Whether it may take the whole body.
    pub fn takes_whole(&self) -> bool {
        let mut sources = self.sources().iter();
        sources.any(|source| matches!(source, Source::Body | Source::Raw))
    }

    /// The sources that it may take from.
    pub fn sources(&self) -> &[Source] {
        match self {
            Self::Text(_) => &[],
            Self::First(sources) => sources,
        }
    }

    /// The value for this request; `None` when it is not there.
    pub fn take(&self, request: &Request<'_>) -> Option<Taken> {
        match self {
            Self::Text(parts) => {
                let text = parts.iter().map(|part| match part {
                    Part::Literal(text) => text.as_str(),
                    Part::Parameter(name) => request
                        .parameters
                        .iter()
                        .find(|(known, _)| known == name)
                        .map_or("", |(_, value)| value.as_str()),
                });
                Some(Taken::Text(text.collect()))
            }
            Self::First(sources) => sources.iter().find_map(|source| source.take(request)),
        }
    }
}

impl Source {
    fn parse(source: &str) -> Self {
        let way = |members: &str| members.split('.').map(str::to_owned).collect();
        match (source, source.strip_prefix("$body.")) {
            ("$raw", _) => Self::Raw,
            ("$id", _) => Self::Id,
            (_, None) => Self::Body,
            (_, Some(members)) => match members.strip_suffix(" as seconds") {
                Some(members) => Self::Seconds(way(members)),
                None => Self::Member(way(members)),
            },
        }
    }

    /// The way to a member of the body.
    pub fn way(&self) -> Option<&[String]> {
        match self {
            Self::Member(way) | Self::Seconds(way) => Some(way),
            Self::Body | Self::Raw | Self::Id => None,
        }
    }

    fn take(&self, request: &Request<'_>) -> Option<Taken> {
        match self {
            Self::Body => request.body.cloned().map(Taken::Json),
            Self::Member(way) => member(request.body?, way).map(Taken::Json),
            Self::Seconds(way) => member(request.body?, way).map(Taken::Seconds),
            Self::Raw => Some(Taken::Raw(request.raw.to_vec())),
            Self::Id => Some(Taken::Id(request.id.to_owned())),
        }
    }
}

fn member(body: &Value, way: &[String]) -> Option<Value> {
    way.iter()
        .try_fold(body, |value, name| value.get(name))
        .filter(|value| !value.is_null())
        .cloned()
}

/// Refuses what no template of a route takes: a mistyped name must not go unnoticed.
pub fn check_body<'t>(
    templates: impl Iterator<Item = &'t Template>,
    body: Option<&Value>,
) -> Result<(), Problem> {
    let templates: Vec<&Template> = templates.collect();
    let takes_whole = templates.iter().any(|template| template.takes_whole());
    let Some(body) = body.filter(|_| !takes_whole) else {
        return Ok(());
    };
    let sources = templates.iter().flat_map(|template| template.sources());
    let ways: Vec<&[String]> = sources.filter_map(Source::way).collect();
    let mut errors = Vec::new();
    match body {
        Value::Object(members) => unknown(members, &ways, "", &mut errors),
        Value::Null if ways.is_empty() => {}
        _ if ways.is_empty() => return Err(Problem::bad_request("this route takes no body")),
        _ => return Err(Problem::bad_request("the body must be a JSON object")),
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Problem::bad_fields("this route", errors)),
    }
}

fn unknown(
    members: &Map<String, Value>,
    ways: &[&[String]],
    at: &str,
    errors: &mut Vec<FieldError>,
) {
    for (name, value) in members {
        let field = format!("{at}{name}");
        let inner: Vec<&[String]> = ways
            .iter()
            .filter_map(|way| way.split_first())
            .filter(|(first, _)| *first == name)
            .map(|(_, rest)| rest)
            .collect();
        let is_taken_whole = inner.iter().any(|way| way.is_empty());
        match value {
            _ if inner.is_empty() => errors.push(FieldError {
                field,
                detail: "is not taken by this route".into(),
            }),
            _ if is_taken_whole => {}
            Value::Object(members) => unknown(members, &inner, &format!("{field}."), errors),
            Value::Null => {}
            _ => errors.push(FieldError {
                field,
                detail: "must be an object".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn take(template: &str, body: Option<Value>) -> Option<Taken> {
        let parameters = [
            ("user".to_owned(), "u 1".to_owned()),
            ("n".to_owned(), "7".to_owned()),
        ];
        let request = Request {
            parameters: &parameters,
            body: body.as_ref(),
            raw: b"raw",
            id: "made",
        };
        Template::parse(template).take(&request)
    }

    #[test]
    fn templates_take_from_path_and_body() {
        let text = |text: &str| Some(Taken::Text(text.into()));
        assert_eq!(take("{user}", None), text("u 1"));
        assert_eq!(take("a-{n}-{user}!", None), text("a-7-u 1!"));
        assert_eq!(take("fixed", None), text("fixed"));
        assert_eq!(take("$raw", None), Some(Taken::Raw(b"raw".to_vec())));
        let body = || Some(json!({ "a": { "b": 1 }, "null": null }));
        assert_eq!(take("$body", body()), body().map(Taken::Json));
        assert_eq!(take("$body.a.b", body()), Some(Taken::Json(json!(1))));
        let seconds = take("$body.a.b as seconds", body());
        assert_eq!(seconds, Some(Taken::Seconds(json!(1))));
        assert_eq!(take("$body.null as seconds", body()), None);
        assert_eq!(take("$body.null", body()), None);
        assert_eq!(take("$body.x", body()), None);
        assert_eq!(take("$body.a.b.c", body()), None);
        let made = Some(Taken::Id("made".into()));
        assert_eq!(take("$body.x or $id", body()), made);
        assert_eq!(take("$body.x or $id", None), made);
    }

    #[test]
    fn members_that_nothing_takes_are_refused() {
        let check = |templates: &[&str], body: Value| {
            let templates: Vec<_> = templates.iter().map(|it| Template::parse(it)).collect();
            check_body(templates.iter(), Some(&body))
                .err()
                .map(|problem| problem.body()["detail"].as_str().unwrap().to_owned())
        };
        assert_eq!(check(&["{user}"], json!({})), None);
        assert!(check(&["{user}"], json!("x")).is_some());
        assert_eq!(
            check(
                &["$body.a.b", "$body.c"],
                json!({ "a": { "b": 1 }, "c": {} })
            ),
            None
        );
        let detail = check(&["$body.a.b"], json!({ "a": { "b": 1, "x": 2 } })).unwrap();
        assert!(detail.contains("`a.x`"), "{detail}");
        assert_eq!(check(&["$body.a", "$body"], json!({ "z": 1 })), None);
        assert_eq!(check(&["$body.a", "$raw"], json!({ "z": 1 })), None);
        assert!(check(&["$body.a"], json!([1])).is_some());
        assert!(check(&["$body.a"], json!(null)).is_some());
        let detail = check(&["$body.a.b"], json!({ "a": 5 })).unwrap();
        assert!(detail.contains("`a` must be an object"), "{detail}");
        assert_eq!(check(&["$body.a.b"], json!({ "a": null })), None);
    }
}
