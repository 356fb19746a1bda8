//! A typed handle and a declaration for each topic.

use std::fmt::Write;

use super::{Modules, Paths, doc};
use crate::{
    names,
    schema::{REQUEST_FAILED, Schemas},
    topic::{self, Access, Route, Topic},
};

/// Adds the handles, the sets of events, and `TOPICS`, which has the topics `of_library` too.
pub fn topics(
    topics: &[Topic],
    of_library: &[&str],
    schemas: &Schemas,
    paths: &Paths,
    out: &mut Modules,
) {
    let out = out.at(std::iter::empty());
    let library = &paths.library;
    let mut listed: Vec<(&str, &str)> = of_library
        .iter()
        .map(|name| (*name, &library[..]))
        .collect();
    listed.extend(topics.iter().map(|topic| (&topic.name[..], "self")));
    listed.sort_unstable();
    let of_results: Vec<Topic> = topics.iter().filter_map(Topic::of_results).collect();
    let of_services = topic::of_services(topics);
    let further = || of_results.iter().chain(&of_services);
    listed.extend(further().map(|topic| (&topic.name[..], "self")));
    for topic in topics.iter().chain(further()) {
        let emit = Emit {
            topic,
            schemas,
            paths,
        };
        emit.topic(out);
    }
    let mut list = String::new();
    for (name, at) in listed {
        let handle = names::pascal_case(name);
        let _ = writeln!(
            list,
            "    <{at}::{handle} as {library}::Topic>::DECLARATION,"
        );
    }
    let _ = writeln!(
        out,
        "/// Every topic in the catalogue and of the library, every result topic that somebody handles, and the topics\n\
         /// that services of the batch lane have for themselves.\n\
         #[allow(dead_code)]\npub static TOPICS: &[&{library}::Declaration] = &[\n{list}];"
    );
}

struct Emit<'a> {
    topic: &'a Topic,
    schemas: &'a Schemas,
    paths: &'a Paths,
}

impl Emit<'_> {
    fn path(&self, full_name: &str) -> String {
        self.paths.of(full_name, self.schemas, 0)
    }

    fn topic(&self, out: &mut String) {
        let handle = names::pascal_case(&self.topic.name);
        let library = &self.paths.library;
        let events: Vec<&str> = self
            .topic
            .events
            .iter()
            .map(|event| event.name.as_str())
            .collect();
        let event = self.set(&events, "Event", "events", out);
        let result = self.set(
            &self.topic.declared_results(),
            "Result",
            "declared results",
            out,
        );
        out.push_str(&doc(&self.topic.description));
        let _ = writeln!(
            out,
            "#[allow(dead_code)]\n#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]\npub struct {handle};\n\
             impl {library}::Topic for {handle} {{\n    \
                 const DECLARATION: &'static {library}::Declaration = &{};\n    \
                 type Event = {event};\n    type Result = {result};\n}}",
            self.declaration()
        );
    }

    /// The type that holds one of these kinds; makes an enum if there are several.
    fn set(&self, full_names: &[&str], suffix: &str, what: &str, out: &mut String) -> String {
        match full_names {
            [] => return "()".into(),
            [one] => return self.path(one),
            _ => {}
        }
        let name = format!("{}{suffix}", names::pascal_case(&self.topic.name));
        let library = &self.paths.library;
        let (mut variants, mut decode, mut visit, mut from) =
            (String::new(), String::new(), String::new(), String::new());
        for full_name in full_names {
            let variant = variant(full_name, full_names);
            let path = self.path(full_name);
            let about = doc(&format!("The event {full_name}."));
            let _ = writeln!(variants, "    {about}    {variant}({path}),");
            let _ = writeln!(
                decode,
                "            {full_name:?} => source.decode().map(Self::{variant}),"
            );
            let _ = writeln!(
                visit,
                "            Self::{variant}(event) => visitor.event(event),"
            );
            let _ = writeln!(
                from,
                "impl ::std::convert::From<{path}> for {name} {{\n    fn from(event: {path}) -> Self {{\n        Self::{variant}(event)\n    }}\n}}"
            );
        }
        let about = doc(&format!(
            "One of the {what} of the topic {}.",
            self.topic.name
        ));
        let _ = writeln!(
            out,
            "{about}#[derive(Clone, Debug, PartialEq)]\n#[allow(dead_code, clippy::large_enum_variant)]\npub enum {name} {{\n{variants}}}\n\
             impl {library}::EventSet for {name} {{\n    \
                 fn decode<D: {library}::Decode>(full_name: &str, source: D) -> ::std::option::Option<::std::result::Result<Self, D::Error>> {{\n        \
                     ::std::option::Option::Some(match full_name {{\n{decode}            _ => return ::std::option::Option::None,\n        }})\n    }}\n    \
                 fn visit<V: {library}::Visit>(&self, visitor: V) -> ::std::option::Option<V::Output> {{\n        \
                     ::std::option::Option::Some(match self {{\n{visit}        }})\n    }}\n}}\n{from}"
        );
        name
    }

    fn declaration(&self) -> String {
        let topic = self.topic;
        let library = &self.paths.library;
        let events = list(&topic.events, |event| {
            format!(
                "{library}::EventDeclaration {{ full_name: {:?}, results: &{:?}, schema: {} }}",
                event.name,
                event.results,
                self.schema(&event.name)
            )
        });
        let results = if topic.has_commands() {
            let mut kinds = topic.declared_results();
            kinds.push(REQUEST_FAILED);
            format!(
                "::std::option::Option::Some({library}::ResultTopic {{ name: \"{}-results\", partitions: {}, retention_ms: {}, schemas: {}, once: {} }})",
                topic.name,
                topic.results.partitions,
                topic.results.retention_ms,
                list(&kinds, |kind| self.schema(kind)),
                self.once()
            )
        } else {
            "::std::option::Option::None".into()
        };
        let replication = match topic.replication {
            Some(copies) => format!("::std::option::Option::Some({copies})"),
            None => "::std::option::Option::None".into(),
        };
        let guard_key_field = match &topic.guard_key_field {
            Some(field) => format!("::std::option::Option::Some({field:?})"),
            None => "::std::option::Option::None".into(),
        };
        let pick = |second: bool, ty: &str, names: [&str; 2]| {
            format!("{library}::{ty}::{}", names[usize::from(second)])
        };
        let fields = [
            ("name", format!("{:?}", topic.name)),
            ("description", format!("{:?}", topic.description)),
            ("key", format!("{:?}", topic.key)),
            ("events", events),
            (
                "subjects",
                pick(topic.one_subject, "Subjects", ["TopicRecord", "Topic"]),
            ),
            ("partitions", topic.partitions.to_string()),
            ("replication", replication),
            ("retention_ms", topic.retention_ms.to_string()),
            (
                "cleanup",
                pick(topic.compact, "Cleanup", ["Delete", "Compact"]),
            ),
            (
                "tombstones",
                pick(topic.skip_tombstones, "Tombstones", ["DeadLetter", "Skip"]),
            ),
            ("subscriptions", self.subscriptions(&topic.subscriptions)),
            ("results", results),
            ("dead_letters", topic.dead_letters.to_string()),
            ("replies", topic.replies.to_string()),
            (
                "access",
                format!("{library}::Access::{}", access(topic.access)),
            ),
            ("guard", topic.guard.to_string()),
            ("guard_key_field", guard_key_field),
            ("generation", topic.generation.to_string()),
            ("input_window", topic.input_window.to_string()),
            ("idempotency_window", topic.idempotency_window.to_string()),
            ("idempotency_bytes", topic.idempotency_bytes.to_string()),
            ("state_limit", topic.state_limit.to_string()),
            (
                "identity",
                pick(topic.identity_required, "Identity", ["None", "Required"]),
            ),
            ("http", list(&topic.http, |route| self.route(route))),
            ("lane", pick(topic.batch, "Lane", ["Event", "Batch"])),
        ];
        let fields: String = fields
            .iter()
            .map(|(name, value)| format!("        {name}: {value},\n"))
            .collect();
        format!("{library}::Declaration {{\n{fields}    }}")
    }

    fn once(&self) -> String {
        let Some(once) = &self.topic.results.once else {
            return "::std::option::Option::None".into();
        };
        let (service, name) = topic::once_names(self.topic);
        format!(
            "::std::option::Option::Some({}::Once {{ name: {name:?}, service: {service:?}, marks_ms: {}, generation: {} }})",
            self.paths.library, once.marks_ms, once.generation
        )
    }

    fn schema(&self, full_name: &str) -> String {
        format!(
            "<{} as {}::Event>::schema",
            self.path(full_name),
            self.paths.library
        )
    }

    fn subscriptions(&self, subscriptions: &[(String, String)]) -> String {
        list(subscriptions, |(service, handler)| {
            format!(
                "{}::Subscription {{ service: {service:?}, handler: {handler:?} }}",
                self.paths.library
            )
        })
    }

    fn route(&self, route: &Route) -> String {
        format!(
            "{}::HttpRoute {{ method: {:?}, path: {:?}, key: {:?}, event: {:?}, signature: {}, respond_async: {}, fields: {}, constants: {} }}",
            self.paths.library,
            route.method,
            route.path,
            route.key,
            route.event,
            match route.stripe {
                true => format!(
                    "::std::option::Option::Some({}::Signature::Stripe)",
                    self.paths.library
                ),
                false => "::std::option::Option::None".into(),
            },
            route.respond_async,
            list(&route.fields, |(name, template)| format!(
                "({name:?}, {template:?})"
            )),
            list(&route.constants, |(name, value)| format!(
                "({name:?}, {:?})",
                value.to_string()
            )),
        )
    }
}

/// The variant of [`Access`] in the library.
fn access(access: Access) -> &'static str {
    match access {
        Access::Public => "Public",
        Access::Signed => "Signed",
        Access::Service => "Service",
        Access::Library => "Library",
    }
}

/// The variant of an event: its name, with its namespace if another one has the same name.
fn variant(full_name: &str, all: &[&str]) -> String {
    let (namespace, name) = names::split(full_name);
    let same = all
        .iter()
        .filter(|other| names::split(other).1 == name)
        .count();
    if same == 1 {
        name.to_owned()
    } else {
        names::pascal_case(names::split(namespace).1) + name
    }
}

fn list<T>(items: &[T], each: impl Fn(&T) -> String) -> String {
    format!(
        "&[{}]",
        items.iter().map(each).collect::<Vec<_>>().join(", ")
    )
}
