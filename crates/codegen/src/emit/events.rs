//! A type for each record and enum.

use std::fmt::Write;

use super::{Modules, Paths, doc, modules};
use crate::{
    names,
    schema::{Definition, EVENT_META, Field, Kind, Schemas, Type, text},
};

/// Adds the types of the catalogue, `EVENTS` and `decode_and_visit`.
pub fn events(schemas: &Schemas, paths: &Paths, out: &mut Modules) {
    let library = &paths.library;
    let (mut list, mut arms) = (String::new(), String::new());
    for definition in schemas
        .definitions
        .values()
        .filter(|definition| !definition.of_library)
    {
        let emit = Emit {
            definition,
            schemas,
            paths,
        };
        let module = out.at(modules(definition.namespace()));
        module.push_str(&match &definition.kind {
            Kind::Record(_) => emit.record(),
            Kind::Enum { symbols, .. } => emit.symbols(symbols),
        });
        if definition.is_event() {
            let path = paths.of(&definition.full_name, schemas, 0);
            let _ = writeln!(list, "    <{path} as {library}::Event>::schema,");
            let _ = writeln!(
                arms,
                "        {:?} => source.decode::<{path}>().map(|event| visitor.event(&event)),",
                definition.full_name
            );
        }
    }
    let _ = writeln!(
        out.at(std::iter::empty()),
        "/// The schema of every event in the catalogue, by full name.\n\
         #[allow(dead_code)]\npub static EVENTS: &[fn() -> &'static {library}::EventSchema] = &[\n{list}];\n\
         /// Decodes the event with this full name and hands it to `visitor`; `None` when it is not in the catalogue.\n\
         #[allow(dead_code)]\npub fn decode_and_visit<D: {library}::Decode, V: {library}::Visit>(full_name: &str, source: D, visitor: V) -> ::std::option::Option<::std::result::Result<V::Output, D::Error>> {{\n    \
             ::std::option::Option::Some(match full_name {{\n{arms}        _ => return ::std::option::Option::None,\n    }})\n}}"
    );
}

struct Emit<'a> {
    definition: &'a Definition,
    schemas: &'a Schemas,
    paths: &'a Paths,
}

impl Emit<'_> {
    fn derives(&self, extra: &[&str]) -> String {
        let library = &self.paths.library;
        let extra: String = extra.iter().map(|name| format!("{name}, ")).collect();
        format!(
            "#[allow(dead_code)]\n#[derive(Clone, Debug, PartialEq, {extra}{library}::serde::Serialize, {library}::serde::Deserialize)]\n\
             #[serde(crate = \"{library}::serde\")]\n"
        )
    }

    fn doc(&self) -> String {
        match &self.definition.doc {
            Some(text) => doc(text),
            None => doc(&format!(
                "A part of {}.",
                self.definition.file.trim_end_matches(".avsc")
            )),
        }
    }

    fn symbols(&self, symbols: &[String]) -> String {
        let mut out = self.doc() + &self.derives(&["Copy", "Eq", "PartialOrd", "Ord", "Hash"]);
        let _ = writeln!(out, "pub enum {} {{", self.definition.name());
        for symbol in symbols {
            let variant = names::pascal_case(symbol);
            let _ = write!(out, "    {}", doc(&format!("The symbol {symbol}.")));
            if variant != *symbol {
                let _ = writeln!(out, "    #[serde(rename = {symbol:?})]");
            }
            let _ = writeln!(out, "    {},", names::identifier(&variant));
        }
        out + "}\n"
    }

    fn record(&self) -> String {
        let mut extra = Vec::new();
        if !self.any_field(self.definition, &|ty, _| {
            matches!(ty, Type::Float | Type::Double)
        }) {
            extra.push("Eq");
        }
        // An enum has no symbol that could be taken for a default.
        let bare_enum = |ty: &Type, definition: Option<&Definition>| {
            matches!(
                (ty, definition),
                (
                    Type::Named(_),
                    Some(Definition {
                        kind: Kind::Enum { .. },
                        ..
                    })
                )
            )
        };
        if !self.any_bare_field(self.definition, &bare_enum) {
            extra.push("Default");
        }
        let name = self.definition.name();
        let mut out = self.doc() + &self.derives(&extra);
        let _ = writeln!(out, "pub struct {name} {{");
        for field in self.definition.body() {
            self.field(field, &mut out);
        }
        out.push_str("}\n");
        if self.definition.is_event() {
            self.event(&mut out);
        } else if self.definition.full_name == EVENT_META {
            let text = text(self.definition, self.schemas);
            let _ = writeln!(
                out,
                "impl {name} {{\n    /// Self-contained JSON of its schema.\n    pub const JSON: &'static str = {text:?};\n}}"
            );
        }
        out
    }

    fn event(&self, out: &mut String) {
        let Definition { full_name, .. } = self.definition;
        let library = &self.paths.library;
        let name = self.definition.name();
        let json = text(self.definition, self.schemas);
        let example = self
            .schemas
            .examples
            .get(full_name)
            .map_or("{}", |text| text.trim());
        let _ = writeln!(
            out,
            "impl {library}::Event for {name} {{\n    \
                 const FULL_NAME: &'static str = {full_name:?};\n    \
                 fn schema() -> &'static {library}::EventSchema {{\n        \
                     static SCHEMA: ::std::sync::OnceLock<{library}::EventSchema> = ::std::sync::OnceLock::new();\n        \
                     SCHEMA.get_or_init(|| {library}::EventSchema::of_generated({full_name:?}, {json:?}, {example:?}))\n    \
                 }}\n}}"
        );
    }

    fn field(&self, field: &Field, out: &mut String) {
        let name = names::identifier(&names::snake_case(&field.name));
        let about = field
            .doc
            .clone()
            .unwrap_or_else(|| format!("The field {}.", field.name));
        let _ = write!(out, "    {}", doc(&about));
        if name.trim_start_matches("r#") != field.name {
            let _ = writeln!(out, "    #[serde(rename = {:?})]", field.name);
        }
        let _ = writeln!(out, "    pub {name}: {},", self.ty(&field.ty));
    }

    fn ty(&self, ty: &Type) -> String {
        match ty {
            Type::Boolean => "bool".into(),
            Type::Int(_) => "i32".into(),
            Type::Long(_) => "i64".into(),
            Type::Float => "f32".into(),
            Type::Double => "f64".into(),
            Type::Bytes => format!("{}::Bytes", self.paths.library),
            Type::String => "::std::string::String".into(),
            Type::Array(inner) => format!("::std::vec::Vec<{}>", self.ty(inner)),
            Type::Map(inner) => {
                format!(
                    "::std::collections::BTreeMap<::std::string::String, {}>",
                    self.ty(inner)
                )
            }
            Type::Optional(inner) => format!("::std::option::Option<{}>", self.ty(inner)),
            Type::Named(name) => {
                let depth = modules(self.definition.namespace()).count();
                self.paths.of(name, self.schemas, depth)
            }
        }
    }

    /// Whether `test` holds for a type anywhere within the definition.
    fn any_field(&self, definition: &Definition, test: &Test) -> bool {
        definition.body().any(|field| {
            let mut ty = &field.ty;
            while let Type::Array(inner) | Type::Map(inner) | Type::Optional(inner) = ty {
                ty = inner;
            }
            let named = ty.named().and_then(|name| self.schemas.get(name));
            test(ty, named) || named.is_some_and(|named| self.any_field(named, test))
        })
    }

    /// The same without what is in arrays, maps and options, which are empty by default.
    fn any_bare_field(&self, definition: &Definition, test: &Test) -> bool {
        definition.body().any(|field| {
            let named = match &field.ty {
                Type::Named(name) => self.schemas.get(name),
                _ => None,
            };
            test(&field.ty, named) || named.is_some_and(|named| self.any_bare_field(named, test))
        })
    }
}

type Test<'a> = dyn Fn(&Type, Option<&Definition>) -> bool + 'a;
