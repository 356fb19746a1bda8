//! The routes that topic files declare.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream_events::{Declaration, EventDeclaration, HttpRoute};
use serde_json::{Map, Value};

use super::access::{Caller, Refusal, Verb};
use super::body::json;
use super::identity::Identity;
use super::principal::Principal;
use super::problem::Problem;
use super::submit::{Command, Submitted};
use super::template::{self, Source, Taken, Template};
use super::{Gateway, GatewayError};
use millstream_pipeline::codec::fields::{self, FieldError};
use millstream_pipeline::failure;
use millstream_pipeline::record::digest::digest;

/// Paths that belong to the gateway itself.
const OWN: [&str; 3] = ["/v1/", "/openapi.json", "/asyncapi.json"];

/// A declared route, read.
#[derive(Debug)]
pub struct Route {
    /// Its topic.
    pub declaration: &'static Declaration,
    /// What it makes.
    pub event: &'static EventDeclaration,
    /// As the topic file has it.
    pub http: &'static HttpRoute,
    /// Template of the key.
    pub key: Template,
    /// Templates of fields.
    pub fields: Vec<(&'static str, Template)>,
    constants: Vec<(&'static str, Value)>,
    /// Method and path template, for metrics.
    pub label: String,
}

/// The routes of paths that look alike but for the names of their parameters, by method.
pub type Group = Arc<BTreeMap<&'static str, Route>>;

/// All routes by the shape of their paths, such as `/reserve/{0}/{1}`.
pub fn declared(
    declarations: &[&'static Declaration],
) -> Result<BTreeMap<String, Group>, GatewayError> {
    let mut groups: BTreeMap<String, BTreeMap<&'static str, Route>> = BTreeMap::new();
    for declaration in declarations {
        for http in declaration.http {
            if OWN.iter().any(|own| http.path.starts_with(own)) {
                return Err(GatewayError::Route {
                    topic: declaration.name,
                    path: http.path,
                });
            }
            let group = groups.entry(shape(http.path)).or_default();
            group.extend(Route::read(declaration, http).map(|route| (http.method, route)));
        }
    }
    let groups = groups.into_iter();
    Ok(groups
        .map(|(shape, group)| (shape, Arc::new(group)))
        .collect())
}

/// Method and path template of a route.
pub fn label(http: &HttpRoute) -> String {
    format!("{} {}", http.method, http.path)
}

/// A path with its parameters numbered.
fn shape(path: &str) -> String {
    let mut number = 0;
    let segments = path.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment.to_owned();
        }
        number += 1;
        format!("{{p{number}}}")
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The names of a path's parameters, in order.
pub fn parameters(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

impl Route {
    fn read(declaration: &'static Declaration, http: &'static HttpRoute) -> Option<Self> {
        let event = declaration.event(http.event)?;
        let constants = http.constants.iter();
        let fields = http.fields.iter();
        let mut fields: Vec<(&'static str, Template)> = fields
            .map(|(name, template)| (*name, Template::parse(template)))
            .collect();
        let takes_whole = fields.iter().any(|(_, template)| template.takes_whole());
        if http.method != "GET" && !takes_whole {
            // What the file does not set comes from the body, by its name.
            let is_set = |name| {
                let mut set = http.fields.iter().chain(http.constants);
                set.any(|(known, _)| *known == name)
            };
            let members: Vec<_> = fields::names((event.schema)())
                .filter(|name| !is_set(*name))
                .map(|name| (name, Template::member(name)))
                .collect();
            fields.extend(members);
        }
        Some(Self {
            declaration,
            event,
            http,
            key: Template::parse(http.key),
            fields,
            constants: constants
                .filter_map(|(name, value)| Some((*name, serde_json::from_str(value).ok()?)))
                .collect(),
            label: label(http),
        })
    }

    /// All templates.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let fields = self.fields.iter().map(|(_, template)| template);
        std::iter::once(&self.key).chain(fields)
    }

    /// Whether a signature vouches for its requests, instead of a key.
    pub fn is_signed(&self) -> bool {
        self.http.signature.is_some()
    }

    /// Whether a template wants the body as JSON.
    fn takes_json(&self) -> bool {
        let mut sources = self.templates().flat_map(Template::sources);
        sources.any(|source| *source == Source::Body || source.way().is_some())
    }

    /// Whether a template wants the body as it came.
    pub fn takes_raw(&self) -> bool {
        let mut sources = self.templates().flat_map(Template::sources);
        sources.any(|source| *source == Source::Raw)
    }

    /// The event's key.
    pub(super) fn key(&self, request: &template::Request<'_>) -> Result<String, Problem> {
        match self.key.take(request) {
            Some(Taken::Text(text) | Taken::Id(text) | Taken::Json(Value::String(text))) => {
                Ok(text)
            }
            Some(Taken::Json(value @ (Value::Number(_) | Value::Bool(_)))) => Ok(value.to_string()),
            _ => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                failure::INVALID_KEY,
                format!("the body must hold the {}, a text", self.declaration.key),
            )),
        }
    }

    /// All fields, and those of them that were made for this request.
    pub(super) fn data(
        &self,
        request: &template::Request<'_>,
    ) -> Result<[Map<String, Value>; 2], Problem> {
        let schema = (self.event.schema)();
        let (mut data, mut made) = (Map::new(), Map::new());
        for (name, template) in &self.fields {
            let value = match template.take(request) {
                None => continue,
                Some(Taken::Text(text)) => fields::scalar(schema, name, text),
                Some(Taken::Id(id)) => {
                    made.insert((*name).to_owned(), id.clone().into());
                    Value::String(id)
                }
                Some(Taken::Json(value)) => value,
                Some(Taken::Seconds(seconds)) => fields::time(schema, name, seconds),
                Some(Taken::Raw(bytes)) => match String::from_utf8(bytes) {
                    Ok(text) => Value::String(text),
                    Err(error) if fields::is_bytes(schema, name) => error.into_bytes().into(),
                    Err(_) => {
                        let error = FieldError {
                            field: (*name).to_owned(),
                            detail: "must be UTF-8".into(),
                        };
                        return Err(Problem::bad_fields(schema.full_name, vec![error]));
                    }
                },
            };
            data.insert((*name).to_owned(), value);
        }
        for (name, value) in &self.constants {
            data.insert((*name).to_owned(), value.clone());
        }
        Ok([data, made])
    }
}

/// Answers a request to one of the routes of a group.
pub async fn handle(
    gateway: Arc<Gateway>,
    group: Group,
    parameters: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
    request: Request,
) -> Response {
    let Some(route) = group.get(request.method().as_str()) else {
        return not_allowed(group.keys().copied()).into_response();
    };
    // What it takes to send the event is not kept while its result is waited for.
    let submitted = match parameters {
        Ok(parameters) => Box::pin(route.submit(&gateway, parameters, request)).await,
        Err(_) => Err(Problem::bad_request("the path is not UTF-8")),
    };
    let response = match submitted {
        Ok(submitted) => Ok(gateway.respond(submitted).await),
        Err(problem) => Err(problem),
    };
    super::labelled(&route.label, response)
}

impl Route {
    async fn submit(
        &self,
        gateway: &Gateway,
        values: RawPathParams,
        request: Request,
    ) -> Result<Submitted, Problem> {
        let (parts, body) = request.into_parts();
        let topic = self.declaration.name;
        let known = match self.http.signature {
            Some(_) => None,
            None => {
                let caller = gateway.caller(&parts).await?;
                caller.check(Verb::Send, topic)?;
                Some(caller)
            }
        };
        let values = values.iter().map(|(_, value)| value.to_owned());
        let parameters: Vec<(String, String)> = parameters(self.http.path)
            .map(str::to_owned)
            .zip(values)
            .collect();
        // A provider is known by its body.
        let sender = match &known {
            Some(caller) => caller.principal.clone(),
            None => Principal::webhook(topic),
        };
        let (raw, memory) = match parts.method {
            // What it may hold means nothing.
            Method::GET => {
                let none = axum::body::Body::empty();
                gateway.read_body(&sender, &HeaderMap::new(), none).await?
            }
            _ => gateway.read_body(&sender, &parts.headers, body).await?,
        };
        let caller = match (known, self.http.signature) {
            (Some(caller), _) => caller,
            (None, Some(signature)) => {
                gateway.check_signature(signature, topic, &parts.headers, &raw)?
            }
            (None, None) => return Err(Refusal::Missing.unauthenticated()),
        };
        let body = match self.takes_json() || !self.takes_raw() {
            true => json(&raw)?,
            false => None,
        };
        template::check_body(self.templates(), body.as_ref())?;
        let place = || {
            let values = parameters.iter().map(|(_, value)| value.as_bytes());
            let place: Vec<&[u8]> = std::iter::once(self.label.as_bytes())
                .chain(values)
                .collect();
            digest(&place)
        };
        let identity = match self.http.signature {
            Some(_) => Identity::of_signed(&caller.principal, &place(), &raw),
            None => Identity::of(&caller.principal, &parts.headers, || {
                // The same JSON in another spelling is the same request.
                let sent = match &body {
                    Some(body) => body.to_string().into_bytes(),
                    None => raw.to_vec(),
                };
                (place(), sent)
            })?,
        };
        let source = template::Request {
            parameters: &parameters,
            body: body.as_ref(),
            raw: &raw,
            id: &identity.made_id,
        };
        let (key, [data, made]) = (self.key(&source)?, self.data(&source)?);
        let command = Command {
            caller,
            wait: match self.http.respond_async {
                true => Duration::ZERO,
                false => gateway.settings.wait,
            },
            declaration: self.declaration,
            event: self.event,
            key,
            data,
            made,
            identity,
            memory,
        };
        // What is not signed means nothing.
        let headers = match self.http.signature {
            Some(_) => HeaderMap::new(),
            None => parts.headers,
        };
        gateway.submit(headers, command).await
    }
}

impl Gateway {
    /// Who sends a request: known already, unless its path is shared with a signed route.
    pub(super) async fn caller(&self, request: &Parts) -> Result<Caller, Problem> {
        match request.extensions.get::<Caller>() {
            Some(caller) => Ok(caller.clone()),
            None => self.access.identify(&request.headers).await,
        }
    }
}

/// 405 with the methods that are.
pub fn not_allowed<'m>(methods: impl Iterator<Item = &'m str>) -> Response {
    let methods = methods.collect::<Vec<_>>().join(", ");
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        failure::METHOD_NOT_ALLOWED,
        format!("this path takes {methods}"),
    );
    let mut response = problem.into_response();
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}
