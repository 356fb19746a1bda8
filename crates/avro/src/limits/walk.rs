//! A pass over a body along its writer's schema, before anything is decoded.

use super::shape::{ENTRY, Node, PIECE, Shape, Type, VALUE};
use super::{MAX_DECIMAL_BYTES, MAX_DEPTH, MAX_MEMORY};
use crate::binary::long;

/// What each further block of an array or a map counts: the Avro library may move all items before it.
const BLOCK: usize = 1024;

/// What a walk has found out about a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// What its values take in memory, counted from above.
    pub memory: usize,
    /// How deep they are nested.
    pub depth: usize,
    /// How many bytes stand before its last field, if it is a record that has one.
    pub before_last: Option<usize>,
}

/// Walks `body`, of which nothing may be left.
pub(super) fn walk(shape: &Shape, body: &[u8]) -> Result<Walked, String> {
    let mut walk = Walk {
        shape,
        rest: body,
        memory: VALUE,
        depth: 0,
    };
    let mut before_last = None;
    match &shape.nodes[shape.root] {
        Node::Record { fields, memory } => {
            walk.takes(*memory)?;
            for (index, field) in fields.iter().enumerate() {
                if index + 1 == fields.len() {
                    before_last = Some(body.len() - walk.rest.len());
                }
                walk.value(*field, 1)?;
            }
        }
        _ => walk.value(shape.root, 0)?,
    }
    match walk.rest.len() {
        0 => Ok(Walked {
            memory: walk.memory,
            depth: walk.depth,
            before_last,
        }),
        left => Err(format!("{left} bytes are left behind it")),
    }
}

struct Walk<'w> {
    shape: &'w Shape,
    rest: &'w [u8],
    memory: usize,
    depth: usize,
}

impl Walk<'_> {
    /// Counts memory.
    fn takes(&mut self, memory: usize) -> Result<(), String> {
        self.memory = self.memory.saturating_add(memory);
        match self.memory > MAX_MEMORY {
            true => Err(format!(
                "its values take more than {MAX_MEMORY} bytes when they are decoded; send it in parts"
            )),
            false => Ok(()),
        }
    }

    fn skip(&mut self, length: usize) -> Result<(), String> {
        let Some(rest) = self.rest.get(length..) else {
            return Err("the bytes end before the value does".into());
        };
        self.rest = rest;
        Ok(())
    }

    fn long(&mut self) -> Result<i64, String> {
        let (number, rest) = long(self.rest)?;
        self.rest = rest;
        Ok(number)
    }

    fn int(&mut self) -> Result<i32, String> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| format!("{number} is no int"))
    }

    fn length(&mut self) -> Result<usize, String> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| format!("a length is {length}"))
    }

    /// Bytes with their length before them.
    fn bytes(&mut self) -> Result<usize, String> {
        let length = self.length()?;
        self.skip(length)?;
        self.takes(length.saturating_add(PIECE))?;
        Ok(length)
    }

    /// Walks the blocks of an array or a map; `each` is what an item takes.
    fn blocks(
        &mut self,
        each: usize,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut block = 0;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // Its length in bytes, for readers that pass over it.
                self.long()?;
            }
            let count = count.unsigned_abs();
            let items = usize::try_from(count).unwrap_or(usize::MAX);
            self.takes(items.saturating_mul(each).saturating_add(block))?;
            for _ in 0..count {
                item(self)?;
            }
            block = BLOCK;
        }
    }

    fn value(&mut self, number: Type, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth = self.depth.max(depth);
        let shape = self.shape;
        match &shape.nodes[number] {
            Node::Null => Ok(()),
            Node::Boolean => match self.rest.first() {
                Some(0 | 1) => self.skip(1),
                Some(other) => Err(format!("{other} is no boolean")),
                None => self.skip(1),
            },
            Node::Int => self.int().map(|_| ()),
            Node::Long => self.long().map(|_| ()),
            Node::Fixed(size) => {
                self.skip(*size)?;
                self.takes(size + PIECE)
            }
            Node::Bytes => self.bytes().map(|_| ()),
            Node::Decimal => match self.bytes()? {
                length if length > MAX_DECIMAL_BYTES => Err(format!(
                    "a decimal has {length} bytes; {MAX_DECIMAL_BYTES} are allowed"
                )),
                _ => Ok(()),
            },
            Node::Array(items) => self.blocks(VALUE, |walk| walk.value(*items, depth + 1)),
            Node::Map(values) => self.blocks(VALUE + ENTRY, |walk| {
                walk.bytes()?;
                walk.value(*values, depth + 1)
            }),
            Node::Union(branches) => {
                let index = self.long()?;
                let branch = usize::try_from(index).ok();
                let Some(branch) = branch.and_then(|index| branches.get(index)) else {
                    return Err(format!("a union has no branch {index}"));
                };
                self.takes(VALUE + PIECE)?;
                self.value(*branch, depth + 1)
            }
            Node::Record { fields, memory } => {
                self.takes(*memory)?;
                fields
                    .iter()
                    .try_for_each(|field| self.value(*field, depth + 1))
            }
            Node::Enum { symbols, memory } => {
                let index = i64::from(self.int()?);
                if !(0..*symbols).contains(&index) {
                    return Err(format!("an enum has no symbol {index}"));
                }
                self.takes(*memory)
            }
        }
    }
}
