//! A schema as the walk needs it: types by number, references resolved.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{
    DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, Name, NamespaceRef, RecordSchema,
    UuidSchema,
};
use apache_avro::types::Value;

/// What a value takes where it lies in another.
pub(super) const VALUE: usize = size_of::<Value>();
/// What the allocator adds to a piece of memory.
pub(super) const PIECE: usize = 16;
/// What an entry of a map takes besides its key's text and its value.
pub(super) const ENTRY: usize = size_of::<String>() + 2 * PIECE;

/// Number of a type.
pub(super) type Type = usize;

/// One type.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    /// So many bytes.
    Fixed(usize),
    /// Bytes or text.
    Bytes,
    /// A number of any length, as bytes.
    Decimal,
    Array(Type),
    Map(Type),
    Union(Vec<Type>),
    Record {
        fields: Vec<Type>,
        /// What its fields take, with their names.
        memory: usize,
    },
    Enum {
        symbols: i64,
        /// What a symbol takes.
        memory: usize,
    },
}

/// The types of a schema. The last one is the schema itself.
#[derive(Debug)]
pub(super) struct Shape {
    pub nodes: Vec<Node>,
    pub root: Type,
    pub has_maps: bool,
}

impl Shape {
    /// Numbers the types of `schema`, whose depth is bounded. Names are resolved as the Avro library
    /// does when it decodes.
    pub fn of(schema: &Schema) -> Result<Self, String> {
        let mut types = Types::default();
        let root = types.number(schema, None)?;
        let has_maps = types.nodes.iter().any(|node| matches!(node, Node::Map(_)));
        Ok(Self {
            nodes: types.nodes,
            root,
            has_maps,
        })
    }
}

#[derive(Default)]
struct Types {
    nodes: Vec<Node>,
    named: HashMap<Name, Type>,
}

impl Types {
    fn push(&mut self, node: Node) -> Type {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn named(&mut self, name: &Name, space: NamespaceRef<'_>, node: Node) -> Result<Type, String> {
        let name = name.fully_qualified_name(space).into_owned();
        let number = self.push(node);
        let text = name.fullname(None);
        match self.named.insert(name, number) {
            Some(_) => Err(format!("{text} is defined twice")),
            None => Ok(number),
        }
    }

    fn number(&mut self, schema: &Schema, space: NamespaceRef<'_>) -> Result<Type, String> {
        let node = match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Node::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Node::Long,
            Schema::Float => Node::Fixed(size_of::<f32>()),
            Schema::Double => Node::Fixed(size_of::<f64>()),
            Schema::Bytes
            | Schema::String
            | Schema::Uuid(UuidSchema::String | UuidSchema::Bytes) => Node::Bytes,
            Schema::BigDecimal
            | Schema::Decimal(DecimalSchema {
                inner: InnerDecimalSchema::Bytes,
                ..
            }) => Node::Decimal,
            Schema::Decimal(DecimalSchema {
                inner: InnerDecimalSchema::Fixed(FixedSchema { name, size, .. }),
                ..
            }) => {
                if *size > super::MAX_DECIMAL_BYTES {
                    let most = super::MAX_DECIMAL_BYTES;
                    return Err(format!("a decimal has {size} bytes; {most} are allowed"));
                }
                return self.named(name, space, Node::Fixed(*size));
            }
            Schema::Fixed(FixedSchema { name, size, .. })
            | Schema::Uuid(UuidSchema::Fixed(FixedSchema { name, size, .. }))
            | Schema::Duration(FixedSchema { name, size, .. }) => {
                return self.named(name, space, Node::Fixed(*size));
            }
            Schema::Enum(EnumSchema { name, symbols, .. }) => {
                let longest = symbols.iter().map(String::len).max().unwrap_or(0);
                let node = Node::Enum {
                    symbols: i64::try_from(symbols.len()).unwrap_or(i64::MAX),
                    memory: longest + PIECE,
                };
                return self.named(name, space, node);
            }
            Schema::Array(array) => Node::Array(self.number(&array.items, space)?),
            Schema::Map(map) => Node::Map(self.number(&map.types, space)?),
            Schema::Union(union) => {
                let branches = union.variants().iter();
                let branches = branches.map(|branch| self.number(branch, space));
                Node::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => return self.record(record, space),
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(space);
                let known = self.named.get(name.as_ref()).copied();
                return known.ok_or_else(|| format!("{} is not defined", name.fullname(None)));
            }
        };
        Ok(self.push(node))
    }

    fn record(&mut self, record: &RecordSchema, space: NamespaceRef<'_>) -> Result<Type, String> {
        let field = |name: &str| size_of::<String>() + name.len() + PIECE + VALUE;
        let memory = record.fields.iter().map(|it| field(&it.name)).sum();
        let fields = Vec::new();
        // Its fields may refer to it.
        let number = self.named(&record.name, space, Node::Record { fields, memory })?;
        let name = record.name.fully_qualified_name(space).into_owned();
        let types = record.fields.iter();
        let types = types.map(|field| self.number(&field.schema, name.namespace()));
        let types: Vec<Type> = types.collect::<Result<_, _>>()?;
        if let Some(Node::Record { fields, .. }) = self.nodes.get_mut(number) {
            *fields = types;
        }
        Ok(number)
    }
}
