//! Whether a reader's schema can read everything that a writer's schema can write.
//!
//! The rules are those of Avro's schema resolution as Java applies them: names match without their
//! namespace or by a reader's alias, every branch of a writer's union must be readable, a missing
//! field needs a default. `apache_avro`'s own check compares a named type that is only mentioned by
//! its name, takes a partly readable union or enum for readable, and stops at the first problem, so
//! this does not use it.

use std::collections::HashSet;

use super::json::{Json, Members};
use super::tree::{Field, Kind, Named, Node, Shape, Tree};

/// Why something that the writer can write cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Avro's name for this sort of problem.
    pub kind: &'static str,
    /// Where, as a path in the reader's schema.
    pub path: String,
    /// What is wrong, in words.
    pub reason: String,
}

/// Everything that keeps `reader` from reading what `writer` wrote; empty when all can be read.
pub fn problems(reader: &Tree, writer: &Tree) -> Vec<Problem> {
    let mut check = Check {
        reader,
        writer,
        path: Vec::new(),
        seen: HashSet::new(),
        found: Vec::new(),
        steps: 0,
    };
    check.node(&reader.root, &writer.root);
    if check.steps > MAX_STEPS {
        return vec![Problem {
            kind: "TOO_COMPLEX",
            path: "/".into(),
            reason: format!(
                "the two were not compared to their end: that takes more than {MAX_STEPS} steps, or \
                 types name one another over more than {MAX_DEPTH} levels"
            ),
        }];
    }
    check.found
}

/// Types of a schema that name one another make a long way, and unions of them one that forks at
/// every type: a comparison that takes more steps is given up.
const MAX_STEPS: usize = 50_000;
/// The way of a comparison into a schema is not longer.
const MAX_DEPTH: usize = 400;

struct Check<'a> {
    reader: &'a Tree,
    writer: &'a Tree,
    path: Vec<String>,
    /// Pairs of named types that are compared already or just now: a recursive type ends here.
    seen: HashSet<(String, String)>,
    found: Vec<Problem>,
    /// Those taken so far; one too many ends the comparison.
    steps: usize,
}

impl<'a> Check<'a> {
    fn node(&mut self, reader: &'a Node, writer: &'a Node) {
        // Each branch of a union copies what was seen.
        self.steps += 1 + self.seen.len() / 10;
        if self.path.len() > MAX_DEPTH {
            self.steps = MAX_STEPS + 1;
        }
        if self.steps > MAX_STEPS {
            return;
        }
        match (reader, writer) {
            (_, Node::Union(branches)) => {
                for branch in branches {
                    if matches!(reader, Node::Union(_)) {
                        self.reader_union(reader, branch);
                    } else {
                        self.node(reader, branch);
                    }
                }
            }
            (Node::Union(_), _) => self.reader_union(reader, writer),
            (Node::Array { items: reader, .. }, Node::Array { items: writer, .. }) => {
                self.at("items", |check| check.node(reader, writer));
            }
            (Node::Map { values: reader, .. }, Node::Map { values: writer, .. }) => {
                self.at("values", |check| check.node(reader, writer));
            }
            (
                Node::Primitive {
                    kind: reader,
                    props: reads,
                },
                Node::Primitive {
                    kind: writer,
                    props: writes,
                },
            ) if promotes(*writer, *reader) => self.decimal(reads, writes),
            (Node::Named { name: reads, .. }, Node::Named { name: writes, .. }) => {
                match (self.reader.find(reads), self.writer.find(writes)) {
                    (Some(reader), Some(writer)) => self.named(reader, writer),
                    (None, _) => self.report("NAME_MISMATCH", format!("{reads} is not defined")),
                    (_, None) => self.report("NAME_MISMATCH", format!("{writes} is not defined")),
                }
            }
            _ => self.mismatch(reader, writer),
        }
    }

    /// Some branch must read all that `writer`, which is no union, can write.
    fn reader_union(&mut self, reader: &'a Node, writer: &'a Node) {
        let Node::Union(branches) = reader else {
            return;
        };
        // The branch of the same type, if there is one, says best what is wrong.
        let mut closest = None;
        for (index, branch) in branches.iter().enumerate() {
            let mut trial = Check {
                reader: self.reader,
                writer: self.writer,
                path: self.path.clone(),
                seen: self.seen.clone(),
                found: Vec::new(),
                steps: self.steps,
            };
            trial.at(&index.to_string(), |trial| trial.node(branch, writer));
            self.steps = trial.steps;
            if trial.found.is_empty() {
                // What was found readable need not be looked at again.
                self.seen = trial.seen;
                return;
            }
            let same = describe(self.reader, branch) == describe(self.writer, writer);
            if same && !matches!(branch, Node::Primitive { .. }) {
                closest = Some(trial.found);
            }
        }
        match closest {
            Some(found) => self.found.extend(found),
            None => self.report(
                "MISSING_UNION_BRANCH",
                format!(
                    "the union has no branch that reads {}",
                    describe(self.writer, writer)
                ),
            ),
        }
    }

    fn named(&mut self, reader: &'a Named, writer: &'a Named) {
        if !self.seen.insert((reader.full_name(), writer.full_name())) {
            return;
        }
        let known = reader.name == writer.name || reader.aliases.contains(&writer.full_name());
        if reader.kind() == writer.kind() && !known {
            let (reader, writer) = (reader.full_name(), writer.full_name());
            return self.at("name", |check| {
                check.report(
                    "NAME_MISMATCH",
                    format!("{reader} is not {writer} and has no such alias"),
                );
            });
        }
        match (&reader.shape, &writer.shape) {
            (Shape::Record(reads), Shape::Record(writes)) => {
                for (index, field) in reads.iter().enumerate() {
                    self.at(&format!("fields/{index}"), |check| {
                        check.field(field, writes)
                    });
                }
            }
            (
                Shape::Enum {
                    symbols: reads,
                    default: None,
                },
                Shape::Enum {
                    symbols: writes, ..
                },
            ) => {
                let missing = writes
                    .iter()
                    .filter(|s| !reads.contains(s))
                    .cloned()
                    .collect::<Vec<_>>();
                if !missing.is_empty() {
                    self.at("symbols", |check| {
                        check.report(
                            "MISSING_ENUM_SYMBOLS",
                            format!("the enum lacks {} and has no default", missing.join(", ")),
                        );
                    });
                }
            }
            (Shape::Enum { .. }, Shape::Enum { .. }) => {}
            (Shape::Fixed(reads), Shape::Fixed(writes)) if reads == writes => {
                self.decimal(&reader.props, &writer.props);
            }
            (Shape::Fixed(reads), Shape::Fixed(writes)) => self.at("size", |check| {
                check.report(
                    "FIXED_SIZE_MISMATCH",
                    format!("{reads} bytes, but {writes} were written"),
                );
            }),
            _ => self.report(
                "TYPE_MISMATCH",
                format!("{} cannot read {}", reader.kind(), writer.kind()),
            ),
        }
    }

    fn field(&mut self, field: &'a Field, written: &'a [Field]) {
        let source = std::iter::once(&field.name)
            .chain(&field.aliases)
            .find_map(|name| written.iter().find(|candidate| candidate.name == *name));
        match source {
            Some(source) => self.at("type", |check| check.node(&field.node, &source.node)),
            None if field.default.is_none() => self.report(
                "READER_FIELD_MISSING_DEFAULT_VALUE",
                format!("the field {} is not written and has no default", field.name),
            ),
            None => {}
        }
    }

    /// Decimals match only with equal precision and scale: the bytes do not say them.
    fn decimal(&mut self, reads: &Members, writes: &Members) {
        if let (Some(reads), Some(writes)) = (decimal(reads), decimal(writes))
            && reads != writes
        {
            self.report(
                "TYPE_MISMATCH",
                format!("decimal{reads:?} cannot read decimal{writes:?} (precision, scale)"),
            );
        }
    }

    fn mismatch(&mut self, reader: &Node, writer: &Node) {
        let (reader, writer) = (describe(self.reader, reader), describe(self.writer, writer));
        self.report("TYPE_MISMATCH", format!("{reader} cannot read {writer}"));
    }

    fn at(&mut self, step: &str, work: impl FnOnce(&mut Self)) {
        self.path.push(step.to_owned());
        work(self);
        self.path.pop();
    }

    fn report(&mut self, kind: &'static str, reason: String) {
        self.found.push(Problem {
            kind,
            path: format!("/{}", self.path.join("/")),
            reason,
        });
    }
}

fn promotes(from: Kind, to: Kind) -> bool {
    use Kind::{Bytes, Double, Float, Int, Long, String};
    from == to
        || matches!(
            (from, to),
            (Int, Long | Float | Double) | (Long, Float | Double) | (Float, Double)
        )
        || matches!((from, to), (String, Bytes) | (Bytes, String))
}

fn decimal(props: &Members) -> Option<(i64, i64)> {
    let value = |name: &str| {
        props
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    (value("logicalType").and_then(Json::as_str) == Some("decimal")).then(|| {
        let number = |name| value(name).and_then(Json::as_i64).unwrap_or(0);
        (number("precision"), number("scale"))
    })
}

fn describe(tree: &Tree, node: &Node) -> String {
    match node {
        Node::Primitive { kind, .. } => kind.name().into(),
        Node::Array { .. } => "array".into(),
        Node::Map { .. } => "map".into(),
        Node::Union(branches) => {
            let names = branches
                .iter()
                .map(|branch| describe(tree, branch))
                .collect::<Vec<_>>();
            format!("union of {}", names.join(", "))
        }
        Node::Named { name, .. } => {
            let kind = tree.find(name).map_or("type", Named::kind);
            format!("{kind} {name}")
        }
    }
}

#[cfg(test)]
mod tests;
