//! Schemas parsed from text that the build script has parsed before.

use std::sync::OnceLock;

use apache_avro::Schema;

use crate::event::Prepared;
use crate::{EventMeta, EventSchema};

impl EventSchema {
    /// For generated code: `json` is a record whose last field is `meta`.
    #[doc(hidden)]
    pub fn of_generated(
        full_name: &'static str,
        json: &'static str,
        example: &'static str,
    ) -> Self {
        let full = parse(json);
        let mut body = full.clone();
        if let Schema::Record(record) = &mut body {
            record.fields.pop();
            record.lookup.remove("meta");
        }
        Self {
            full_name,
            json,
            example,
            full,
            body,
            prepared: Prepared::default(),
        }
    }
}

impl EventMeta {
    /// The schema of the record.
    pub fn schema() -> &'static Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| parse(Self::JSON))
    }

    /// The schema of the field `meta`: null or the record.
    pub fn field_schema() -> &'static Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| parse(&format!("[\"null\",{}]", Self::JSON)))
    }
}

#[expect(
    clippy::expect_used,
    reason = "the build fails if the generated text is not a schema"
)]
fn parse(json: &str) -> Schema {
    Schema::parse_str(json).expect("a schema that the build script has parsed")
}
