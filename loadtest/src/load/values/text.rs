//! Texts: templates with placeholders, and random ones.

use std::fmt::Write;

use uuid::Uuid;

use super::Event;
use crate::random::Random;

/// 64 characters that need no escaping in JSON, URLs and names.
const CHARACTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
/// How many characters `{random}` stands for.
const RANDOM: usize = 10;

/// Text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number,
    Key,
    Run,
    Random,
    Uuid,
}

impl Template {
    /// Reads `text`; the error names a placeholder that there is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let from = &rest[at..];
            if from.starts_with("{{") || from.starts_with("}}") {
                plain.push_str(&from[..1]);
                rest = &from[2..];
                continue;
            }
            let name = from.strip_prefix('{').and_then(|it| it.split_once('}'));
            let Some((name, after)) = name else {
                return Err(format!(
                    "a brace is alone in `{text}`; double it if it is meant as text"
                ));
            };
            let piece = match name {
                "number" => Piece::Number,
                "key" => Piece::Key,
                "run" => Piece::Run,
                "random" => Piece::Random,
                "uuid" => Piece::Uuid,
                _ => {
                    return Err(format!(
                        "there is no {{{name}}}; there are {{number}}, {{key}}, {{run}}, {{random}} \
                         and {{uuid}}, and a brace that is text is doubled"
                    ));
                }
            };
            pieces.extend([Piece::Text(std::mem::take(&mut plain)), piece]);
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self(pieces))
    }

    /// The text for an event.
    pub fn fill(&self, random: &mut Random, event: Event<'_>) -> String {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                // Writing to a string cannot fail.
                Piece::Number => drop(write!(filled, "{}", event.number)),
                Piece::Key => filled.push_str(event.key),
                Piece::Run => filled.push_str(event.run),
                Piece::Random => filled.push_str(&self::random(random, RANDOM)),
                Piece::Uuid => {
                    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
                    let uuid = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
                    let _ = write!(filled, "{}", Uuid::hyphenated(uuid));
                }
            }
        }
        filled
    }
}

/// Random text, which does not compress well.
pub fn random(random: &mut Random, length: usize) -> String {
    let mut text = String::with_capacity(length + 10);
    while text.len() < length {
        let bits = random.next();
        // Ten characters of six bits.
        text.extend((0..10).map(|at| char::from(CHARACTERS[(bits >> (6 * at) & 63) as usize])));
    }
    text.truncate(length);
    text
}
