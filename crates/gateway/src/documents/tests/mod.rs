//! The document against the gateway: what is valid by it is taken, what is not is refused.

mod validator;

use millstream_events::EventSchema;
use millstream_topics::TOPICS;
use serde_json::{Map, Value, json};

use super::openapi;
use crate::problem::Problem;
use crate::routes::{self, Route, parameters};
use crate::template::{self, check_body};
use crate::topics;
use millstream_pipeline::codec::fields;
use millstream_pipeline::codec::json as text;
use millstream_pipeline::record::key;
use validator::{fits, resolved};

fn example(schema: &EventSchema) -> Value {
    serde_json::from_str(schema.example).unwrap()
}

/// What clients may make of a value.
fn strange() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1545.0),
        json!(-0.0),
        json!(1.5),
        json!(i64::from(i32::MAX)),
        json!(i64::from(i32::MAX) + 1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(9.3e18),
        json!(1e300),
        json!(""),
        json!("x"),
        json!([]),
        json!(["x"]),
        json!([1, 300]),
        json!({}),
        json!({ "x": { "y": [] } }),
    ]
}

/// A value with each of its parts made strange, left out, or more.
fn variants(value: &Value) -> Vec<Value> {
    let mut all = strange();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let with = |member: Option<Value>| {
                    let mut members = members.clone();
                    match member {
                        Some(member) => drop(members.insert(name.clone(), member)),
                        None => drop(members.remove(name)),
                    }
                    Value::Object(members)
                };
                all.push(with(None));
                all.extend(variants(member).into_iter().map(|it| with(Some(it))));
            }
            let mut more = members.clone();
            more.insert("no such member".into(), json!(1));
            all.push(more.into());
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                all.extend(variants(item).into_iter().map(|item| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                }));
            }
        }
        _ => {}
    }
    all
}

/// As the gateway gets it.
fn sent(value: &Value) -> Value {
    text::parse(value.to_string().as_bytes()).unwrap()
}

#[test]
fn any_event_is_taken_exactly_if_the_document_says_so() {
    let document = openapi(TOPICS);
    let (mut taken, mut refused) = (0, 0);
    for topic in TOPICS.iter().filter(|topic| topic.is_open()) {
        let path = topics::PATH.replace("{topic}", topic.name);
        let operation = &document["paths"][path.as_str()]["post"];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(operation["requestBody"]["required"], true);
        let takes = |value: &Value| match topics::read(topic, Some(sent(value))) {
            Ok((event, data)) => fields::encode((event.schema)(), &data).is_ok(),
            Err(_) => false,
        };
        for event in topic.events {
            let short = event.full_name.rsplit('.').next().unwrap();
            for name in [event.full_name, short] {
                let body = json!({ "type": name, "data": example((event.schema)()) });
                assert!(
                    takes(&body) && fits(&document, schema, &body),
                    "{path} {body}"
                );
                for body in variants(&body) {
                    let is_valid = fits(&document, schema, &body);
                    assert_eq!(takes(&body), is_valid, "{path} {body}");
                    match is_valid {
                        true => taken += 1,
                        false => refused += 1,
                    }
                }
            }
        }
    }
    assert!(taken > 300 && refused > 5_000, "{taken} {refused}");
}

/// What a declared route makes of a body.
fn takes(route: &Route, body: Option<&Value>) -> Result<(), Problem> {
    let schema = (route.event.schema)();
    let example = example(schema);
    let values = parameters(route.http.path).map(|name| {
        let field = route
            .fields
            .iter()
            .find(|(_, template)| *template == template::Template::parse(&format!("{{{name}}}")));
        let value = match field.map(|(field, _)| &example[*field]) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "key".to_owned(),
        };
        (name.to_owned(), value)
    });
    let raw = body.map(Value::to_string).unwrap_or_default();
    let body = body.map(sent);
    let request = template::Request {
        parameters: &values.collect::<Vec<_>>(),
        body: body.as_ref(),
        raw: raw.as_bytes(),
        id: "made",
    };
    check_body(route.templates(), body.as_ref())?;
    let key = route.key(&request)?;
    if key::check(&key, "key").is_err() || key.chars().any(char::is_control) {
        return Err(Problem::bad_request("the key"));
    }
    let [data, _] = route.data(&request)?;
    let encoded = fields::encode(schema, &data);
    encoded.map_err(|errors| Problem::bad_fields(schema.full_name, errors))?;
    Ok(())
}

/// A body from which the route takes the example.
fn body(route: &Route) -> Value {
    let example = example((route.event.schema)());
    let mut body = json!({});
    let fields = route
        .fields
        .iter()
        .map(|(field, it)| (&example[*field], it));
    for (value, template) in fields {
        for source in template.sources() {
            match source {
                template::Source::Body => return value.clone(),
                template::Source::Seconds(way) => *at(&mut body, way) = json!(1_633_025_000),
                template::Source::Member(way) => *at(&mut body, way) = value.clone(),
                template::Source::Raw | template::Source::Id => {}
            }
        }
    }
    for source in route.key.sources() {
        if let Some(way) = source.way()
            && at(&mut body, way).is_null()
        {
            *at(&mut body, way) = "key".into();
        }
    }
    body
}

fn at<'b>(body: &'b mut Value, way: &[String]) -> &'b mut Value {
    way.iter().fold(body, |body, name| &mut body[name.as_str()])
}

#[test]
fn declared_routes_take_exactly_what_the_document_says() {
    let document = openapi(TOPICS);
    let groups = routes::declared(TOPICS).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for route in groups.values().flat_map(|group| group.values()) {
        let method = route.http.method.to_ascii_lowercase();
        let operation = &document["paths"][route.http.path][method.as_str()];
        let Some(described) = operation.get("requestBody") else {
            takes(route, None).unwrap();
            continue;
        };
        let schema = &described["content"]["application/json"]["schema"];
        let may_be_absent = described["required"] == false;
        assert_eq!(takes(route, None).is_ok(), may_be_absent, "{}", route.label);
        let body = body(route);
        takes(route, Some(&body)).unwrap();
        assert!(fits(&document, schema, &body), "{} {body}", route.label);
        // Of a provider's events more may be taken than we know of.
        let is_exact = !route.takes_raw();
        for body in variants(&body) {
            let (is_valid, result) = (fits(&document, schema, &body), takes(route, Some(&body)));
            let agree = result.is_ok() == is_valid || !is_exact && !is_valid;
            assert!(agree, "{} {body}: {is_valid} {result:?}", route.label);
            match is_valid {
                true => taken += 1,
                false => refused += 1,
            }
        }
    }
    assert!(taken > 100 && refused > 1_000, "{taken} {refused}");
}

/// Every object of the document that has a name, and those within it.
fn visit<'d>(value: &'d Value, see: &mut impl FnMut(&'d Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            see(members);
            members.values().for_each(|it| visit(it, see));
        }
        Value::Array(items) => items.iter().for_each(|it| visit(it, see)),
        _ => {}
    }
}

/// A program that is made of the document can tell alternatives apart.
#[test]
fn alternatives_are_told_apart_by_a_member_that_is_there() {
    let document = openapi(TOPICS);
    let mut seen = 0;
    visit(&document, &mut |members| {
        let Some(Value::Array(alternatives)) = members.get("oneOf") else {
            return;
        };
        let objects: Vec<&Value> = alternatives
            .iter()
            .filter(|it| resolved(&document, it)["type"] == "object")
            .collect();
        if objects.len() < 2 {
            return;
        }
        seen += 1;
        let discriminator = &members["discriminator"];
        let name = discriminator["propertyName"].as_str().unwrap();
        let mapping = discriminator["mapping"].as_object().unwrap();
        assert_eq!(objects.len(), alternatives.len());
        for alternative in objects {
            let schema = resolved(&document, alternative);
            let required = schema["required"].as_array().unwrap();
            assert!(required.contains(&json!(name)), "{schema}");
            let member = &schema["properties"][name];
            assert_eq!(member["type"], "string");
            for value in member["enum"].as_array().unwrap() {
                let target = &mapping[value.as_str().unwrap()];
                assert_eq!(*target, alternative["$ref"], "{value}");
            }
        }
    });
    assert!(seen > 10, "{seen}");
}

#[test]
fn types_are_json_types_and_addresses_are_there() {
    let document = openapi(TOPICS);
    assert_eq!(document["servers"][0]["url"], "/");
    let mut enums = 0;
    visit(&document, &mut |members| {
        if members.contains_key("enum") {
            enums += 1;
            assert_eq!(members["type"], "string", "{members:?}");
        }
        let names = members.get("required").and_then(Value::as_array);
        for name in names.into_iter().flatten() {
            let name = name.as_str().unwrap();
            assert!(members["properties"].get(name).is_some(), "{members:?}");
        }
    });
    assert!(enums > 50, "{enums}");
    // What earlier documents called an object and no more.
    let schemas = &document["components"]["schemas"];
    let result = &schemas["millstream.db_users.UserRead.Result"];
    let meta = resolved(&document, &result["properties"]["meta"]);
    assert_eq!(meta["properties"]["seq"]["type"], "integer");
    assert_eq!(
        meta["required"],
        json!(["id", "source", "time", "correlation_id"])
    );
    let request = &document["paths"]["/v1/requests/{id}"]["get"]["responses"];
    let schema = &request["200"]["content"]["application/json"]["schema"];
    let answer = json!({
        "request": "r", "key": "k", "type": "millstream.db_users.UserRead",
        "data": { "name": "n", "address": "a", "credits": 1, "added later": 1 },
        "meta": { "id": "i", "source": "s", "time": 1, "correlation_id": "c" },
    });
    assert!(fits(&document, schema, &answer));
    assert_eq!(
        resolved(&document, schema)["discriminator"]["propertyName"],
        "type"
    );
    let pending = resolved(&document, &request["202"]);
    assert!(pending["headers"]["Retry-After"].is_object());
    let schema = &pending["content"]["application/json"]["schema"];
    let pending = json!({ "status": "pending", "request": "r", "event": { "id": "i" } });
    assert!(fits(&document, schema, &pending));
    assert!(!fits(&document, schema, &json!({ "status": "pending" })));
}
